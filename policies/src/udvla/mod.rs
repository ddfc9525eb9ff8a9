//! UD-VLA: the model under test, from camera pictures and an instruction to an action chunk.
//!
//! [`UdVla`] ties the parts together: a [`checkpoint`] directory is opened, pictures become
//! visual codes and a [`prompt`], [`jd3p`] lets the [`transformer`] fill the block of future
//! views and actions under one of four [`attention`] masks with keyed [`noise`], and the action
//! ids become numbers. [`nano`] writes a small complete checkpoint with synthetic weights.

pub mod attention;
mod case;
pub mod checkpoint;
pub mod config;
mod decoding;
pub mod device;
mod digest;
mod error;
mod files;
pub mod generator;
pub mod imagination;
pub mod independent;
pub mod inspection;
pub mod jd3p;
mod layers;
pub mod layouts;
mod manifest;
pub mod nano;
pub mod noise;
pub mod objective;
mod opening;
pub mod packing;
mod passes;
pub mod phases;
mod policy;
pub mod presets;
pub mod prompt;
pub mod sampler;
pub mod sampling;
mod self_attention;
pub mod sequential;
pub mod transformer;
mod translator;
pub mod weights;

pub use attention::Attention;
pub use decoding::Decoding;
pub use error::CheckpointError;
pub use generator::PrefixCache;
pub use layers::products;
pub use manifest::{Benchmark, Manifest, Rotation};
pub use nano::{make_checkpoint, make_checkpoint_without_weights};
pub use opening::UdVlaOptions;
pub use policy::UdVla;
pub use prompt::Target;
