//! Rows of different lengths one behind the other, so that each projection is one product.

use std::ops::Range;

use tch::{Device, TchError, Tensor};

/// Every row starts at a multiple of this many positions; what lies between is filled up.
///
/// A matrix product on a processor sums the numbers of one position in an order that may depend
/// on where the position stands among the others: kernels work on tiles, and the last tiles of a
/// matrix are treated apart. Rows that start at a multiple of every tile's height meet the same
/// kernels alone and in a batch.
pub const STRIDE: usize = 64;

/// Where each row of a batch lies among the positions of all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packing {
    rows: Vec<Range<usize>>,
    total: usize,
}

impl Packing {
    /// Rows of these lengths, in order.
    pub fn new(lengths: impl IntoIterator<Item = usize>) -> Self {
        let mut total = 0;
        let place = |length: usize| {
            let start = total;
            total += length.next_multiple_of(STRIDE);
            start..start + length
        };
        Self { rows: lengths.into_iter().map(place).collect(), total }
    }

    /// Positions of all rows, filling included.
    pub fn total(&self) -> usize {
        self.total
    }

    /// Where row `index` lies.
    pub fn row(&self, index: usize) -> Range<usize> {
        self.rows[index].clone()
    }

    /// The part of `x` along `dim` that belongs to row `index`.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn cut(&self, x: &Tensor, dim: i64, index: usize) -> Result<Tensor, TchError> {
        let row = &self.rows[index];
        x.f_narrow(dim, row.start as i64, row.len() as i64)
    }

    /// Some consecutive rows: where they lie among all, filling included, and their own packing.
    pub fn part(&self, rows: Range<usize>) -> (Range<usize>, Self) {
        let at = |row: usize| self.rows.get(row).map_or(self.total, |row| row.start);
        let (start, end) = (at(rows.start), at(rows.end));
        let shifted = self.rows[rows].iter().map(|row| row.start - start..row.end - start);
        (start..end, Self { rows: shifted.collect(), total: end - start })
    }

    /// How many positions are filled up behind row `index`.
    pub fn filling(&self, index: usize) -> usize {
        self.rows[index].len().next_multiple_of(STRIDE) - self.rows[index].len()
    }

    /// The rows' numbers with zeros between them, on `device`: `[total]` i64.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn pack<'a>(
        &self,
        numbers: impl IntoIterator<Item = &'a [i64]>,
        device: Device,
    ) -> Result<Tensor, TchError> {
        let mut all = vec![0; self.total];
        for (row, numbers) in self.rows.iter().zip(numbers) {
            all[row.clone()].copy_from_slice(numbers);
        }
        Tensor::f_from_slice(&all)?.f_to_device(device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_start_at_strides_and_keep_their_lengths() {
        let packing = Packing::new([3, 64, 65, 0, 1]);
        let rows: Vec<_> = (0..5).map(|index| packing.row(index)).collect();
        assert_eq!(rows, [0..3, 64..128, 128..193, 256..256, 256..257]);
        assert_eq!(packing.total(), 320);
        assert_eq!((packing.filling(0), packing.filling(1), packing.filling(3)), (61, 0, 0));
    }

    #[test]
    fn a_part_of_the_rows_is_their_own_packing() {
        let packing = Packing::new([3, 64, 65, 0, 1]);
        assert_eq!(packing.part(1..3), (64..256, Packing::new([64, 65])));
        assert_eq!(packing.part(3..5), (256..320, Packing::new([0, 1])));
        assert_eq!(packing.part(5..5), (320..320, Packing::new([])));
    }

    #[test]
    fn numbers_are_packed_where_the_rows_lie() {
        let packing = Packing::new([2, 1]);
        let packed = packing.pack([&[5, 6][..], &[7]], Device::Cpu).unwrap();
        let packed = Vec::<i64>::try_from(packed).unwrap();
        assert_eq!((packed.len(), packed[1], packed[2], packed[64]), (128, 6, 0, 7));
    }
}
