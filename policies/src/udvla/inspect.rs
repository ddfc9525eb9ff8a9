//! Contents of a checkpoint directory, part by part, with all faults.
//!
//! Opening a checkpoint stops at the first fault; an inspection lists them all. Weights are
//! compared by name, shape and number format; their values are not read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::checkpoint::{
    Benchmark, CONFIG, Checkpoint, CheckpointError, ModelConfig, StoredTensor, Target, Weights,
    weight_files,
};
use super::model::Transformer;
use super::model::mask::Parts;
use crate::policy::with_causes;
use crate::vision::{VisionConfig, VisionTokenizer};

/// One part of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the name says what the field is")]
pub struct Part {
    pub name: String,
    /// One line each.
    pub facts: Vec<String>,
    /// One line each; empty for a valid part.
    pub faults: Vec<String>,
}

impl Part {
    fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), facts: vec![], faults: vec![] }
    }

    /// The value, or `None` after recording a fault.
    fn ok<T>(&mut self, result: Result<T, CheckpointError>) -> Option<T> {
        result.map_err(|error| self.faults.push(with_causes(&error))).ok()
    }

    fn fact(&mut self, text: impl Into<String>) {
        self.facts.push(text.into());
    }
}

/// Inspects all parts of a checkpoint, the manifest first.
pub fn inspect(checkpoint: &Checkpoint) -> Vec<Part> {
    let manifest = checkpoint.manifest();
    let mut whole = Part::new("checkpoint");
    whole.fact(format!("name: {}", manifest.name));
    whole.fact(match manifest.target {
        Target::Future => "target future: the generated images show the scene after the chunk",
        Target::Current => "target current: the generated images show the current scene",
        Target::Null => "target null: no images are generated, actions only",
    });
    let mut model = Part::new("language model");
    let config = model.ok(checkpoint.config());
    if let Some(config) = &config {
        attention(&mut whole, checkpoint, config);
        language_model(&mut model, checkpoint, config);
    }
    if let Some(digest) = whole.ok(checkpoint.digest()) {
        whole.fact(format!("digest: {digest}"));
    }
    let mut parts = vec![whole, model, vision(checkpoint)];
    if let Some(config) = &config {
        parts.push(text(checkpoint, config));
    }
    for (name, benchmark) in &manifest.benchmarks {
        parts.push(inspect_benchmark(checkpoint, name, benchmark));
    }
    parts
}

/// Lengths of the parts of an instruction's sequence on one benchmark.
///
/// # Errors
/// An unknown benchmark, an invalid configuration or text tokenizer.
pub fn sequence_parts(
    checkpoint: &Checkpoint,
    benchmark: &str,
    instruction: &str,
) -> Result<Parts, CheckpointError> {
    let layout = &checkpoint.benchmark(benchmark)?.layout;
    let text = checkpoint.text(&checkpoint.config()?)?;
    let text_length = 1 + text.encode(instruction).len();
    Ok(Parts::of_layout(layout, text_length, checkpoint.manifest().target))
}

fn attention(part: &mut Part, checkpoint: &Checkpoint, config: &ModelConfig) {
    let flag = |flag: Option<bool>| flag.map_or("absent".into(), |flag| flag.to_string());
    part.fact(format!(
        "mask flags: use_blockwise_attn_mask {}, use_bidirectional_attn_mask {}; manifest: {}",
        flag(config.sizes.use_blockwise_attn_mask),
        flag(config.sizes.use_bidirectional_attn_mask),
        checkpoint.manifest().attention.map_or("names none".into(), |mask| mask.to_string()),
    ));
    if let Some(attention) = part.ok(checkpoint.attention(config)) {
        part.fact(format!("attention: {attention}"));
    }
}

fn language_model(part: &mut Part, checkpoint: &Checkpoint, config: &ModelConfig) {
    let sizes = &config.sizes;
    part.fact(format!(
        "{} layers of width {} ({} inside), {} heads ({} of keys) of {}, vocabulary {}, at most \
         {} positions",
        sizes.num_hidden_layers,
        sizes.hidden_size,
        sizes.intermediate_size,
        sizes.num_attention_heads,
        sizes.num_key_value_heads,
        config.head_size(),
        sizes.vocab_size,
        sizes.max_position_embeddings,
    ));
    tensors(part, &checkpoint.model_folder(), &Transformer::parameters(config));
}

fn vision(checkpoint: &Checkpoint) -> Part {
    let mut part = Part::new("vision tokenizer");
    let dir = checkpoint.vision_folder();
    match VisionConfig::open(&dir.join(CONFIG)) {
        Err(error) => part.faults.push(with_causes(&error)),
        Ok(config) => {
            part.fact(format!(
                "{} codes of {} numbers, {} channels, one code for {} pixels along each side",
                config.codebook_size,
                config.embed_dim,
                config.ch,
                config.pixels_per_code(),
            ));
            let counts = |(name, _): &(String, _)| !name.ends_with(".num_batches_tracked");
            let expected = VisionTokenizer::parameters(&config).into_iter().filter(counts);
            tensors(&mut part, &dir, &expected.collect::<Vec<_>>());
        }
    }
    part
}

/// Compares the weight files of `dir` with the expected names and shapes.
fn tensors(part: &mut Part, dir: &Path, expected: &[(String, Vec<i64>)]) {
    let Some(files) = part.ok(weight_files(dir)) else { return };
    let size = |file: &Path| std::fs::metadata(file).map(|metadata| metadata.len());
    let missing: Vec<_> = files.iter().filter(|file| size(file).is_err()).collect();
    if !missing.is_empty() {
        let lines = missing.iter().map(|file| format!("`{}` is missing", file.display()));
        part.faults.extend(lines);
        return;
    }
    let Some(weights) = part.ok(Weights::open(dir)) else { return };
    let mut stored: BTreeMap<_, _> =
        weights.stored().map(|tensor| (tensor.name.to_owned(), tensor)).collect();
    let dtypes: BTreeSet<&str> = stored.values().map(|tensor| tensor.dtype.as_str()).collect();
    let bytes: u64 = files.iter().filter_map(|file| size(file).ok()).sum();
    let parameters: i64 = expected.iter().map(|(_, shape)| shape.iter().product::<i64>()).sum();
    part.fact(format!(
        "{:.2} M parameters in {} tensors, stored as {} in {} ({:.1} MB)",
        parameters as f64 / 1e6,
        expected.len(),
        dtypes.into_iter().collect::<Vec<_>>().join(", "),
        if files.len() == 1 { "one file".into() } else { format!("{} files", files.len()) },
        bytes as f64 / 1e6,
    ));
    for (name, shape) in expected {
        part.faults.extend(tensor_fault(name, shape, stored.remove(name)));
    }
    surplus_tensors(part, stored.into_keys());
}

/// What is wrong with a stored tensor, if anything.
fn tensor_fault(name: &str, shape: &[i64], stored: Option<StoredTensor>) -> Option<String> {
    match stored {
        None => Some(format!("tensor `{name}` {shape:?} is missing")),
        Some(tensor) if tensor.shape != shape => {
            Some(format!("tensor `{name}` has shape {:?}, expected {shape:?}", tensor.shape))
        }
        Some(tensor) if !tensor.supported => {
            Some(format!("tensor `{name}` has the unsupported number format {}", tensor.dtype))
        }
        Some(_) => None,
    }
}

/// Notes the stored tensors that the model does not have: a fault within its layers.
fn surplus_tensors(part: &mut Part, names: impl Iterator<Item = String>) {
    let (of_layers, others): (Vec<_>, Vec<_>) = names
        .filter(|name| !name.ends_with(".num_batches_tracked"))
        .partition(|name| name.starts_with("model.layers."));
    part.faults
        .extend(of_layers.iter().map(|name| format!("tensor `{name}` has no place in the model")));
    if !others.is_empty() {
        part.fact(format!("{} tensors that are not used", others.len()));
    }
}

fn text(checkpoint: &Checkpoint, config: &ModelConfig) -> Part {
    let mut part = Part::new("text tokenizer");
    if let Some(text) = part.ok(checkpoint.text(config)) {
        part.fact(format!("{} ids, special tokens where the model has them", text.vocabulary()));
    }
    part
}

fn inspect_benchmark(checkpoint: &Checkpoint, name: &str, benchmark: &Benchmark) -> Part {
    let mut part = Part::new(format!("benchmark `{name}`"));
    let layout = &benchmark.layout;
    for image in &layout.images {
        part.fact(format!(
            "image `{}`: {}x{} resized to {}x{}, {} positions (size text {})",
            image.camera,
            image.height,
            image.width,
            image.resized[0],
            image.resized[1],
            image.positions(),
            image.size_text(),
        ));
    }
    let images: usize = layout.generated_positions(checkpoint.manifest().target).iter().sum();
    part.fact(format!(
        "block of {} positions: {images} of images, {} action slots; chunk of {} x {}, {} denoising \
         steps",
        images + layout.action_slots,
        layout.action_slots,
        layout.horizon,
        layout.action_width,
        benchmark.denoise_steps,
    ));
    if let Some(fast) = part.ok(checkpoint.fast(benchmark)) {
        part.fact(format!("FAST action tokenizer of {} ids", fast.vocabulary()));
    }
    if part.ok(checkpoint.stats(benchmark)).is_some() {
        part.fact(format!("action ranges `{}`", benchmark.norm_stats.name));
        part.ok(checkpoint.check_parts(name));
    }
    part
}
