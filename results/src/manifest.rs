//! `run.json`: what a run is, and how far it came.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use udvla_sims::episode::EpisodeKey;
use udvla_sims::protocol::Protocol;

use crate::early::EarlyStop;

/// The version of the run directory that this build writes.
pub const SCHEMA: u16 = 1;

/// How far a run came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunStatus {
    /// A process owns the run, or died without saying so.
    Running,
    /// Every asked episode has a record without error.
    Complete,
    /// Every asked episode has a record, some could not be run.
    CompleteWithErrors,
    /// Stopped because the policy was certainly better or worse than a reference.
    StoppedEarly,
    /// Stopped by the user.
    Interrupted,
    /// Stopped by repeated failures.
    GaveUp,
}

/// How many episodes were asked for and how they ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpisodeCounts {
    /// Episodes in the plan.
    pub asked: u32,
    /// Records with status `ok`.
    pub ok: u32,
    /// Records with status `error`.
    pub error: u32,
}

/// What the batches of the policy looked like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct BatchCounts {
    /// Forward calls.
    pub batches: u64,
    /// Rows in all of them.
    pub rows: u64,
    /// Seconds inside the policy.
    pub seconds: f64,
}

/// The manifest of a run directory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the run directory's format.
    pub schema: u16,
    /// The run's name (its folder's name when it was made).
    pub run: String,
    /// How far it came.
    pub status: RunStatus,
    /// The environment's side: resume and compare need it equal.
    pub protocol: Protocol,
    /// SHA-256 of the protocol's canonical JSON, `sha256:…`.
    pub protocol_fingerprint: String,
    /// What was tested: resume and merge need it equal.
    pub subject: BTreeMap<String, String>,
    /// Renderer, assets, versions: resume and merge need it equal.
    pub setting: BTreeMap<String, String>,
    /// This program: version, commit, platform.
    pub software: BTreeMap<String, String>,
    /// The machine: processor, cores, memory, accelerator.
    pub machine: BTreeMap<String, String>,
    /// The command line that started it.
    pub command: Vec<String>,
    /// The folder where it was typed; relative paths of the command start there.
    pub directory: String,
    /// The episodes that were asked for: suite, tasks, trials per task.
    pub plan: Vec<PlannedTask>,
    /// Counts of episodes.
    pub episodes: EpisodeCounts,
    /// Counts of batches, added up over resumes.
    pub batches: BatchCounts,
    /// How often the policy remarked on a decision of its own, by kind, added up over resumes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub remarks: BTreeMap<String, u64>,
    /// When it was started, UTC.
    pub started: String,
    /// When it last ended, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// Why it stopped early, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_early: Option<EarlyStop>,
}

impl Manifest {
    /// Makes this the manifest of a run that goes on: its name, start and counts stay, and what
    /// was asked for before is still asked for.
    pub fn continues(&mut self, before: Self) {
        self.run = before.run;
        self.started = before.started;
        self.batches = before.batches;
        self.remarks = before.remarks;
        for old in before.plan {
            match self
                .plan
                .iter_mut()
                .find(|task| (&task.suite, task.task) == (&old.suite, old.task))
            {
                Some(task) => task.trials = task.trials.max(old.trials),
                None => self.plan.push(old),
            }
        }
        let order = |suite: &String| self.protocol.suites.iter().position(|one| one.name == *suite);
        self.plan.sort_by_key(|task| (order(&task.suite), task.task));
    }

    /// Every episode that was asked for, in the protocol's order.
    pub fn episodes(&self) -> Vec<EpisodeKey> {
        let keys = |task: &PlannedTask| {
            let (suite, task, trials) = (task.suite.clone(), task.task, task.trials);
            (0..trials).map(move |trial| EpisodeKey { suite: suite.clone(), task, trial })
        };
        self.plan.iter().flat_map(keys).collect()
    }
}

/// One task of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedTask {
    /// Suite name.
    pub suite: String,
    /// Task index.
    pub task: u16,
    /// The instruction, for tables.
    pub instruction: String,
    /// Trials asked for: `0..trials`.
    pub trials: u16,
    /// Stages per episode.
    pub stages: u16,
}
