//! What can be wrong with a tokenizer's or a statistics file.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// Why a tokenizer or normalisation file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file is missing, unreadable or not UTF-8.
    #[error("cannot read `{}`", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not JSON, or a key is missing or of another type.
    #[error("`{}` is not the expected JSON", .path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// One line of a text file is broken.
    #[error("line {line} of `{}` {what}", .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
    /// The file can be read, but what it says cannot be right or is not supported.
    #[error("`{}` {what}", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

impl TokenError {
    /// A [`TokenError::Content`] about `path`.
    pub(crate) fn content(path: &Path, what: impl Into<String>) -> Self {
        Self::Content { path: path.into(), what: what.into() }
    }
}

/// A whole file as text.
///
/// # Errors
/// [`TokenError::Read`].
pub(crate) fn read_text(path: &Path) -> Result<String, TokenError> {
    std::fs::read_to_string(path).map_err(|source| TokenError::Read { path: path.into(), source })
}

/// A whole file as JSON of the type `T`.
///
/// # Errors
/// [`TokenError::Read`], [`TokenError::Json`].
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, TokenError> {
    serde_json::from_str(&read_text(path)?)
        .map_err(|source| TokenError::Json { path: path.into(), source })
}
