//! Errors of tokenizer and statistics files.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::python_json::{Fault, from_value, parse};

use crate::files;

/// Why a tokenizer or normalization file cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages describe variants and fields")]
pub enum TokenError {
    #[error("cannot read `{}`", .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("`{}` is not the expected JSON", .path.display())]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("line {line} of `{}` {what}", .path.display())]
    Line { path: PathBuf, line: usize, what: String },
    #[error("`{}` {what}", .path.display())]
    Content { path: PathBuf, what: String },
}

impl TokenError {
    /// A [`TokenError::Content`] about `path`.
    pub(crate) fn content(path: &Path, what: impl Into<String>) -> Self {
        Self::Content { path: path.into(), what: what.into() }
    }
}

/// Reads a file as text.
pub(crate) fn read_text(path: &Path) -> Result<String, TokenError> {
    files::read_text(path).map_err(|source| TokenError::Read { path: path.into(), source })
}

/// Reads a file as JSON, as Python may have written it.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, TokenError> {
    parse(&read_text(path)?).map_err(|fault| described(fault, path, ""))
}

/// A value of the file `path` as `T`; `key` is where the value is, with a final point.
pub(crate) fn read_value<T: DeserializeOwned>(
    value: Value,
    path: &Path,
    key: &str,
) -> Result<T, TokenError> {
    from_value(value).map_err(|fault| described(fault, path, key))
}

fn described(fault: Fault, path: &Path, key: &str) -> TokenError {
    match fault {
        Fault::Json(source) => TokenError::Json { path: path.into(), source },
        Fault::NoNumber(rest) => {
            TokenError::content(path, format!("has no number at `{key}{rest}`"))
        }
    }
}
