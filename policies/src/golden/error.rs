//! Why a golden file cannot be recomputed.

use std::path::PathBuf;

use crate::tokens::TokenError;

/// Why a golden file cannot be recomputed; a file that can but differs is no error.
#[derive(Debug, thiserror::Error)]
pub enum GoldenError {
    /// The file cannot be read.
    #[error("cannot read `{}`", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not JSON.
    #[error("`{}` is not JSON", .path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The file's `kind` is missing or unknown.
    #[error("`kind` is {found}, not one of {}", Self::KINDS.join(", "))]
    Kind {
        /// What stands there.
        found: String,
    },
    /// An input is missing or of another type.
    #[error("an input of the file is missing or not what it should be")]
    Input {
        /// Which, and what it should be.
        source: serde_json::Error,
    },
    /// Inputs that contradict one another or that this program cannot compute with.
    #[error("`{key}` {reason}")]
    Value {
        /// The key.
        key: String,
        /// What is wrong with its value.
        reason: String,
    },
    /// The FAST tokenizers are not at hand.
    #[error("the FAST tokenizer `{name}` is not at hand")]
    NoTokenizers {
        /// The tokenizer's name.
        name: String,
    },
    /// A FAST tokenizer cannot be used.
    #[error("the FAST tokenizer cannot be used")]
    Tokenizer {
        /// What is wrong with it.
        source: TokenError,
    },
    /// The model failed, or this build has none.
    #[error("{reason}")]
    Model {
        /// What it said.
        reason: String,
    },
}

impl GoldenError {
    /// The kinds of files.
    pub const KINDS: [&'static str; 5] = ["jd3p", "independent_diffusion", "loss", "vq", "fast"];

    /// A [`GoldenError::Value`] about `key`.
    pub(super) fn value(key: &str, reason: impl Into<String>) -> Self {
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

#[cfg(feature = "torch")]
impl GoldenError {
    /// What the model or libtorch said, with its causes.
    pub(super) fn model(error: &dyn std::error::Error) -> Self {
        let mut reason = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            reason = format!("{reason}: {error}");
            cause = error.source();
        }
        Self::Model { reason }
    }
}

impl From<serde_json::Error> for GoldenError {
    fn from(source: serde_json::Error) -> Self {
        Self::Input { source }
    }
}
