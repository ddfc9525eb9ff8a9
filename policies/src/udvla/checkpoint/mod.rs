//! A checkpoint directory: its manifest, configurations, weight files and settings per benchmark.
//!
//! [`Checkpoint`] opens a directory. The manifest (`checkpoint.json`) names the parts; what it
//! leaves out comes from the published settings of each benchmark ([`published_settings`]).

mod attention;
mod benchmarks;
mod config;
pub mod device;
mod digest;
mod directory;
mod error;
mod files;
mod layout;
mod manifest;
mod special_ids;
mod target;
mod weights;

pub use attention::Attention;
pub use benchmarks::{Settings, published_settings};
pub use config::{ModelConfig, Sizes};
pub use device::Placement;
pub use digest::file_digest;
pub use directory::{CONFIG, Checkpoint, FAST_CONFIG, FAST_TOKENIZER, REGRESSION};
pub use error::CheckpointError;
pub use layout::{ImageLayout, Layout, PATCH};
pub use manifest::{Benchmark, FORMAT, MANIFEST, Manifest, NormFile, TextFiles};
pub use special_ids::SpecialIds;
pub use target::Target;
pub use weights::{INDEX, SINGLE, StoredTensor, WeightSource, Weights, weight_files};
