//! Images as codes: Pillow-compatible resizing and the MoVQ tokenizer.
//!
//! [`prepare`] resizes and normalizes camera images; `VisionTokenizer` (feature `torch`) encodes
//! them as codes, `VisionDecoder` decodes codes to images.

mod config;
#[cfg(feature = "torch")]
mod decoder;
#[cfg(feature = "torch")]
mod encoder;
#[cfg(feature = "torch")]
mod layers;
mod pixels;
#[cfg(feature = "torch")]
mod quantizer;
mod resize;
#[cfg(feature = "torch")]
mod time;

pub use config::VisionConfig;
#[cfg(feature = "torch")]
pub use decoder::VisionDecoder;
#[cfg(feature = "torch")]
pub use encoder::VisionTokenizer;
#[cfg(feature = "torch")]
pub use layers::TensorLoader;
pub use pixels::{RgbImage, pixels, prepare};
pub use resize::{resize_bicubic, resize_bilinear};

/// Groups of every group normalization.
const GROUPS: i64 = 32;
