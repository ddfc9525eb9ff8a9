//! The key of an episode, the same in every run.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What an adapter reports about an episode besides its outcome: booleans and integers by name.
pub type Notes = BTreeMap<String, Value>;

/// Name of the note that the goal of the first stage held right after the reset; absent if not.
pub const AT_RESET: &str = "success_at_reset";
/// Name of the note that it held after the first control step, and not before; absent if not.
pub const AT_FIRST_STEP: &str = "success_at_first_step";

/// Identifies an episode: the same key is the same initial state in every run of a protocol.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EpisodeKey {
    /// LIBERO: `spatial`, `object`, `goal`, `long`; CALVIN: `abcd-d`; SimplerEnv: `widowx`.
    pub suite: String,
    /// Task index within the suite, from 0.
    pub task: u16,
    /// LIBERO: stored initial state; CALVIN: index in the sequence list; SimplerEnv: episode id.
    pub trial: u16,
}

impl fmt::Display for EpisodeKey {
    /// `long-task03-trial017`: sorts like the key and is safe in a file name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-task{:02}-trial{:03}", self.suite, self.task, self.trial)
    }
}
