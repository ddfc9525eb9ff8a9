//! Policies: a batch of observations in, one answer per observation out.
//!
//! [`Policy`] is the whole contract. `udvla` is the model under test (libtorch, feature `torch`);
//! [`weightless`] has the policies without weights: `expert`, `random` and `idle`.
//!
//! Where to look:
//!
//! - observation to tokens: `udvla::prompt::ObservationEncoder` (`udvla/prompt/encode.rs`)
//! - the denoising loop: `udvla::decode::Jd3p` (`udvla/decode/jd3p.rs`), its noise in `noise.rs`
//! - action ids to actions: `udvla::prompt::ActionDecoder` (`udvla/prompt/actions.rs`)
//! - attention masks: `udvla::model::mask`
//! - messages of policy servers: [`frames`]; the policy that asks one: [`remote`]
//! - a new decoder: a file in `udvla/decode/` and a line in `udvla::decode::DECODERS`
//! - a new policy without weights: a file in `weightless/` and a line in [`weightless::POLICIES`]

pub mod files;
pub mod formula;
pub mod frames;
#[cfg(feature = "torch")]
mod names;
pub mod normalize;
mod policy;
pub mod published;
#[cfg(test)]
mod recorded;
pub mod remote;
pub mod tokens;
#[cfg(feature = "torch")]
pub mod train;
#[cfg(feature = "torch")]
pub mod udvla;
pub mod vision;
pub mod weightless;

pub use policy::{
    Answer, Decision, Policy, PolicyError, PolicyInput, PolicySpec, Remark, with_causes,
};
