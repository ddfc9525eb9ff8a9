//! Golden files: recorded outputs of the released code, and their recomputation.
//!
//! Weights and noise follow from a formula ([`uniform`] and its kin), so that a file holds only
//! inputs and outputs. [`Golden`] recomputes the outputs of every kind of file with the model,
//! tokenizers and samplers that an evaluation runs, and [`first_difference`] compares.

mod compare;
#[cfg(feature = "torch")]
mod decoding;
mod error;
mod fast;
mod file;
mod formula;
#[cfg(feature = "torch")]
mod loss;
#[cfg(feature = "torch")]
mod model;
mod recompute;
#[cfg(feature = "torch")]
mod vision;

pub use compare::{Difference, first_difference};
pub use error::GoldenError;
pub use formula::{language_weight, uniform, vision_weight};
pub use recompute::Golden;
