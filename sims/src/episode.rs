//! The key of an episode, the same in every run.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What an adapter reports about an episode besides its outcome: booleans and integers by name.
pub type Notes = BTreeMap<String, Value>;

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
