//! What a checkpoint directory holds, part by part, and everything that is wrong with it.
//!
//! Opening a checkpoint stops at the first fault; this goes on and lists them all. Weights are
//! compared by name, shape and number format; their numbers are not read.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::Path;

use super::attention::Parts;
use super::checkpoint::{CONFIG, Checkpoint};
use super::config::ModelConfig;
use super::error::CheckpointError;
use super::manifest::Benchmark;
use super::prompt::Target;
use super::transformer::Transformer;
use super::weights::{self, Weights};
use crate::vision::{VisionConfig, VisionTokenizer};

/// One part of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What it is.
    pub name: String,
    /// What is known of it, a line each.
    pub facts: Vec<String>,
    /// What is missing or wrong, a line each; empty for a sound part.
    pub faults: Vec<String>,
}

impl Part {
    fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), facts: vec![], faults: vec![] }
    }

    /// The value, or nothing and a fault.
    fn take<T>(&mut self, result: Result<T, CheckpointError>) -> Option<T> {
        result.map_err(|error| self.faults.push(chain(&error))).ok()
    }

    fn fact(&mut self, text: impl Into<String>) {
        self.facts.push(text.into());
    }
}

/// All parts of a checkpoint, the manifest first.
pub fn inspect(checkpoint: &Checkpoint) -> Vec<Part> {
    let manifest = checkpoint.manifest();
    let mut whole = Part::new("checkpoint");
    whole.fact(format!("name: {}", manifest.name));
    whole.fact(match manifest.target {
        Target::Future => "target future: the generated views show the scene after the chunk",
        Target::Current => "target current: the generated views show the scene as it is",
        Target::Null => "target null: no views are generated, actions alone",
    });
    let mut model = Part::new("language model");
    let config = model.take(checkpoint.config());
    if let Some(config) = &config {
        attention(&mut whole, checkpoint, config);
        language_model(&mut model, checkpoint, config);
    }
    if let Some(digest) = whole.take(checkpoint.digest()) {
        whole.fact(format!("digest: {digest}"));
    }
    let mut parts = vec![whole, model, vision(checkpoint)];
    if let Some(config) = &config {
        parts.push(text(checkpoint, config));
    }
    let benchmarks = manifest.benchmarks.iter();
    parts.extend(benchmarks.map(|(name, benchmark)| of_benchmark(checkpoint, name, benchmark)));
    parts
}

/// How the sequence of an instruction divides on one benchmark.
///
/// # Errors
/// An unknown benchmark, a configuration or text tokenizer that cannot be used.
pub fn parts_of(
    checkpoint: &Checkpoint,
    benchmark: &str,
    instruction: &str,
) -> Result<Parts, CheckpointError> {
    let layout = &checkpoint.benchmark(benchmark)?.layout;
    let text = checkpoint.text(&checkpoint.config()?)?;
    Ok(layout.parts(1 + text.encode(instruction).len(), checkpoint.manifest().target))
}

fn attention(part: &mut Part, checkpoint: &Checkpoint, config: &ModelConfig) {
    let flag = |flag: Option<bool>| flag.map_or("absent".into(), |flag| flag.to_string());
    part.fact(format!(
        "mask flags: use_blockwise_attn_mask {}, use_bidirectional_attn_mask {}; manifest: {}",
        flag(config.sizes.use_blockwise_attn_mask),
        flag(config.sizes.use_bidirectional_attn_mask),
        checkpoint.manifest().attention.map_or("names none".into(), |mask| mask.to_string()),
    ));
    if let Some(attention) = part.take(checkpoint.attention(config)) {
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
        Err(error) => part.faults.push(chain(&error)),
        Ok(config) => {
            part.fact(format!(
                "{} codes of {} numbers, {} channels, one code for {} pixels along each side",
                config.codebook_size,
                config.embed_dim,
                config.ch,
                config.pixels_per_code(),
            ));
            let counts = |(name, _): &(String, _)| !name.ends_with(".num_batches_tracked");
            let wanted = VisionTokenizer::parameters(&config).into_iter().filter(counts);
            tensors(&mut part, &dir, &wanted.collect::<Vec<_>>());
        }
    }
    part
}

/// Compares the weight files of `dir` with the tensors that the configuration asks for.
fn tensors(part: &mut Part, dir: &Path, wanted: &[(String, Vec<i64>)]) {
    let Some(files) = part.take(weights::files(dir)) else { return };
    let size = |file: &Path| std::fs::metadata(file).map(|found| found.len());
    let missing: Vec<_> = files.iter().filter(|file| size(file).is_err()).collect();
    if !missing.is_empty() {
        let lines = missing.iter().map(|file| format!("`{}` is missing", file.display()));
        part.faults.extend(lines);
        return;
    }
    let Some(weights) = part.take(Weights::open(dir)) else { return };
    let mut stored: BTreeMap<_, _> =
        weights.stored().map(|tensor| (tensor.name.to_owned(), tensor)).collect();
    let dtypes: BTreeSet<&str> = stored.values().map(|tensor| tensor.dtype.as_str()).collect();
    let bytes: u64 = files.iter().filter_map(|file| size(file).ok()).sum();
    let parameters: i64 = wanted.iter().map(|(_, shape)| shape.iter().product::<i64>()).sum();
    part.fact(format!(
        "{:.2} M parameters in {} tensors, stored as {} in {} ({:.1} MB)",
        parameters as f64 / 1e6,
        wanted.len(),
        dtypes.into_iter().collect::<Vec<_>>().join(", "),
        if files.len() == 1 { "one file".into() } else { format!("{} files", files.len()) },
        bytes as f64 / 1e6,
    ));
    for (name, shape) in wanted {
        match stored.remove(name) {
            None => part.faults.push(format!("tensor `{name}` {shape:?} is missing")),
            Some(tensor) if tensor.shape != *shape => part
                .faults
                .push(format!("tensor `{name}` has shape {:?}, wanted {shape:?}", tensor.shape)),
            Some(tensor) if !tensor.readable => part.faults.push(format!(
                "tensor `{name}` has the unsupported number format {}",
                tensor.dtype
            )),
            Some(_) => {}
        }
    }
    let surplus: Vec<_> =
        stored.into_keys().filter(|name| !name.ends_with(".num_batches_tracked")).collect();
    let in_layers = |name: &&String| name.starts_with("model.layers.");
    let of_layers = surplus.iter().filter(in_layers);
    part.faults.extend(of_layers.map(|name| format!("tensor `{name}` has no place in the model")));
    let others = surplus.iter().filter(|name| !in_layers(name)).count();
    if others > 0 {
        part.fact(format!("{others} tensors that are not used"));
    }
}

fn text(checkpoint: &Checkpoint, config: &ModelConfig) -> Part {
    let mut part = Part::new("text tokenizer");
    if let Some(text) = part.take(checkpoint.text(config)) {
        part.fact(format!("{} ids, special tokens where the model has them", text.vocabulary()));
    }
    part
}

fn of_benchmark(checkpoint: &Checkpoint, name: &str, benchmark: &Benchmark) -> Part {
    let mut part = Part::new(format!("benchmark `{name}`"));
    let layout = &benchmark.layout;
    for view in &layout.views {
        part.fact(format!(
            "view `{}`: {}x{} resized to {}x{}, {} positions (size text {})",
            view.camera,
            view.height,
            view.width,
            view.resized[0],
            view.resized[1],
            view.positions(),
            view.size_text(),
        ));
    }
    let views: usize = layout.generated_positions(checkpoint.manifest().target).iter().sum();
    part.fact(format!(
        "block of {} positions: {views} of views, {} action slots; chunk of {} x {}, {} denoising \
         steps",
        views + layout.action_slots,
        layout.action_slots,
        layout.horizon,
        layout.action_width,
        benchmark.denoise_steps,
    ));
    if let Some(fast) = part.take(checkpoint.fast(benchmark)) {
        part.fact(format!("FAST action tokenizer of {} ids", fast.vocabulary()));
    }
    if part.take(checkpoint.stats(benchmark)).is_some() {
        part.fact(format!("action ranges `{}`", benchmark.norm_stats.name));
    }
    part
}

/// The error with all its causes, in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
