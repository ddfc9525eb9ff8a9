//! How far the latent vectors of a vision tokenizer under training lie apart.

use tch::{Kind, TchError, Tensor};

/// Mean square of the difference between the covariance of latent vectors `[b, d, t, h, w]` and that
/// of a codebook `[codes, d]` whose codes are used equally.
pub(super) fn spread(latent: &Tensor, codebook: &Tensor) -> Result<Tensor, TchError> {
    let vectors = latent.f_transpose(0, 1)?.f_flatten(1, -1)?; // [d, b t h w]
    let codes = codebook.f_tr()?; // [d, codes]
    (covariance(&vectors)? - covariance(&codes)?).f_square()?.f_mean(Kind::Float)
}

/// Covariance of the columns of `[d, n]`: `[d, d]`.
fn covariance(vectors: &Tensor) -> Result<Tensor, TchError> {
    let centered = vectors - vectors.f_mean_dim([1].as_slice(), true, Kind::Float)?;
    Ok(centered.f_matmul(&centered.f_tr()?)? / vectors.size()[1] as f64)
}

#[cfg(test)]
mod tests {
    use super::super::vision::grid;
    use super::*;

    #[test]
    fn spread_is_the_difference_between_covariances() {
        // Variances of 2/3 in both dimensions, which vary independently.
        let codebook = grid(3, 2);
        let codes = codebook.tr(); // [2, 9]
        let of = |vectors: &Tensor| {
            let latent = vectors.reshape([2, 3, 1, 1, 3]).transpose(0, 1);
            spread(&latent, &codebook).unwrap().double_value(&[])
        };
        assert!(of(&codes) < 1e-12, "{}", of(&codes));
        // Vectors of half the length have a quarter of the variances, wherever their mean is.
        let narrow = of(&(&codes * 0.5 + 3.0));
        assert!((narrow - 2.0 * 0.5_f64.powi(2) / 4.0).abs() < 1e-5, "{narrow}");
        let equal = of(&codes.narrow(0, 0, 1).expand([2, 9], false));
        assert!((equal - 2.0 * (2.0_f64 / 3.0).powi(2) / 4.0).abs() < 1e-6, "{equal}");
    }
}
