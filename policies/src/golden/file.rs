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

/// More numbers than this no tensor set of a golden file has: 1 GB in f64.
#[cfg(feature = "torch")]
pub(super) const LARGEST: i64 = 1 << 27;
/// More rows of a chunk, positions of a sequence or slots than this no golden file has.
pub(super) const LONGEST: usize = 1 << 14;

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

/// How many numbers a set of tensors has together.
#[cfg(feature = "torch")]
pub(super) fn numbers<'a>(shapes: impl IntoIterator<Item = &'a Vec<i64>>) -> i64 {
    let count = |shape: &Vec<i64>| shape.iter().fold(1_i64, |n, side| n.saturating_mul(*side));
    shapes.into_iter().fold(0, |sum, shape| sum.saturating_add(count(shape)))
}

/// The inputs of a kind.
pub(super) fn inputs<T: DeserializeOwned>(file: &Value) -> Result<T, GoldenError> {
    Ok(T::deserialize(file)?)
}
