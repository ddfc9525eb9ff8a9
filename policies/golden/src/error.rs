//! Why a golden file cannot be recomputed.

use std::path::PathBuf;

use udvla_policies::tokens::TokenError;
use udvla_policies::with_causes;

/// Why a golden file cannot be recomputed. A difference is not an error.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages describe variants and fields")]
pub enum GoldenError {
    #[error("cannot read `{}`", .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("`{}` is not JSON", .path.display())]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("`kind` is {found}, not one of {}", Self::KINDS.join(", "))]
    Kind { found: String },
    #[error("an input of the file is missing or not what it should be")]
    Input { source: serde_json::Error },
    #[error("`{key}` {reason}")]
    Value { key: String, reason: String },
    #[error("the FAST tokenizer `{name}` is not at hand")]
    NoTokenizers { name: String },
    #[error("the FAST tokenizer cannot be used")]
    Tokenizer { source: TokenError },
    #[error("{reason}")]
    Model { reason: String },
}

impl GoldenError {
    /// The kinds of files.
    pub const KINDS: [&'static str; 5] = ["jd3p", "independent_diffusion", "loss", "vq", "fast"];

    /// A [`GoldenError::Value`] about `key`.
    pub(crate) fn value(key: &str, reason: impl Into<String>) -> Self {
        Self::Value { key: key.into(), reason: reason.into() }
    }

    /// The next step for the reader, where one is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoTokenizers { .. } => Some(
                "pass the folder that holds a folder of this name with `--tokenizers DIR`, or set \
                 UDVLA_TEST_DATA to the folder above `udvla`",
            ),
            _ => None,
        }
    }
}

impl GoldenError {
    /// A failure of the model or libtorch, with its causes.
    pub(crate) fn model(error: &dyn std::error::Error) -> Self {
        Self::Model { reason: with_causes(error) }
    }
}

impl From<serde_json::Error> for GoldenError {
    fn from(source: serde_json::Error) -> Self {
        Self::Input { source }
    }
}
