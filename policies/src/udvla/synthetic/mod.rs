//! Complete checkpoints with synthetic weights, for trying everything without a download.

mod presets;
mod writer;

pub use presets::Preset;
pub use writer::{make_checkpoint, make_checkpoint_without_weights};
