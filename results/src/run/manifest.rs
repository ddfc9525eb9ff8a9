//! `run.json`: what a run is and how far it got.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use udvla_sims::episode::EpisodeKey;
use udvla_sims::identity::{Setting, Subject};
use udvla_sims::protocol::Protocol;

use super::part::{self, Part};

/// Version of the run directory that this build writes; older ones are read as well.
pub const SCHEMA: u16 = 3;
/// The first version whose records and manifest carry checksums.
pub const SCHEMA_OF_CHECKSUMS: u16 = 3;

/// How far a run got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunStatus {
    /// A process owns the run, or died without a trace.
    Running,
    /// Every planned episode has a record without error.
    Complete,
    /// Every planned episode has a record; some could not be run.
    CompleteWithErrors,
    /// Stopped because the policy was significantly better or worse than a reference.
    StoppedEarly,
    /// Stopped by the user.
    Interrupted,
    /// Stopped by repeated failures.
    GaveUp,
}

/// How many episodes were planned and how they ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpisodeCounts {
    /// Episodes in the plan.
    pub asked: u32,
    /// Records with status `ok`.
    pub ok: u32,
    /// Records with status `error`.
    pub error: u32,
}

/// Size and duration of the policy's batches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct BatchCounts {
    /// Forward calls.
    pub batches: u64,
    /// Observations in all of them.
    pub rows: u64,
    /// Seconds inside the policy.
    pub seconds: f64,
}

/// Contents of `run.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the run directory's format.
    pub schema: u16,
    /// The run's name: that of its folder when it was created.
    pub run: String,
    /// The run's id, which every record carries. Since schema 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// How far it got.
    pub status: RunStatus,
    /// The simulator's side; must be equal to resume, merge or compare.
    pub protocol: Protocol,
    /// SHA-256 of the protocol's canonical JSON, `sha256:…`.
    pub protocol_fingerprint: String,
    /// What was tested; must be equal to resume or merge.
    pub subject: Subject,
    /// Renderer, assets, versions; must be equal to resume or merge.
    pub setting: Setting,
    /// This program: version, commit, platform.
    pub software: BTreeMap<String, String>,
    /// The machine: processor, cores, memory, accelerator.
    pub machine: BTreeMap<String, String>,
    /// The command line that started it.
    pub command: Vec<String>,
    /// The working directory of the command; its relative paths start there.
    pub directory: String,
    /// The planned episodes: suite, task, trials per task.
    pub plan: Vec<PlannedTask>,
    /// The parts of the plan that are played here; all of it without any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
    /// The runs that were merged into this one; none in a run that was played.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merged: Vec<MergedRun>,
    /// Counts of episodes.
    pub episodes: EpisodeCounts,
    /// Counts of batches, summed over resumes.
    pub batches: BatchCounts,
    /// How often the policy remarked on one of its decisions, by kind, summed over resumes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub remarks: BTreeMap<String, u64>,
    /// Start time, UTC.
    pub started: String,
    /// Last end time, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// Why the run stopped early, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_early: Option<EarlyStop>,
    /// The published row that the run is compared with, if the user named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<PublishedRow>,
    /// The end of the records when the run last ended. Since schema 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<RecordsEnd>,
    /// The resolved plan that `resume` starts from; opaque to this crate, except for the path of the
    /// checkpoint. Since schema 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved: Option<Value>,
}

/// A run that became part of another one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MergedRun {
    /// Its name.
    pub run: String,
    /// Its id.
    pub id: String,
    /// The parts of the plan that it played; all of it without any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
    /// Its records.
    pub episodes: u32,
    /// Its machine.
    pub machine: BTreeMap<String, String>,
}

/// A method's published numbers on one benchmark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedRow {
    /// The method.
    pub method: String,
    /// The benchmark, as in a protocol.
    pub benchmark: String,
    /// A value per column of the paper's table, in its units: percent, or shares of 1 for CALVIN.
    pub values: Vec<f64>,
    /// The average as printed.
    pub average: f64,
    /// Episodes per value.
    pub n: u32,
    /// Where the numbers are printed.
    pub source: String,
}

impl PublishedRow {
    /// The row as what a run is compared with.
    pub fn label(&self) -> String {
        format!("`{}` as published ({}, n = {})", self.method, self.source, self.n)
    }
}

impl Manifest {
    /// Makes this the manifest of a resumed run: name, id, start and counts are those of `before`,
    /// and what was planned before stays planned. A run that began without checksums goes on
    /// without them.
    pub fn continues(&mut self, before: Self) {
        self.run = before.run;
        if before.id.is_none() {
            self.schema = SCHEMA_OF_CHECKSUMS - 1;
        }
        self.id = before.id;
        self.records = before.records;
        self.started = before.started;
        self.batches = before.batches;
        self.remarks = before.remarks;
        self.parts = part::together(&self.parts, &before.parts);
        for old in before.plan {
            let same = |task: &&mut PlannedTask| (&task.suite, task.task) == (&old.suite, old.task);
            match self.plan.iter_mut().find(same) {
                Some(task) => task.trials = task.trials.max(old.trials),
                None => self.plan.push(old),
            }
        }
        let suites = &self.protocol.suites;
        let order = |name: &str| suites.iter().position(|suite| suite.name == name);
        self.plan.sort_by_key(|task| (order(&task.suite), task.task));
    }

    /// Every planned episode, in the protocol's order.
    pub fn episodes(&self) -> Vec<EpisodeKey> {
        self.plan.iter().flat_map(|planned| self.episodes_of(planned)).collect()
    }

    /// The planned episodes of a task of the plan, by trial.
    pub fn episodes_of<'a>(
        &'a self,
        planned: &'a PlannedTask,
    ) -> impl Iterator<Item = EpisodeKey> + 'a {
        planned.episodes().filter(|key| part::contain(&self.parts, key))
    }

    /// What must be said of a run that is a part of its plan.
    pub fn note_of_parts(&self) -> Option<String> {
        let all: usize = self.plan.iter().map(|planned| usize::from(planned.trials)).sum();
        let names = part::names(&self.parts);
        let here = self.episodes().len();
        (!names.is_empty()).then(|| format!("{names} of the plan: {here} of {all} episodes"))
    }

    /// Names of the planned suites, each once, in the plan's order.
    pub fn suites(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for planned in &self.plan {
            if !names.contains(&planned.suite.as_str()) {
                names.push(&planned.suite);
            }
        }
        names
    }

    /// The planned task with that suite and index.
    pub fn planned(&self, suite: &str, task: u16) -> Option<&PlannedTask> {
        self.plan.iter().find(|planned| planned.suite == suite && planned.task == task)
    }

    /// Name of the checkpoint's folder, as the resolved plan has it; in the hub's cache that of its
    /// repository, `owner/name`.
    pub fn checkpoint_name(&self) -> Option<String> {
        let path = self.resolved.as_ref()?.pointer("/policy/checkpoint")?.as_str()?;
        let mut folders = std::path::Path::new(path).iter().rev().map(|it| it.to_string_lossy());
        let name = folders.next()?;
        let repository = folders.next().filter(|above| above == "snapshots").and(folders.next());
        let repository =
            repository.and_then(|it| Some(it.strip_prefix("models--")?.replace("--", "/")));
        Some(repository.unwrap_or_else(|| name.into_owned()))
    }

    /// Name, version and fingerprint of the protocol on one line.
    pub fn protocol_line(&self) -> String {
        let Self { protocol, protocol_fingerprint, .. } = self;
        format!("{} v{} ({protocol_fingerprint})", protocol.name, protocol.version)
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
    /// Planned trials: `0..trials`.
    pub trials: u16,
    /// Stages per episode.
    pub stages: u16,
}

impl PlannedTask {
    /// Its episodes, by trial, in whatever part of the plan they are.
    pub fn episodes(&self) -> impl Iterator<Item = EpisodeKey> {
        let (suite, task) = (self.suite.clone(), self.task);
        (0..self.trials).map(move |trial| EpisodeKey { suite: suite.clone(), task, trial })
    }
}

/// The records that a run had when it last ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordsEnd {
    /// Number of lines.
    pub lines: u32,
    /// Digest of the last one; 64 zeros without one.
    pub sha256: String,
}

/// Why a run stopped before its last episode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EarlyStop {
    /// The reference.
    pub against: String,
    /// `above` or `below`: the policy relative to the reference.
    pub direction: String,
    /// Episodes counted until the decision.
    pub episodes: u32,
    /// Value of the e-process for that direction.
    pub evidence: f64,
    /// Value of the e-process at which the run stops.
    pub threshold: f64,
}

impl EarlyStop {
    /// `below the baseline after 57 episodes`.
    pub fn reason(&self) -> String {
        format!("{} {} after {} episodes", self.direction, self.against, self.episodes)
    }
}
