//! Golden files: recorded outputs of the released code, and their recomputation.
//!
//! Weights and noise follow from a formula ([`udvla_policies::formula`]), so that a file contains
//! only inputs and outputs. [`Golden`] recomputes the outputs of every kind of file with the model,
//! tokenizers and decoders of an evaluation, and [`first_difference`] compares. The binary
//! `udvla-golden` does both for files on the command line.

mod compare;
mod decoding;
mod error;
mod fast;
mod file;
mod loss;
mod model;
mod recompute;
mod vision;

pub use compare::{Difference, first_difference};
pub use error::GoldenError;
pub use recompute::Golden;
