//! A small complete checkpoint with synthetic weights, for trying everything without a download.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, TensorView, serialize};
use serde_json::{Value, json};

use super::checkpoint::{CONFIG, FAST_CONFIG, FAST_TOKENIZER};
use super::config::{ModelConfig, Sizes, SpecialIds};
use super::error::CheckpointError;
use super::manifest::{Benchmark, FORMAT, MANIFEST, Manifest, NormFile, Rotation, Target, Text};
use super::prompt::{Layout, View};
use super::transformer::Transformer;
use super::weights::{INDEX, SINGLE};
use crate::golden;
use crate::normalize::GripperRule;
use crate::tokens::{synthetic_json, synthetic_ranks};
use crate::vision::{VisionConfig, VisionTokenizer};

/// The presets that [`make_checkpoint`] knows.
pub const PRESETS: [&str; 1] = ["nano"];

/// Visual codes of the nano vision tokenizer.
const CODES: usize = 512;
/// Entries of the synthetic action tokenizer.
const ACTIONS: i64 = 1024;

/// Writes a complete checkpoint with synthetic weights: the same bytes for the same preset and
/// seed. It knows all three benchmarks and nothing about any of them: its actions are noise.
///
/// # Errors
/// An unknown preset, a directory that is not empty, a disk that refuses.
pub fn make_checkpoint(preset: &str, seed: u64, dir: &Path) -> Result<(), CheckpointError> {
    if !PRESETS.contains(&preset) {
        return Err(CheckpointError::Choice {
            what: "preset",
            wanted: preset.to_owned(),
            known: PRESETS.join(", "),
        });
    }
    let taken = fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some());
    if taken || dir.is_file() {
        return Err(CheckpointError::NotEmpty { dir: dir.to_owned() });
    }
    Writer { dir, seed }.all()
}

struct Writer<'a> {
    dir: &'a Path,
    seed: u64,
}

/// A tensor ready to be written.
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

impl Writer<'_> {
    fn all(&self) -> Result<(), CheckpointError> {
        self.text("text/ranks.tiktoken", &synthetic_ranks())?;
        let names = ["<|image token|>", "<|image start|>", "<|image end|>"].map(str::to_owned);
        let codes = (0..CODES).map(|code| format!("<|visual token {code:06}|>"));
        let names: Vec<String> = names.into_iter().chain(codes).collect();
        self.text("text/vision_tokens.txt", &(names.join("\n") + "\n"))?;

        let (tokenizer, config) = synthetic_json();
        self.text(&format!("fast/{FAST_TOKENIZER}"), &tokenizer)?;
        self.text(&format!("fast/{FAST_CONFIG}"), &config)?;
        self.json("norm_stats.json", &norm_stats())?;

        let config = model_config();
        self.json(&format!("model/{CONFIG}"), &config.to_json())?;
        self.shards("model", Transformer::parameters(&config))?;

        let config = VisionConfig { codebook_size: CODES as i64, ..VisionConfig::tiny() };
        self.json(&format!("vision/{CONFIG}"), &json!(config))?;
        let weights: Vec<_> = VisionTokenizer::parameters(&config)
            .into_iter()
            // A count that nothing reads.
            .filter(|(name, _)| !name.ends_with(".num_batches_tracked"))
            .map(|(name, shape)| self.weight("vision", name, shape))
            .collect();
        self.weights(&format!("vision/{SINGLE}"), &weights)?;

        // The manifest comes last: a directory without it is visibly unfinished.
        self.json(MANIFEST, &json!(manifest(self.seed)))
    }

    /// Two shards and their index, as large models have them.
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
            self.weights(&format!("{folder}/{file}"), &weights)?;
            size += weights.iter().map(|weight| weight.bytes.len()).sum::<usize>();
            map.extend(weights.into_iter().map(|weight| (weight.name, file.clone())));
        }
        let index = json!({ "metadata": { "total_size": size }, "weight_map": map });
        self.json(&format!("{folder}/{INDEX}"), &index)
    }

    /// A weight of unit-variance scale, a function of seed, folder and name.
    fn weight(&self, folder: &str, name: String, shape: Vec<i64>) -> Weight {
        let count = |shape: &[i64]| shape.iter().product::<i64>() as usize;
        let uniform = golden::uniform(&format!("{}/{folder}/{name}", self.seed), count(&shape));
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

    fn weights(&self, name: &str, weights: &[Weight]) -> Result<(), CheckpointError> {
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

/// Ids where the text tokenizer of 256 bytes puts its special tokens; action ids lie behind the
/// visual codes, for there are not enough text ids to lie over.
fn model_config() -> ModelConfig {
    let pad = 256;
    let extra = |index: i64| pad + 3 + index;
    let img = extra(205);
    let bov = img + 3;
    let eov = bov + CODES as i64 - 1;
    let last = eov + 1 + ACTIONS;
    ModelConfig {
        sizes: Sizes {
            vocab_size: last + 1,
            hidden_size: 64,
            intermediate_size: 128,
            num_hidden_layers: 2,
            num_attention_heads: 2,
            num_key_value_heads: 1,
            rms_norm_eps: 1e-5,
            rope_theta: 1e6,
            max_position_embeddings: 2048,
            tie_word_embeddings: false,
            qkv_bias: false,
            hidden_act: "silu".into(),
            use_blockwise_attn_mask: Some(true),
            use_bidirectional_attn_mask: Some(false),
        },
        ids: SpecialIds {
            pad_token_id: pad,
            bos_token_id: extra(203),
            img_token_id: img,
            boi_token_id: img + 1,
            eoi_token_id: img + 2,
            eof_token_id: extra(201),
            boa_token_id: extra(198),
            eoa_token_id: extra(199),
            mask_token_id: extra(202),
            bov_token_id: bov,
            eov_token_id: eov,
            last_action_token_id: last,
        },
    }
}

/// Ranges of the benchmarks' own scale: full deflection, or 3 cm and 0.2 rad a step on WidowX.
fn norm_stats() -> Value {
    let full = json!({ "q01": vec![-1.0; 7], "q99": vec![1.0; 7] });
    let step = [0.03, 0.03, 0.03, 0.1, 0.1, 0.2];
    let low: Vec<f64> = step.iter().map(|limit| -limit).chain([0.0]).collect();
    let high: Vec<f64> = step.into_iter().chain([1.0]).collect();
    let small = json!({ "q01": low, "q99": high });
    json!({ "norm_stats": { "calvin": full, "libero": full, "simpler": small } })
}

fn manifest(seed: u64) -> Manifest {
    Manifest {
        format: FORMAT,
        name: format!("nano with seed {seed}"),
        model: "model".into(),
        attention: None,
        target: Target::Future,
        text: Text {
            ranks: "text/ranks.tiktoken".into(),
            vision_tokens: Some("text/vision_tokens.txt".into()),
        },
        vision: "vision".into(),
        benchmarks: BTreeMap::from([
            ("calvin".into(), calvin()),
            ("libero".into(), libero()),
            ("simpler".into(), simpler()),
        ]),
    }
}

fn calvin() -> Benchmark {
    let views = [("static", [200, 200], [200, 200]), ("gripper", [84, 84], [80, 80])];
    benchmark("calvin", "*0125", 70, &views)
}

fn libero() -> Benchmark {
    let views = [("agentview", [256, 256], [200, 200]), ("eye_in_hand", [256, 256], [80, 80])];
    benchmark("libero", "*012345", 70, &views)
}

fn simpler() -> Benchmark {
    let views = [("third_person", [480, 640], [200, 200])];
    Benchmark {
        gripper: GripperRule::Half,
        rotation: Rotation::EulerToAxisAngle,
        denoise_steps: 128,
        ..benchmark("simpler", "*0123456", 72, &views)
    }
}

/// A benchmark with the chunk of 10 x 7 and the 72 steps that CALVIN and LIBERO share.
fn benchmark(
    name: &str,
    size_characters: &str,
    action_slots: usize,
    views: &[(&str, [u32; 2], [u32; 2])],
) -> Benchmark {
    let view = |(camera, [height, width], resized): &(&str, [u32; 2], [u32; 2])| View {
        camera: (*camera).to_owned(),
        height: *height,
        width: *width,
        resized: *resized,
    };
    Benchmark {
        layout: Layout {
            views: views.iter().map(view).collect(),
            size_characters: size_characters.to_owned(),
            action_slots,
            horizon: 10,
            action_width: 7,
        },
        fast: PathBuf::from("fast"),
        norm_stats: NormFile { file: "norm_stats.json".into(), name: name.to_owned() },
        gripper: GripperRule::Sign,
        rotation: Rotation::AsIs,
        denoise_steps: 72,
    }
}
