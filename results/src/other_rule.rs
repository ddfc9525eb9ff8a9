//! SimplerEnv's two rules of success, the one beside the protocol's.

use crate::manifest::Manifest;
use crate::record::{EpisodeRecord, Status};
use crate::statistics::Rate;

/// The rule of success that a protocol does not follow, of two that SimplerEnv's evaluations use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherRule {
    /// The goal held after some step; the protocol asks for the last one.
    AnyStep,
    /// The goal held after the last step; the protocol asks for any.
    LastStep,
}

impl OtherRule {
    /// The one that the run's protocol does not follow.
    pub fn of(manifest: &Manifest) -> Self {
        let success = manifest.protocol.environment.get("success");
        match success.and_then(|success| success.as_str()) {
            Some("any-step") => Self::LastStep,
            _ => Self::AnyStep,
        }
    }

    /// Its words in tables.
    pub fn words(self) -> &'static str {
        match self {
            Self::AnyStep => "at any step",
            Self::LastStep => "at the last step",
        }
    }

    /// What a table says of both rules.
    pub fn note(self) -> &'static str {
        match self {
            Self::AnyStep => {
                "success is what holds after the last step; at any step it may have been lost again"
            }
            Self::LastStep => {
                "success is what held after any step; by the last step it may have been lost again"
            }
        }
    }

    /// The rate by it, from what the simulator noted; `None` where an episode has no such note.
    pub fn rate(self, records: &[&EpisodeRecord]) -> Option<(Self, Rate)> {
        let note = match self {
            Self::AnyStep => "success_any",
            Self::LastStep => "success_last",
        };
        let ok = records.iter().filter(|record| record.status == Status::Ok);
        let notes: Vec<bool> =
            ok.map(|record| record.notes.get(note)?.as_bool()).collect::<Option<_>>()?;
        let successes = notes.iter().filter(|&&success| success).count() as u32;
        let n = notes.len() as u32;
        (n > 0).then(|| (self, Rate::new(successes, n, records.len() as u32 - n)))
    }
}
