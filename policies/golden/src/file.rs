//! Reading of golden files.

use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::GoldenError;

/// The kinds of golden files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
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

/// Upper bound of the numbers of a tensor set: 1 GB in f64.
pub(crate) const LARGEST: i64 = 1 << 27;
/// Upper bound of rows of a chunk, positions of a sequence, and slots.
pub(crate) const LONGEST: usize = 1 << 14;

/// Reads a file as JSON.
pub(crate) fn read(path: &Path) -> Result<Value, GoldenError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| GoldenError::Read { path: path.into(), source })?;
    serde_json::from_str(&text).map_err(|source| GoldenError::Json { path: path.into(), source })
}

/// Kind of a file.
pub(crate) fn kind(file: &Value) -> Result<Kind, GoldenError> {
    let kind = file.get("kind").unwrap_or(&Value::Null);
    Kind::deserialize(kind).map_err(|_| GoldenError::Kind { found: kind.to_string() })
}

/// Total number of elements of a set of tensors.
pub(crate) fn numbers<'a>(shapes: impl IntoIterator<Item = &'a Vec<i64>>) -> i64 {
    let count = |shape: &Vec<i64>| shape.iter().fold(1_i64, |n, side| n.saturating_mul(*side));
    shapes.into_iter().fold(0, |sum, shape| sum.saturating_add(count(shape)))
}

/// Inputs of a file, as the kind's type.
pub(crate) fn inputs<T: DeserializeOwned>(file: &Value) -> Result<T, GoldenError> {
    Ok(T::deserialize(file)?)
}
