//! One line of `episodes.jsonl`.

use serde::{Deserialize, Serialize};
use udvla_sims::episode::{EpisodeKey, Notes};

/// Whether the episode ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It ran to its end; success is `stages_completed == stages`.
    Ok,
    /// It could not be run; it is neither a success nor a failure of the policy.
    Error,
}

/// Wall-clock time of an episode, in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Seconds {
    /// From dispatching the episode to its record.
    pub wall: f64,
    /// Inside the simulator's worker.
    pub sim: f64,
    /// Waiting for the policy's actions (batching and inference).
    pub policy: f64,
}

/// The outcome of one episode. An episode may have several lines; the last one counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpisodeRecord {
    /// Suite name, see [`EpisodeKey::suite`].
    pub suite: String,
    /// Task index.
    pub task: u16,
    /// Trial index.
    pub trial: u16,
    /// Whether the episode ran.
    pub status: Status,
    /// Kind of the error: `raised`, `lost`, `timeout`, `wire`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_kind: Option<String>,
    /// The error message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// Stages of the episode: 5 for CALVIN, else 1.
    pub stages: u16,
    /// Stages completed.
    pub stages_completed: u16,
    /// Control steps played, settling not counted.
    pub steps: u32,
    /// Calls of the policy.
    pub calls: u32,
    /// Times the episode was started; more than 1 after a simulator failed.
    pub attempts: u16,
    /// The run's seed for sampling noise.
    pub seed: u64,
    /// Whether the step limit ended it.
    pub truncated: bool,
    /// Wall-clock time.
    pub seconds: Seconds,
    /// Time of dispatch, UTC, `2026-11-24T01:02:03Z`.
    pub started: String,
    /// SHA-256 (hex) of the first observation as the policy received it; under a control as it
    /// would have received it without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_observation_sha256: Option<String>,
    /// SHA-256 (hex) of the simulator's state after the last step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub final_state_sha256: Option<String>,
    /// What the simulator's adapter reported besides the outcome, for example `success_any`.
    #[serde(default, skip_serializing_if = "Notes::is_empty")]
    pub notes: Notes,
    /// The executed actions, a safetensors file relative to the run directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actions: Option<String>,
    /// SHA-256 (hex) of that file. Since schema 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actions_sha256: Option<String>,
    /// The video, relative to the run directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub video: Option<String>,
}

impl EpisodeRecord {
    /// The episode's name.
    pub fn key(&self) -> EpisodeKey {
        EpisodeKey { suite: self.suite.clone(), task: self.task, trial: self.trial }
    }

    /// Whether all stages were completed; `None` when the episode could not be run.
    pub fn success(&self) -> Option<bool> {
        match self.status {
            Status::Ok => Some(self.stages_completed >= self.stages),
            Status::Error => None,
        }
    }

    /// Share of the stages completed, 0 to 1.
    pub fn progress(&self) -> f64 {
        f64::from(self.stages_completed) / f64::from(self.stages.max(1))
    }

    /// Whether two records agree in everything but times, attempts, the video and checksums.
    pub fn same_outcome(&self, other: &Self) -> bool {
        let strip = |record: &Self| Self {
            seconds: Seconds::default(),
            started: String::new(),
            attempts: 0,
            video: None,
            actions_sha256: None,
            ..record.clone()
        };
        strip(self) == strip(other)
    }
}
