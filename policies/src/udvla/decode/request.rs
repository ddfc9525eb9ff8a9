//! Input, output and errors of decoders.

use tch::TchError;

use super::noise::Noise;
use crate::policy::Remark;
use crate::udvla::prompt::{Block, Prompt};

/// One sequence of a batch.
#[derive(Clone, Copy)]
#[expect(missing_docs, reason = "the types say what the fields are")]
pub struct Request<'a> {
    pub prompt: &'a Prompt,
    /// The block before the first step.
    pub block: &'a Block,
    /// The sequence's own random numbers.
    pub noise: &'a dyn Noise,
}

/// A generated block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// Ids of the block; left-to-right decoders stop after the end of actions.
    pub ids: Vec<i64>,
    /// Anomalies of the decoding.
    pub remarks: Vec<Remark>,
}

/// Why a block could not be decoded.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages describe variants and fields")]
pub enum DecodeError {
    /// Step 0 is the prompt.
    #[error("libtorch failed in denoising step {step}")]
    Torch { step: u16, source: TchError },
    #[error("the model's logits in denoising step {step} are not finite")]
    NotFinite { step: u16 },
    #[error("a sequence of {length} positions is longer than the model's {limit}")]
    TooLong { length: usize, limit: usize },
}
