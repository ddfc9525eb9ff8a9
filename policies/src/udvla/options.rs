//! How to open a checkpoint as a policy.

use serde::{Deserialize, Serialize};

use super::checkpoint::{Attention, Target};
use super::decode::{DecodingOptions, PrefixCache};

/// How to open a checkpoint; `None` is the default of the checkpoint or device.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct UdVlaOptions {
    /// `calvin`, `libero`, `simpler` or any other entry of the checkpoint's manifest.
    pub benchmark: String,
    /// Variant of the benchmark's settings: `paper` selects the entry `BENCHMARK-paper`.
    pub layout: Option<String>,
    /// `auto`, `cpu`, `cuda` or `cuda:N`.
    pub device: String,
    /// `f32`, `bf16`, `f16` or `f64`; by default f32 on a CPU and bf16 on a GPU.
    pub dtype: Option<String>,
    /// Attention mask.
    pub attention: Option<Attention>,
    /// What the generated images show: must be what the checkpoint was trained for.
    pub target: Option<Target>,
    /// The decoder and its options.
    pub decoding: DecodingOptions,
    /// Which part of the prompt is computed once.
    pub prefix_cache: PrefixCache,
    /// Whether decisions include the generated images.
    pub futures: bool,
}

impl UdVlaOptions {
    /// Name of the manifest entry to use.
    pub fn entry(&self) -> String {
        match &self.layout {
            Some(layout) => format!("{}-{layout}", self.benchmark),
            None => self.benchmark.clone(),
        }
    }
}
