//! A policy without weights by name.

use udvla_sims::protocol::Protocol;

use crate::policy::{Policy, PolicySpec};

/// A policy by name.
#[derive(Clone, Copy)]
pub struct WeightlessKind {
    /// Name on the command line and in records.
    pub name: &'static str,
    /// One line for help texts.
    pub summary: &'static str,
    pub(super) open: fn(PolicySpec, ActionSpace) -> Box<dyn Policy>,
}

/// Control steps per call: as many as the released model executes.
pub(super) const CHUNK: u16 = 10;

/// What a policy needs to know of a benchmark.
pub(super) struct ActionSpace {
    /// The protocol's do-nothing action.
    pub idle: Vec<f32>,
    /// Numbers that are -1 or 1.
    pub signs: Vec<usize>,
    /// The environment's side, for its instructions.
    pub protocol: Protocol,
}
