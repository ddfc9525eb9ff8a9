//! What may be wrong with the files of a run directory, line by line.

use std::fmt;

use udvla_sims::episode::EpisodeKey;

use super::files::{MANIFEST_FILE, RECORDS_FILE};

/// Faults that a message lists; the others are counted.
const LISTED: usize = 5;

/// What a reader does with a run directory that is not as its run wrote it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Damage {
    /// It reads nothing.
    #[default]
    Refuse,
    /// It leaves out the lines that no run wrote, reads the others, and notes both.
    Accept,
}

/// Something that is not as the run wrote it. Lines are those of `episodes.jsonl`, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The manifest's digest is that of another content.
    Manifest,
    /// The manifest has no digest, or no id.
    ManifestWithout,
    /// A line is not a record.
    NoRecord {
        /// The line.
        line: usize,
        /// What the parser says.
        why: String,
    },
    /// A line has no checksum.
    Without {
        /// The line.
        line: usize,
    },
    /// A line's checksum is that of another content.
    Changed {
        /// The line.
        line: usize,
    },
    /// A line belongs to another run.
    Foreign {
        /// The line.
        line: usize,
        /// Id of that run.
        run: String,
    },
    /// An episode is outside the plan.
    Unplanned {
        /// The line.
        line: usize,
        /// The episode.
        key: EpisodeKey,
    },
    /// A record has another number of stages than its task, or more completed than it has.
    Stages {
        /// The line.
        line: usize,
        /// Stages completed and stages of the record, and stages of its task.
        numbers: [u16; 3],
    },
    /// The line before a line is gone.
    Gap {
        /// The line after the gap.
        line: usize,
    },
    /// A line is at another place than it was written to, or there twice.
    Moved {
        /// The line.
        line: usize,
    },
    /// The last lines are gone or not whole.
    Cut {
        /// Lines that are left.
        left: u32,
        /// Lines that were written.
        written: u32,
    },
    /// There are lines after the last one of a run that has ended.
    Added {
        /// The first of them.
        line: usize,
    },
    /// The last line is another one than that with which the run ended.
    Replaced {
        /// The line.
        line: usize,
    },
}

impl Fault {
    /// Whether the line it is about is no record of the run, so that a reader leaves it out.
    pub fn leaves_out(&self) -> bool {
        match self {
            Self::NoRecord { .. }
            | Self::Without { .. }
            | Self::Changed { .. }
            | Self::Foreign { .. }
            | Self::Unplanned { .. }
            | Self::Stages { .. } => true,
            Self::Manifest
            | Self::ManifestWithout
            | Self::Gap { .. }
            | Self::Moved { .. }
            | Self::Cut { .. }
            | Self::Added { .. }
            | Self::Replaced { .. } => false,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |line: &usize| format!("line {line} of `{RECORDS_FILE}`");
        match self {
            Self::Manifest => write!(f, "`{MANIFEST_FILE}` was changed after it was written"),
            Self::ManifestWithout => write!(f, "`{MANIFEST_FILE}` has lost its checksum or its id"),
            Self::NoRecord { line, why } => write!(f, "{} is not a record ({why})", of(line)),
            Self::Without { line } => write!(f, "{} carries no checksum", of(line)),
            Self::Changed { line } => write!(f, "{} was changed after it was written", of(line)),
            Self::Foreign { line, run } => write!(f, "{} belongs to another run, {run}", of(line)),
            Self::Unplanned { line, key } => write!(f, "{} is not in the plan: {key}", of(line)),
            Self::Stages { line, numbers: [completed, stages, planned] } => {
                write!(f, "{} has {completed} of {stages} stages, its task has {planned}", of(line))
            }
            Self::Gap { line } => write!(f, "lines are missing before {}", of(line)),
            Self::Moved { line } => write!(f, "{} is out of order", of(line)),
            Self::Cut { left, written } => {
                write!(f, "`{RECORDS_FILE}` has {left} whole lines of the {written} written")
            }
            Self::Added { line } => write!(f, "{} was added after the run had ended", of(line)),
            Self::Replaced { line } => {
                write!(f, "{} is not the one that the run ended with", of(line))
            }
        }
    }
}

/// The faults in one line of text, the first ones in full.
pub fn listed(faults: &[Fault]) -> String {
    let mut texts: Vec<String> = faults.iter().take(LISTED).map(ToString::to_string).collect();
    if faults.len() > LISTED {
        texts.push(format!("and {} more", faults.len() - LISTED));
    }
    texts.join("; ")
}

/// What is said of a run that was read in spite of `faults`.
pub fn accepted(faults: &[Fault]) -> String {
    let left_out = faults.iter().filter(|fault| fault.leaves_out()).count();
    let lines = match left_out {
        0 => "no line is left out".to_owned(),
        1 => "1 line is left out".to_owned(),
        lines => format!("{lines} lines are left out"),
    };
    format!("damage accepted, {lines}: {}", listed(faults))
}
