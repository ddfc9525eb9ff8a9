//! The contract between the harness and a policy.

use std::collections::BTreeMap;

use udvla_sims::episode::EpisodeKey;
use udvla_sims::observation::{ActionChunk, Camera, Image, Observation};

/// One row of a batch: an observation and what keys its noise.
#[derive(Debug, Clone)]
pub struct PolicyInput {
    /// The episode that asks.
    pub key: EpisodeKey,
    /// How many times this episode has asked before.
    pub call: u32,
    /// The run's seed for sampling noise.
    pub seed: u64,
    /// What the simulator shows.
    pub observation: Observation,
}

/// What a policy answers for one row.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Play the decision's actions, in order, open loop.
    Chunk(Decision),
    /// Let the worker's own script play this many control steps.
    Script {
        /// Control steps, at least 1.
        steps: u16,
    },
}

/// What a policy wants done, and what it has to say about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The actions.
    pub actions: ActionChunk,
    /// What the policy expects to see behind the last of them: a picture per camera in the size
    /// that the model works with. Empty unless asked for, and of a policy that expects nothing.
    pub future: Vec<Image>,
    /// What the reader of a log should know of how it came about.
    pub remarks: Vec<Remark>,
}

impl From<ActionChunk> for Decision {
    /// Actions without a word.
    fn from(actions: ActionChunk) -> Self {
        Self { actions, future: vec![], remarks: vec![] }
    }
}

/// Something unusual about one decision that changes nothing but should be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// Its kind, for counting, for example `jacobi-stopped`.
    pub kind: &'static str,
    /// What happened, in words.
    pub text: String,
}

/// What a policy is and what it needs; the run's `subject` is made from it.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicySpec {
    /// `udvla`, `expert`, `random` or `idle`.
    pub name: String,
    /// Cameras it looks at, by the protocol's names; empty when it does not look.
    pub cameras: Vec<Camera>,
    /// Control steps executed per call.
    pub chunk: u16,
    /// Numbers per control step.
    pub action_width: usize,
    /// Everything that identifies what is tested, as shown and compared: for `udvla` the
    /// checkpoint's digest, attention, sampler, decoding, denoising steps, dtype, …
    pub subject: BTreeMap<String, String>,
    /// What does not change answers by intention: device, libtorch version, …
    pub setting: BTreeMap<String, String>,
}

/// Why a policy gave no answer. The run stops: nothing is retried on a smaller batch in silence.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// An observation lacks what the policy needs.
    #[error("the policy needs {wanted}, the observation of {key} has {got}")]
    Observation {
        /// The episode that asked.
        key: EpisodeKey,
        /// What the policy needs.
        wanted: String,
        /// What it was given.
        got: String,
    },
    /// The model failed (out of memory, not-a-number logits, a broken weight file, …).
    #[error("{0}")]
    Model(String),
}

/// A function from rows to action chunks.
pub trait Policy: Send {
    /// What the policy is and needs; constant.
    fn spec(&self) -> &PolicySpec;

    /// One answer per row, in order. A row's answer depends on that row alone: not on its
    /// neighbours in the batch, not on earlier calls.
    ///
    /// # Errors
    /// Whatever makes the whole batch fail; no partial answers.
    fn infer(&mut self, batch: &[PolicyInput]) -> Result<Vec<Answer>, PolicyError>;
}
