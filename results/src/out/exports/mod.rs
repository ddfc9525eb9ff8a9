//! A run as a file for other tools: `eval_info.json` of lerobot-eval, the aggregate JSON of
//! vla-eval, and CSV with a line per episode. [`crate::compare::imports`] reads the first two.

mod episodes;
mod lerobot;
mod vla_eval;

use serde::Serialize;
use udvla_sims::identity::Subject;

use crate::run::read::Run;

pub use episodes::episodes_csv;
pub use lerobot::lerobot_json;
pub use vla_eval::vla_eval_json;

/// Why a run cannot be exported.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum ExportError {
    #[error("the run has {excluded}, and {format} cannot represent episodes that did not run")]
    Partial { format: &'static str, excluded: String },
    #[error("no episode of the run ran to its end")]
    Empty,
    #[error("cannot write the episodes as csv")]
    Csv(#[from] ::csv::Error),
}

impl ExportError {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Partial { .. } => {
                Some("`udvla-eval resume RUN` completes it; `--format csv` lists every episode")
            }
            Self::Empty | Self::Csv(_) => None,
        }
    }
}

/// Origin of an exported file; other readers ignore it.
#[derive(Debug, Serialize)]
struct Provenance<'a> {
    run: &'a str,
    protocol: &'a str,
    protocol_version: u16,
    protocol_fingerprint: &'a str,
    subject: &'a Subject,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    notes: &'a [String],
}

impl<'a> Provenance<'a> {
    fn of(run: &'a Run) -> Self {
        let manifest = &run.manifest;
        Self {
            run: &manifest.run,
            protocol: &manifest.protocol.name,
            protocol_version: manifest.protocol.version,
            protocol_fingerprint: &manifest.protocol_fingerprint,
            subject: &manifest.subject,
            notes: &run.notes,
        }
    }
}

fn json(file: &impl Serialize) -> String {
    serde_json::to_string_pretty(file).expect("all keys are text") + "\n"
}
