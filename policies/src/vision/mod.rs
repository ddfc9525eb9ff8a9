//! Pictures as codes: resizing as Pillow does, and the MoVQ tokenizer.
//!
//! [`prepare`] makes pixels from camera frames of any size; `VisionTokenizer` (feature `torch`)
//! turns pixels into the codes of its book, `VisionDecoder` codes into pixels.

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
pub use layers::WeightSource;
pub use pixels::{Picture, pixels, prepare};
pub use resize::resize_bicubic;

/// Groups of every group normalisation.
const GROUPS: i64 = 32;
