//! The decoder trait, and observation of its steps.

use std::fmt;

use super::generator::Generator;
use super::request::{DecodeError, Generated, Request};

/// Fills the blocks of a batch.
pub trait Decoder: fmt::Debug + Send + Sync {
    /// Generates the block of each request, in order. Each result is bit-identical to that of
    /// decoding the request alone.
    ///
    /// # Errors
    /// Logits that are not finite, a sequence that is too long, whatever libtorch refuses. An
    /// error of one request fails the batch.
    fn decode(
        &self,
        generator: &Generator,
        requests: &[Request],
        observer: &mut dyn Observer,
    ) -> Result<Vec<Generated>, DecodeError>;
}

/// Watches a decoding.
pub trait Observer {
    /// The prompts' caches are computed.
    fn prefilled(&mut self) {}

    /// A denoising step of sequence number `sequence` ended.
    fn step(&mut self, _sequence: usize, _step: &Step) {}
}

/// Observes steps only.
impl<F: FnMut(usize, &Step)> Observer for F {
    fn step(&mut self, sequence: usize, step: &Step) {
        self(sequence, step);
    }
}

/// State of a sequence after a denoising step. Positions count from the start of the stage's part
/// of the block.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Number of the step, from 1.
    pub step: u16,
    /// All ids: sampled where they were masked, kept elsewhere.
    pub sampled: Vec<i64>,
    /// Positions that are MASK again, ascending.
    pub masked: Vec<usize>,
    /// Temperature of the released sampler's ranking noise, or sampling temperature of the paper's.
    pub temperature: f64,
    /// Positions that this step fixed, ascending.
    pub fixed: Vec<Fixed>,
    /// Whether the released code would have replaced the whole prompt by MASK in this step,
    /// because the first end of actions was in the last slot. Always false for the paper's sampler.
    pub guarded: bool,
}

/// A position that a step fixed.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(missing_docs, reason = "the names say what the fields are")]
pub struct Fixed {
    pub position: usize,
    pub id: i64,
    /// Probability of the id (released sampler) or largest probability of the position (paper's).
    pub confidence: f64,
}
