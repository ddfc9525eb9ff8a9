//! Generation of blocks: four decoders behind one trait.
//!
//! [`DECODERS`] lists them by name. A [`Decoder`] is chosen when a policy is opened; to add one,
//! write a file with its `KIND` and add that to the list.

mod autoregressive;
mod decoder;
mod generator;
mod independent;
mod jacobi;
mod jd3p;
mod left_to_right;
mod noise;
mod options;
mod registry;
mod regression;
mod request;
mod restricted_head;
mod sampler;

pub use autoregressive::Autoregressive;
pub use decoder::{Decoder, Fixed, Observer, Step};
pub use generator::{Generator, PrefixCache};
pub use independent::Independent;
pub use jacobi::Jacobi;
pub use jd3p::Jd3p;
pub use noise::{GoldenNoise, KeyedNoise, NOISE_VERSION, Noise};
pub use options::{DecoderKind, DecodingDefaults, DecodingOptions};
pub use registry::DECODERS;
pub use request::{DecodeError, Generated, Request};
pub use restricted_head::RestrictedHead;
pub use sampler::{AfterEnd, Rules, Sampler};
