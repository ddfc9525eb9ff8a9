//! What stands in golden files of every kind.

use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::GoldenError;

/// The kinds of golden files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// Joint decoding, with or without logits.
    Jd3p,
    /// The two-stage decoder.
    IndependentDiffusion,
    /// The training loss.
    Loss,
    /// The vision tokenizer.
    Vq,
    /// Action tokenizers.
    Fast,
}

/// The file as JSON.
pub(super) fn read(path: &Path) -> Result<Value, GoldenError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| GoldenError::Read { path: path.into(), source })?;
    serde_json::from_str(&text).map_err(|source| GoldenError::Json { path: path.into(), source })
}

/// What kind of file it is.
pub(super) fn kind(file: &Value) -> Result<Kind, GoldenError> {
    let found = file.get("kind").unwrap_or(&Value::Null);
    Kind::deserialize(found).map_err(|_| GoldenError::Kind { found: found.to_string() })
}

/// The inputs of a kind.
pub(super) fn inputs<T: DeserializeOwned>(file: &Value) -> Result<T, GoldenError> {
    Ok(T::deserialize(file)?)
}
