//! The file of a recorded episode, in the safetensors format.
//!
//! Written here, as the library orders metadata by chance, and equal episodes must be equal files.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use safetensors::SafeTensors;
use serde_json::{Value, json};

use super::plan::Collection;
use super::recording::Recording;

/// Increased with every change of what a file holds.
pub const FORMAT: u16 = 1;

/// What is read back from a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Whether the episode succeeded.
    pub success: bool,
    /// Its control steps.
    pub steps: usize,
    /// Its recorded observations.
    pub observations: usize,
}

/// A tensor by name: type, shape, bytes.
type Tensor = (&'static str, Vec<usize>, Vec<u8>);

/// The bytes of a recorded episode's file.
pub fn bytes(collection: &Collection, recording: &Recording) -> Vec<u8> {
    let mut header = BTreeMap::from([("__metadata__".to_owned(), metadata(collection, recording))]);
    let mut data = vec![];
    // Widest numbers first, so that each tensor is aligned.
    for (name, (kind, shape, bytes)) in tensors(collection, recording) {
        let offsets = [data.len(), data.len() + bytes.len()];
        header.insert(name, json!({ "dtype": kind, "shape": shape, "data_offsets": offsets }));
        data.extend(bytes);
    }
    let mut text = json!(header).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    let length = (text.len() as u64).to_le_bytes();
    [length.as_slice(), &text, &data].concat()
}

/// What a file holds.
///
/// # Errors
/// When it is no such file.
pub fn summary(bytes: &[u8]) -> Result<Summary> {
    let (_, header) = SafeTensors::read_metadata(bytes)?;
    let metadata = header.metadata().as_ref().context("a file without metadata")?;
    let format = metadata.get("format").context("a file without a format")?;
    anyhow::ensure!(*format == FORMAT.to_string(), "a file of format {format}");
    let file = SafeTensors::deserialize(bytes)?;
    let rows = |name| Ok::<_, anyhow::Error>(file.tensor(name)?.shape()[0]);
    Ok(Summary {
        success: metadata.get("success").is_some_and(|text| text == "true"),
        steps: rows("labels")?,
        observations: rows("steps")?,
    })
}

fn metadata(collection: &Collection, recording: &Recording) -> Value {
    let Recording { key, instruction, success, final_state_sha256, .. } = recording;
    json!({
        "format": FORMAT.to_string(),
        "protocol": collection.protocol.fingerprint(),
        "suite": key.suite,
        "task": key.task.to_string(),
        "trial": key.trial.to_string(),
        "instruction": instruction,
        "seed": collection.seed.to_string(),
        "every": collection.every.to_string(),
        "success": success.to_string(),
        "final_state_sha256": final_state_sha256,
    })
}

fn tensors(collection: &Collection, recording: &Recording) -> Vec<(String, Tensor)> {
    let Recording { width, steps, views, state, target, labels, executed, noisy, .. } = recording;
    let (observations, played) = (steps.len(), noisy.len());
    let floats = |values: &[f32], shape: [usize; 2]| -> Tensor {
        ("F32", shape.to_vec(), udvla_sims::wire::to_bytes(values))
    };
    let columns = state.len() / observations.max(1);
    let step_bytes = steps.iter().flat_map(|step| step.to_le_bytes()).collect();
    let mut tensors: Vec<(String, Tensor)> = vec![
        ("steps".into(), ("I64", vec![observations], step_bytes)),
        ("labels".into(), floats(labels, [played, *width])),
        ("executed".into(), floats(executed, [played, *width])),
        ("state".into(), floats(state, [observations, columns])),
    ];
    if !target.is_empty() {
        tensors.push(("target".into(), floats(target, [observations, 3])));
    }
    tensors.push(("noisy".into(), ("U8", vec![played], noisy.clone())));
    if collection.policy.is_some() {
        tensors.push(("expert".into(), ("U8", vec![played], recording.expert.clone())));
    }
    for (index, (view, size)) in views.iter().zip(&collection.sizes).enumerate() {
        let side = usize::from(*size);
        let shape = vec![observations, side, side, 3];
        tensors.push((format!("view{index}"), ("U8", shape, view.clone())));
    }
    tensors
}
