//! Sizes, ids and settings of the synthetic checkpoints.

use serde_json::{Value, json};

use crate::names::names;
use crate::udvla::checkpoint::{
    Benchmark, FORMAT, Manifest, ModelConfig, NormFile, Settings, Sizes, SpecialIds, Target,
    TextFiles, published_settings,
};
use crate::vision::VisionConfig;

/// Ids of the synthetic text tokenizer: single bytes.
const TEXT: i64 = 256;
/// Vocabulary size of the synthetic action tokenizer.
const ACTIONS: i64 = 1024;

/// Size of a synthetic checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Preset {
    /// 0.3 M parameters and 512 visual codes: decodes in about a second on a CPU.
    Nano,
    /// 29 M parameters and 1,024 visual codes: dominated by matrix products.
    Medium,
    /// The published sizes, 8.5 B parameters and 32,768 visual codes; never written to disk.
    #[cfg_attr(feature = "clap", value(name = "random-8b"))]
    Random8b,
}

names!(Preset { Nano => "nano", Medium => "medium", Random8b => "random-8b" });

impl Preset {
    /// Whether a checkpoint of this size may be written to disk.
    pub fn is_small(self) -> bool {
        self != Self::Random8b
    }

    /// Sizes of the vision tokenizer.
    pub fn vision(self) -> VisionConfig {
        match self {
            Self::Nano => VisionConfig { codebook_size: 512, ..VisionConfig::tiny() },
            Self::Medium => VisionConfig { codebook_size: 1024, ..VisionConfig::tiny() },
            Self::Random8b => VisionConfig::emu3(),
        }
    }

    /// Sizes and ids of the language model.
    ///
    /// Special ids follow the text tokenizer's 256 bytes.
    pub fn model(self) -> ModelConfig {
        let ids = SpecialIds::compact(TEXT, self.vision().codebook_size, ACTIONS);
        // Width, feed-forward width, layers, heads, key heads.
        let (sizes, vocabulary) = match self {
            Self::Nano => ([64, 128, 2, 2, 1], ids.last_action_token_id + 1),
            Self::Medium => ([512, 1536, 8, 8, 2], ids.last_action_token_id + 1),
            Self::Random8b => ([4096, 14336, 32, 32, 8], 184_622),
        };
        let [hidden_size, intermediate_size, num_hidden_layers, heads, key_heads] = sizes;
        let sizes = Sizes {
            vocab_size: vocabulary,
            hidden_size,
            intermediate_size,
            num_hidden_layers,
            num_attention_heads: heads,
            num_key_value_heads: key_heads,
            rms_norm_eps: 1e-5,
            rope_theta: 1e6,
            max_position_embeddings: 2048,
            tie_word_embeddings: false,
            qkv_bias: false,
            hidden_act: "silu".into(),
            use_blockwise_attn_mask: Some(true),
            use_bidirectional_attn_mask: Some(false),
        };
        ModelConfig { sizes, ids }
    }
}

/// Action ranges in the benchmarks' scale: -1 to 1, or 3 cm and 0.2 rad per step on WidowX.
pub(super) fn norm_stats() -> Value {
    let full = json!({ "q01": vec![-1.0; 7], "q99": vec![1.0; 7] });
    let step = [0.03, 0.03, 0.03, 0.1, 0.1, 0.2];
    let low: Vec<f64> = step.iter().map(|limit| -limit).chain([0.0]).collect();
    let high: Vec<f64> = step.into_iter().chain([1.0]).collect();
    let small = json!({ "q01": low, "q99": high });
    json!({ "norm_stats": { "calvin": full, "libero": full, "simpler": small } })
}

/// Manifest of a synthetic checkpoint, with all published settings.
pub(super) fn manifest(name: String, target: Target) -> Manifest {
    let benchmark = |(name, settings): (String, Settings)| {
        let Settings { layout, gripper, rotation, denoise_steps } = settings;
        // Variants of a benchmark share its ranges: `simpler-paper` those of `simpler`.
        let ranges = name.split('-').next().unwrap_or_default().to_owned();
        let norm_stats = NormFile { file: "norm_stats.json".into(), name: ranges };
        let fast = "fast".into();
        let settings = Benchmark {
            layout,
            fast,
            norm_stats,
            gripper,
            rotation,
            denoise_steps,
            temperature: None,
        };
        (name, settings)
    };
    Manifest {
        format: FORMAT,
        name,
        synthetic: true,
        model: "model".into(),
        attention: None,
        target,
        text: TextFiles {
            ranks: "text/ranks.tiktoken".into(),
            vision_tokens: Some("text/vision_tokens.txt".into()),
        },
        vision: "vision".into(),
        benchmarks: published_settings().into_iter().map(benchmark).collect(),
    }
}
