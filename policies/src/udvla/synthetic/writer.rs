//! Writes synthetic checkpoints.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView, serialize};
use serde_json::{Value, json};

use super::presets::{Preset, manifest, norm_stats};
use crate::formula;
use crate::tokens::{synthetic_json, synthetic_ranks};
use crate::udvla::checkpoint::{
    CONFIG, CheckpointError, FAST_CONFIG, FAST_TOKENIZER, INDEX, MANIFEST, SINGLE, Target,
};
use crate::udvla::model::Transformer;
use crate::vision::VisionTokenizer;

/// Writes a complete checkpoint with synthetic weights: the same bytes for the same preset and
/// seed. It has settings for all benchmarks; its actions are noise. `target` changes what it
/// generates, not its weights.
///
/// # Errors
/// An unknown preset, a directory that is not empty, a failed write.
pub fn make_checkpoint(
    preset: &str,
    seed: u64,
    target: Target,
    dir: &Path,
) -> Result<(), CheckpointError> {
    let small = || Preset::ALL.into_iter().filter(|preset| preset.is_small());
    let Some(preset) = small().find(|known| known.name() == preset) else {
        return Err(CheckpointError::Choice {
            what: "preset",
            value: preset.to_owned(),
            known: small().map(Preset::name).collect::<Vec<_>>().join(", "),
        });
    };
    let writer = Writer::new(preset, seed, target, dir)?;
    writer.weights()?;
    writer.other_files()
}

/// Writes everything of a checkpoint but its weights, for
/// [`Checkpoint::open_with_random_weights`](crate::udvla::Checkpoint::open_with_random_weights).
///
/// # Errors
/// A directory that is not empty, a failed write.
pub fn make_checkpoint_without_weights(preset: Preset, dir: &Path) -> Result<(), CheckpointError> {
    Writer::new(preset, 0, Target::Future, dir)?.other_files()
}

struct Writer<'a> {
    preset: Preset,
    dir: &'a Path,
    seed: u64,
    target: Target,
}

/// A tensor to write.
struct Weight {
    name: String,
    shape: Vec<i64>,
    bytes: Vec<u8>, // f32, little endian
}

impl Weight {
    fn view(&self) -> TensorView<'_> {
        let shape = self.shape.iter().map(|&n| n as usize).collect();
        TensorView::new(Dtype::F32, shape, &self.bytes).expect("bytes made for this shape")
    }
}

impl<'a> Writer<'a> {
    fn new(
        preset: Preset,
        seed: u64,
        target: Target,
        dir: &'a Path,
    ) -> Result<Self, CheckpointError> {
        let has_entries = fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some());
        match has_entries || dir.is_file() {
            true => Err(CheckpointError::NotEmpty { dir: dir.to_owned() }),
            false => Ok(Self { preset, dir, seed, target }),
        }
    }

    fn weights(&self) -> Result<(), CheckpointError> {
        self.shards("model", Transformer::parameters(&self.preset.model()))?;
        let weights: Vec<_> = VisionTokenizer::parameters(&self.preset.vision())
            .into_iter()
            // A counter that is never read.
            .filter(|(name, _)| !name.ends_with(".num_batches_tracked"))
            .map(|(name, shape)| self.weight("vision", name, shape))
            .collect();
        self.weight_file(&format!("vision/{SINGLE}"), &weights)
    }

    fn other_files(&self) -> Result<(), CheckpointError> {
        self.text("text/ranks.tiktoken", &synthetic_ranks())?;
        let names = ["<|image token|>", "<|image start|>", "<|image end|>"].map(str::to_owned);
        let codes = 0..self.preset.vision().codebook_size;
        let codes = codes.map(|code| format!("<|visual token {code:06}|>"));
        let names: Vec<String> = names.into_iter().chain(codes).collect();
        self.text("text/vision_tokens.txt", &(names.join("\n") + "\n"))?;

        let (tokenizer, config) = synthetic_json();
        self.text(&format!("fast/{FAST_TOKENIZER}"), &tokenizer)?;
        self.text(&format!("fast/{FAST_CONFIG}"), &config)?;
        self.json("norm_stats.json", &norm_stats())?;
        self.json(&format!("model/{CONFIG}"), &self.preset.model().to_json())?;
        self.json(&format!("vision/{CONFIG}"), &json!(self.preset.vision()))?;

        // The manifest is written last: a directory without it is incomplete.
        let name = format!("{} with seed {}", self.preset.name(), self.seed);
        self.json(MANIFEST, &json!(manifest(name, self.target)))
    }

    /// Two shards and their index, as in large models.
    fn shards(
        &self,
        folder: &str,
        parameters: Vec<(String, Vec<i64>)>,
    ) -> Result<(), CheckpointError> {
        let half = parameters.len().div_ceil(2);
        let mut map = BTreeMap::new();
        let mut size = 0;
        for (index, part) in parameters.chunks(half).enumerate() {
            let file = format!("model-{:05}-of-00002.safetensors", index + 1);
            let weights: Vec<_> = part
                .iter()
                .map(|(name, shape)| self.weight(folder, name.clone(), shape.clone()))
                .collect();
            self.weight_file(&format!("{folder}/{file}"), &weights)?;
            size += weights.iter().map(|weight| weight.bytes.len()).sum::<usize>();
            map.extend(weights.into_iter().map(|weight| (weight.name, file.clone())));
        }
        let index = json!({ "metadata": { "total_size": size }, "weight_map": map });
        self.json(&format!("{folder}/{INDEX}"), &index)
    }

    /// A weight of unit-variance scale; a function of seed, folder and name.
    fn weight(&self, folder: &str, name: String, shape: Vec<i64>) -> Weight {
        let count = |shape: &[i64]| shape.iter().product::<i64>() as usize;
        let uniform = formula::uniform(&format!("{}/{folder}/{name}", self.seed), count(&shape));
        let last = name.rsplit('.').next().unwrap_or_default();
        let (centre, spread) = match (last, &shape[..]) {
            ("running_mean", _) => (0.0, 0.1),
            ("running_var", _) => (1.0, 0.5),
            ("weight", [_]) => (1.0, 0.1),
            (_, [_] | []) => (0.0, 0.05),
            _ if name.contains("embed") => (0.0, 1.0),
            (_, [_, inputs @ ..]) => (0.0, (3.0 / count(inputs) as f64).sqrt()),
        };
        let number = |u: f64| (centre + spread * (2.0 * u - 1.0)) as f32;
        let bytes = uniform.into_iter().flat_map(|u| number(u).to_le_bytes()).collect();
        Weight { name, shape, bytes }
    }

    fn weight_file(&self, name: &str, weights: &[Weight]) -> Result<(), CheckpointError> {
        let views = weights.iter().map(|weight| (&weight.name, weight.view()));
        let bytes = serialize(views, None).expect("synthetic headers are small");
        self.write(name, &bytes)
    }

    fn json(&self, name: &str, value: &Value) -> Result<(), CheckpointError> {
        self.text(name, &format!("{value:#}\n"))
    }

    fn text(&self, name: &str, text: &str) -> Result<(), CheckpointError> {
        self.write(name, text.as_bytes())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), CheckpointError> {
        let file = self.dir.join(name);
        let parent = file.parent().unwrap_or(self.dir);
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&file, bytes))
            .map_err(|source| CheckpointError::Write { file: file.clone(), source })
    }
}
