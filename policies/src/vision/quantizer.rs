//! The codebook: vectors to codes and back.

use tch::{Kind, Tensor};

use super::layers::Weights;

/// Vectors compared with the codebook at a time; a matrix of this many rows and 32768 columns has
/// 128 MiB in f32.
const ROWS: i64 = 1024;

/// The vectors of the codes.
pub(super) struct Codebook {
    vectors: Tensor, // [codes, d]
    squares: Tensor, // [codes], squared lengths
}

impl Codebook {
    pub(super) fn load<E>(
        weights: &mut Weights<'_, E>,
        [codes, dimensions]: [i64; 2],
    ) -> Result<Self, E> {
        let vectors = (weights.get)("quantize.embedding.weight", &[codes, dimensions])?;
        Ok(Self { squares: squared_lengths(&vectors), vectors })
    }

    /// Nearest code of each vector (ties: smallest), `[b, d, t, h, w]` to `[b, t, h, w]` i64.
    ///
    /// Distances are `|x|^2 + |e|^2 - 2 x e`, summed in this order as in the release.
    pub(super) fn codes(&self, latent: &Tensor) -> Tensor {
        let (b, d, t, h, w) = latent.size5().expect("five dimensions");
        let rows = latent.permute([0, 2, 3, 4, 1]).reshape([-1, d]);
        let nearest = |chunk: &Tensor| self.distances(chunk).argmin(1, false);
        let codes: Vec<Tensor> = rows.split(ROWS, 0).iter().map(nearest).collect();
        Tensor::cat(&codes, 0).reshape([b, t, h, w])
    }

    /// Smallest difference, over vectors `[b, d, t, h, w]`, between the distances to the nearest
    /// and the second nearest code.
    pub(super) fn margin(&self, latent: &Tensor) -> f64 {
        if self.vectors.size()[0] < 2 {
            return f64::INFINITY;
        }
        let rows = latent.permute([0, 2, 3, 4, 1]).reshape([-1, self.vectors.size()[1]]);
        let gap = |chunk: &Tensor| {
            let distances = self.distances(chunk).clamp_min(0.0).sqrt();
            let (two, _) = distances.topk(2, 1, false, true); // [rows, 2]
            (two.select(1, 1) - two.select(1, 0)).min().double_value(&[])
        };
        rows.split(ROWS, 0).iter().map(gap).fold(f64::INFINITY, f64::min)
    }

    /// Squared distances of `[rows, d]` to every code, `[rows, codes]`.
    fn distances(&self, rows: &Tensor) -> Tensor {
        let products = rows.matmul(&self.vectors.tr());
        squared_lengths(rows).unsqueeze(1) + &self.squares - products * 2.0
    }

    /// Vectors of codes, `[b, t, h, w]` i64 to `[b, d, t, h, w]`.
    pub(super) fn vectors(&self, codes: &Tensor) -> Tensor {
        let rows = Tensor::embedding(&self.vectors, codes, -1, false, false); // [b, t, h, w, d]
        rows.permute([0, 4, 1, 2, 3]).contiguous()
    }
}

/// `[n, d]` to `[n]`.
fn squared_lengths(rows: &Tensor) -> Tensor {
    rows.square().sum_dim_intlist([1_i64].as_slice(), false, None::<Kind>)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(vectors: &[f64]) -> Codebook {
        let vectors = Tensor::from_slice(vectors).reshape([-1, 2]);
        let shape = [vectors.size()[0], 2];
        let mut get = |_: &str, _: &[i64]| Ok::<_, ()>(vectors.shallow_clone());
        Codebook::load(&mut Weights { get: &mut get }, shape).unwrap()
    }

    #[test]
    fn the_nearest_code_wins_and_of_equals_the_first() {
        let book = book(&[5.0, 5.0, 0.0, 1.0, 0.0, -1.0, 0.0, 1.0]);
        let points = Tensor::from_slice(&[0.0, 0.0, 0.1, 2.0, 4.0, 9.0, -1.0, -0.5]);
        let latent = points.reshape([1, 4, 1, 1, 2]).permute([0, 4, 2, 3, 1]);
        let codes = book.codes(&latent);
        assert_eq!(codes.size(), [1, 1, 1, 4]);
        assert_eq!(Vec::<i64>::try_from(codes.view(-1)).unwrap(), [1, 1, 0, 2]);
    }

    #[test]
    fn many_vectors_keep_their_order() {
        let book = book(&[0.0, 0.0, 1.0, 0.0, 2.0, 0.0]);
        let wanted: Vec<i64> = (0..3 * ROWS).map(|i| i * 7 % 3).collect();
        let codes = Tensor::from_slice(&wanted).reshape([2, 1, 3, ROWS / 2]);
        assert_eq!(book.codes(&book.vectors(&codes)), codes);
    }
}
