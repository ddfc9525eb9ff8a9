//! Packing of sequences of different lengths, so that each projection is one matrix product.

use std::ops::Range;

use tch::{TchError, Tensor};

/// Every sequence starts at a multiple of this many positions; gaps are padded.
///
/// On a CPU the order of summation in a matrix product may depend on the row index: kernels work
/// on tiles and treat a matrix's last tiles separately. Sequences that start at a multiple of
/// every tile height use the same kernels alone and in a batch.
const STRIDE: usize = 64;

/// Where the sequences of a batch (or spans of them) are in the packed dimension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packing {
    ranges: Vec<Range<usize>>,
    total: usize,
}

impl Packing {
    /// Packs sequences of these lengths, in order.
    pub fn new(lengths: impl IntoIterator<Item = usize>) -> Self {
        let mut total = 0;
        let place = |length: usize| {
            let start = total;
            total += length.next_multiple_of(STRIDE);
            start..start + length
        };
        Self { ranges: lengths.into_iter().map(place).collect(), total }
    }

    /// Positions in all, including padding.
    pub fn total(&self) -> usize {
        self.total
    }

    /// Range of sequence `index`.
    pub fn range(&self, index: usize) -> Range<usize> {
        self.ranges[index].clone()
    }

    /// The part of `x` along `dim` that belongs to sequence `index`.
    pub fn slice(&self, x: &Tensor, dim: i64, index: usize) -> Result<Tensor, TchError> {
        let range = &self.ranges[index];
        x.f_narrow(dim, range.start as i64, range.len() as i64)
    }

    /// The parts of `x` along `dim` that belong to each sequence.
    pub fn split(&self, x: &Tensor, dim: i64) -> Result<Vec<Tensor>, TchError> {
        let lengths: Vec<i64> = (self.ranges.iter().enumerate())
            .flat_map(|(index, range)| [range.len() as i64, self.padding(index) as i64])
            .collect();
        Ok(x.f_split_with_sizes(&lengths[..], dim)?.into_iter().step_by(2).collect())
    }

    /// Consecutive sequences: their common range, including padding, and their own packing.
    pub fn subset(&self, sequences: Range<usize>) -> (Range<usize>, Self) {
        let start_of = |index: usize| self.ranges.get(index).map_or(self.total, |r| r.start);
        let (start, end) = (start_of(sequences.start), start_of(sequences.end));
        let shifted = self.ranges[sequences].iter().map(|r| r.start - start..r.end - start);
        (start..end, Self { ranges: shifted.collect(), total: end - start })
    }

    /// Padding after sequence `index`.
    pub fn padding(&self, index: usize) -> usize {
        let length = self.ranges[index].len();
        length.next_multiple_of(STRIDE) - length
    }

    /// Packs one number per position, padded with zeros.
    pub fn pack<'a>(&self, numbers: impl IntoIterator<Item = &'a [i64]>) -> Vec<i64> {
        let mut all = vec![0; self.total];
        for (range, numbers) in self.ranges.iter().zip(numbers) {
            all[range.clone()].copy_from_slice(numbers);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_start_at_strides_and_keep_their_lengths() {
        let packing = Packing::new([3, 64, 65, 0, 1]);
        let ranges: Vec<_> = (0..5).map(|index| packing.range(index)).collect();
        assert_eq!(ranges, [0..3, 64..128, 128..193, 256..256, 256..257]);
        assert_eq!(packing.total(), 320);
        assert_eq!((packing.padding(0), packing.padding(1), packing.padding(3)), (61, 0, 0));
    }

    #[test]
    fn a_subset_is_its_own_packing() {
        let packing = Packing::new([3, 64, 65, 0, 1]);
        assert_eq!(packing.subset(1..3), (64..256, Packing::new([64, 65])));
        assert_eq!(packing.subset(3..5), (256..320, Packing::new([0, 1])));
        assert_eq!(packing.subset(5..5), (320..320, Packing::new([])));
    }

    #[test]
    fn numbers_are_packed_where_the_sequences_are() {
        let packing = Packing::new([2, 1]);
        let packed = packing.pack([&[5, 6][..], &[7]]);
        assert_eq!((packed.len(), packed[1], packed[2], packed[64]), (128, 6, 0, 7));
    }
}
