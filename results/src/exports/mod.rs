//! A run as a file that other tools read.
//!
//! `eval_info.json` of lerobot-eval, the aggregate JSON of vla-eval, and a CSV file with a line
//! per episode. [`crate::imports`] reads the first two back.

mod episodes;
mod lerobot;
mod vla_eval;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::counts::Counts;
use crate::manifest::{Manifest, PlannedTask};
use crate::read::Run;
use crate::record::EpisodeRecord;

pub use episodes::episodes_csv;
pub use lerobot::lerobot_json;
pub use vla_eval::vla_eval_json;

/// Why a run cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The format has no place for what is missing.
    #[error("the run has {apart}, and {format} has no place for episodes that did not run")]
    Partial {
        /// The format.
        format: &'static str,
        /// What is missing: `2 errors, 1 missing`.
        apart: String,
    },
    /// The run has no episode that ran to its end.
    #[error("no episode of the run ran to its end")]
    Empty,
    /// The file cannot be written as CSV.
    #[error("cannot write the episodes as csv")]
    Csv(#[from] ::csv::Error),
}

impl ExportError {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Partial { .. } => {
                Some("`udvla-eval resume RUN` completes it; `--format csv` names every episode")
            }
            Self::Empty | Self::Csv(_) => None,
        }
    }
}

/// Where an exported file is from; other readers pass over it.
#[derive(Debug, Serialize)]
struct Origin<'a> {
    run: &'a str,
    protocol: &'a str,
    protocol_version: u16,
    protocol_fingerprint: &'a str,
    subject: &'a BTreeMap<String, String>,
}

impl<'a> Origin<'a> {
    fn of(manifest: &'a Manifest) -> Self {
        Self {
            run: &manifest.run,
            protocol: &manifest.protocol.name,
            protocol_version: manifest.protocol.version,
            protocol_fingerprint: &manifest.protocol_fingerprint,
            subject: &manifest.subject,
        }
    }
}

/// The records of a planned task, by trial.
fn records_of<'a>(
    run: &'a Run,
    planned: &'a PlannedTask,
) -> impl Iterator<Item = &'a EpisodeRecord> {
    let of_task =
        |record: &&EpisodeRecord| record.suite == planned.suite && record.task == planned.task;
    run.records.values().filter(of_task)
}

/// How many episodes of a run there are of each kind.
fn counts(run: &Run) -> Counts {
    let records: Vec<&EpisodeRecord> = run.records.values().collect();
    Counts::of(&records, run.manifest.episodes().len() as u32)
}

/// The share of its stages that an episode completed, 0 to 1.
fn progress(record: &EpisodeRecord) -> f64 {
    f64::from(record.stages_completed) / f64::from(record.stages.max(1))
}
