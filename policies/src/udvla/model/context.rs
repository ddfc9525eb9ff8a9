//! What the layers share: the sequences of a batch, keys and values, matrix products.

use std::cell::Cell;

use tch::{TchError, Tensor};

use super::mask::Run;
use super::packing::Packing;

/// The sequences of a batch.
pub(super) struct Context<'a> {
    /// Where the new positions of each sequence are among the packed `t`.
    pub packing: &'a Packing,
    /// Cosine and sine of the new positions: `[t, head]` each.
    pub rotary: &'a [Tensor; 2],
    pub sequences: &'a [SequenceContext<'a>],
}

/// One sequence of a batch.
pub(super) struct SequenceContext<'a> {
    /// What the new positions attend to.
    pub runs: &'a [Run],
    /// Keys and values of earlier positions: `[1, key heads, p, head]` each.
    pub past: Option<&'a KeysValues>,
}

/// Positions whose final hidden states are requested.
pub(super) struct Selection<'a> {
    /// The sequence of each span, and its offsets among the sequence's new ids, ascending.
    pub spans: &'a [(usize, Vec<usize>)],
    /// Where each span is among the packed `n`.
    pub packing: &'a Packing,
    /// Packed indices of the selected positions: `[n]` i64.
    pub index: &'a Tensor,
    /// Positions within their sequences: `[n]` i64.
    pub positions: &'a Tensor,
}

/// Keys and values of a sequence's positions so far: `[1, key heads, positions, head]` each.
pub(super) type KeysValues = [Tensor; 2];

/// `x [n, in]` times the transpose of `weight [out, in]`.
pub(in crate::udvla) fn linear(x: &Tensor, weight: &Tensor) -> Result<Tensor, TchError> {
    PRODUCTS.set(PRODUCTS.get() + 1);
    x.f_linear(weight, None::<Tensor>)
}

thread_local! {
    static PRODUCTS: Cell<u64> = const { Cell::new(0) };
}

/// Number of products of hidden states with weights on this thread so far, independent of the
/// batch size: four per layer and forward pass; five in a last layer that computes selected
/// positions only, or one if none is selected; and one per part of the output head.
pub fn products() -> u64 {
    PRODUCTS.get()
}
