//! Observations and action chunks. Sizes come from the simulator's [`SimSpec`], not from types.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// An RGB image as the protocol hands it to the policy (flips already applied).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Rows.
    pub height: u32,
    /// Columns.
    pub width: u32,
    /// `height * width * 3` bytes: RGB, row major, top row first.
    pub rgb: Vec<u8>,
}

/// Input of the policy for its next action chunk.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// One image per camera of the [`SimSpec`], in its order; empty for policies without vision.
    pub images: Vec<Image>,
    /// Proprioception, laid out as [`SimSpec::state`] names it.
    pub state: Vec<f32>,
    /// The instruction in words.
    pub instruction: Arc<str>,
    /// Stages completed so far (CALVIN 0..=4, others 0).
    pub stage: u16,
}

/// Actions for consecutive control steps.
#[derive(Debug, Clone, PartialEq)]
pub struct ActionChunk {
    /// Numbers per control step; equals the length of [`SimSpec::action`].
    pub width: usize,
    /// `steps * width` numbers, step by step, in the simulator's own units.
    pub values: Vec<f32>,
}

impl ActionChunk {
    /// Control steps in the chunk.
    pub fn steps(&self) -> usize {
        self.values.len() / self.width
    }
}

/// A camera of a simulator, or one that a policy needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Camera {
    /// The protocol's name for it, for example `agentview`.
    pub name: String,
    /// Rows.
    pub height: u32,
    /// Columns.
    pub width: u32,
}

/// Cameras, state and actions of a simulator, as its worker reports them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SimSpec {
    /// Cameras, in the order of [`Observation::images`].
    pub cameras: Vec<Camera>,
    /// A name for each number of [`Observation::state`].
    pub state: Vec<String>,
    /// A name for each number of one action.
    pub action: Vec<String>,
    /// Control steps per second of simulated time.
    pub control_hz: f32,
}
