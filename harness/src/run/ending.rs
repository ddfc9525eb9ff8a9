//! How a run ends, and what follows: the status in its manifest, the exit code.

use std::collections::BTreeMap;

use udvla_results::run::manifest::{BatchCounts, EarlyStop, EpisodeCounts, RunStatus};

use crate::exit::Exit;
use crate::report::GaveUp;

/// How a run ended.
#[derive(Debug)]
pub enum Ending {
    /// Every episode has a record without error.
    Complete,
    /// Every episode has a record, some could not be run.
    CompleteWithErrors,
    /// This command's episodes have a record; so many that the directory was asked for before
    /// have none.
    Partial {
        /// Episodes without a record.
        missing: u32,
    },
    /// The watch reached a decision.
    StoppedEarly,
    /// Interrupted; running episodes were finished.
    Interrupted,
    /// Interrupted twice; running episodes were dropped.
    Killed,
    /// Failures that do not end by themselves.
    GaveUp(GaveUp),
}

impl Ending {
    /// The word for it in the manifest.
    pub fn status(&self) -> RunStatus {
        match self {
            Self::Complete => RunStatus::Complete,
            Self::CompleteWithErrors => RunStatus::CompleteWithErrors,
            Self::StoppedEarly => RunStatus::StoppedEarly,
            Self::Partial { .. } | Self::Interrupted | Self::Killed => RunStatus::Interrupted,
            Self::GaveUp(_) => RunStatus::GaveUp,
        }
    }

    /// How the program ends.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Complete | Self::StoppedEarly => Exit::Complete,
            Self::CompleteWithErrors => Exit::WithErrors,
            Self::Partial { .. } | Self::Interrupted => Exit::Interrupted,
            Self::Killed => Exit::Killed,
            Self::GaveUp(_) => Exit::GaveUp,
        }
    }

    /// The ending of a run whose directory has these counts: a command that played all its own
    /// episodes has not completed the run where others are missing or could not be run.
    #[must_use]
    pub fn of_directory(self, counts: EpisodeCounts) -> Self {
        let missing = counts.asked - counts.ok - counts.error;
        match self {
            Self::Complete | Self::CompleteWithErrors if missing > 0 => Self::Partial { missing },
            Self::Complete | Self::CompleteWithErrors if counts.error > 0 => {
                Self::CompleteWithErrors
            }
            Self::Complete | Self::CompleteWithErrors => Self::Complete,
            other => other,
        }
    }
}

/// What a run leaves when its episodes were played.
#[derive(Debug)]
pub struct Outcome {
    /// How the run ended.
    pub ending: Ending,
    /// Why it stopped early, if it did.
    pub stopped_early: Option<EarlyStop>,
    /// Batches of this process.
    pub batches: BatchCounts,
    /// How often the policy of this process remarked on a decision, by kind.
    pub remarks: BTreeMap<String, u64>,
}

/// What came of a command that runs a plan.
#[derive(Debug)]
pub enum Evaluated {
    /// It ended before its first simulator was open; no episode was started.
    NotStarted(Ending),
    /// Episodes were played, or all had a record already.
    Played(Ending),
}
