//! The contract between the harness and a policy.

use std::error::Error;

use udvla_sims::episode::EpisodeKey;
use udvla_sims::identity::{Setting, Subject};
use udvla_sims::observation::{ActionChunk, Camera, Image, Observation};

/// One input of a batch: an observation and the key of its noise.
#[derive(Debug, Clone)]
pub struct PolicyInput {
    /// The episode.
    pub key: EpisodeKey,
    /// Number of earlier calls for this episode.
    pub call: u32,
    /// The run's seed of the sampling noise.
    pub seed: u64,
    /// Which simulator asks, from 0: it plays one episode at a time.
    pub seat: usize,
    /// What the simulator returned.
    pub observation: Observation,
}

/// A policy's answer to one input.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Execute the decision's actions, in order, open loop.
    Chunk(Decision),
    /// Let the worker's own script act.
    Script {
        /// Control steps, at least 1.
        steps: u16,
    },
    /// The policy's server was lost, for this reason: the episode has to be played again.
    Lost(String),
}

/// Actions to execute, with by-products.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The actions.
    pub actions: ActionChunk,
    /// Predicted images after the last action, one per camera, in the model's size. Empty unless
    /// requested, and for policies that predict none.
    pub future: Vec<Image>,
    /// Anomalies, for the log.
    pub remarks: Vec<Remark>,
}

impl From<ActionChunk> for Decision {
    /// Actions without by-products.
    fn from(actions: ActionChunk) -> Self {
        Self { actions, future: vec![], remarks: vec![] }
    }
}

/// An anomaly of one decision that does not change it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// Category, for counting, for example `jacobi-stopped`.
    pub kind: &'static str,
    /// Description.
    pub text: String,
}

/// What a policy is and what it needs.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicySpec {
    /// `udvla`, `expert`, `reader`, `random`, `idle`, or what the user calls a policy on a server.
    pub name: String,
    /// Cameras whose images it uses, by the protocol's names.
    pub cameras: Vec<Camera>,
    /// Control steps executed per call.
    pub chunk: u16,
    /// Numbers per control step.
    pub action_width: usize,
    /// Everything that may change answers; without the seed, which the harness adds.
    pub subject: Subject,
    /// What should not change answers: device, libtorch version, …
    pub setting: Setting,
}

/// Why a policy gave no answer. The run stops; nothing is retried silently on a smaller batch.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages describe the fields")]
pub enum PolicyError {
    /// An observation lacks what the policy needs.
    #[error("the policy needs {needed}, the observation of {key} has {given}")]
    Observation { key: EpisodeKey, needed: String, given: String },
    /// The model failed (out of memory, logits that are not finite, …).
    #[error("{0}")]
    Model(String),
}

/// A function from observations to actions.
///
/// ```
/// use udvla_policies::{Policy, weightless};
///
/// let protocol = udvla_sims::protocol::Protocol::libero();
/// let policy = weightless::open("idle", &protocol).unwrap().expect("a known name");
/// assert_eq!((policy.spec().chunk, policy.spec().action_width), (10, 7));
/// ```
pub trait Policy: Send {
    /// What the policy is and needs; constant.
    fn spec(&self) -> &PolicySpec;

    /// Tokens of an instruction, at most; none has less than a byte. `None` if it is not limited.
    fn longest_instruction(&self) -> Option<usize> {
        None
    }

    /// One answer per input, in order. An answer depends on its own input only: not on the rest of
    /// the batch, not on earlier calls.
    ///
    /// # Errors
    /// Whatever fails the whole batch; there are no partial answers.
    fn infer(&mut self, batch: &[PolicyInput]) -> Result<Vec<Answer>, PolicyError>;
}

/// An error with all its causes, in one line.
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
