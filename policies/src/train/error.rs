//! Why a training cannot go on.

use std::path::PathBuf;

use tch::TchError;

use crate::tokens::TokenError;
use crate::udvla::CheckpointError;

/// Why a training cannot go on.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages describe variants and fields")]
pub enum TrainError {
    #[error("`{file}` {what}")]
    Content { file: PathBuf, what: String },
    #[error("cannot read `{file}`")]
    Read { file: PathBuf, source: std::io::Error },
    #[error("cannot write `{file}`")]
    Write { file: PathBuf, source: std::io::Error },
    #[error("libtorch failed in training step {step}")]
    Torch { step: u64, source: TchError },
    #[error("the loss of training step {step} is not finite; a smaller `rate` may help")]
    NotFinite { step: u64 },
    #[error("stopped")]
    Stopped,
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Tokens(#[from] TokenError),
}

impl TrainError {
    pub(super) fn content(file: &std::path::Path, what: impl Into<String>) -> Self {
        Self::Content { file: file.to_owned(), what: what.into() }
    }

    /// Converts a libtorch error of a step.
    pub(super) fn torch(step: u64) -> impl Fn(TchError) -> Self {
        move |source| Self::Torch { step, source }
    }
}
