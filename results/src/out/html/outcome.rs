//! Outcome of an episode as a class, a symbol and words.

use crate::run::record::EpisodeRecord;

/// Outcome of an episode, as shown in the grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CellKind {
    /// Every stage was completed.
    Solved,
    /// It ran to its end without.
    Failed,
    /// It could not be run.
    Error,
    /// It has not run yet.
    Missing,
}

impl CellKind {
    /// All of them, in the order of the legend.
    pub(super) const ALL: [Self; 4] = [Self::Solved, Self::Failed, Self::Error, Self::Missing];

    /// That of an episode with this record.
    pub(super) fn of(record: Option<&EpisodeRecord>) -> Self {
        match record.map(EpisodeRecord::success) {
            None => Self::Missing,
            Some(None) => Self::Error,
            Some(Some(true)) => Self::Solved,
            Some(Some(false)) => Self::Failed,
        }
    }

    /// The class in the style sheet.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Solved => "solved",
            Self::Failed => "failed",
            Self::Error => "error",
            Self::Missing => "missing",
        }
    }

    /// In words.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Solved => "solved",
            Self::Failed => "not solved",
            Self::Error => "error: could not be run",
            Self::Missing => "missing: not run yet",
        }
    }

    /// In a word or two.
    pub(super) fn short(self) -> &'static str {
        match self {
            Self::Solved => "solved",
            Self::Failed => "not solved",
            Self::Error => "errors",
            Self::Missing => "missing",
        }
    }

    /// The symbol in a cell: the outcome must be readable without its color.
    pub(super) fn symbol(self) -> &'static str {
        match self {
            Self::Solved => "✓",
            Self::Failed => "×",
            Self::Error => "!",
            Self::Missing => "·",
        }
    }
}
