//! Policies: a batch of rows in, one answer per row out.
//!
//! [`Policy`] is the whole contract. `udvla` is the model under test (libtorch, feature
//! `torch`); `expert`, `random` and `idle` need no weights.

pub mod golden;
pub mod normalize;
mod policy;
pub mod tokens;
#[cfg(feature = "torch")]
pub mod udvla;
pub mod vision;
mod weightless;

pub use policy::{Answer, Decision, Policy, PolicyError, PolicyInput, PolicySpec, Remark};
pub use weightless::{Expert, Idle, Random};
