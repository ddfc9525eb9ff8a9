//! UD-VLA: the model under test, from camera images and an instruction to an action chunk.
//!
//! | folder | content |
//! |---|---|
//! | [`checkpoint`] | checkpoint directory: manifest, configurations, weights, settings |
//! | [`model`] | the language model and its attention masks |
//! | [`prompt`] | observation to tokens ([`prompt::ObservationEncoder`]), tokens to actions and images |
//! | [`decode`] | the decoders (JD3P, independent diffusion, autoregressive, Jacobi), their noise |
//! | [`synthetic`] | small checkpoints with synthetic weights |
//!
//! Each folder uses only those above it. [`UdVla`] ties them together as a
//! [`Policy`](crate::Policy).

pub mod checkpoint;
pub mod decode;
pub mod inspect;
mod kernels;
pub mod model;
mod open;
mod options;
mod policy;
pub mod prompt;
mod reference_case;
pub mod synthetic;
pub mod timing;

pub use checkpoint::{Attention, Checkpoint, CheckpointError, Target, device};
pub use decode::{DecoderKind, DecodingOptions, PrefixCache, Sampler};
pub use model::products;
pub use options::UdVlaOptions;
pub use policy::UdVla;
pub use synthetic::{Preset, make_checkpoint, make_checkpoint_without_weights};
