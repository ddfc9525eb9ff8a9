//! How many episodes ran, failed to run, or are missing.

use std::iter::Sum;

use super::format::plural;
use crate::run::read::Run;
use crate::run::record::{EpisodeRecord, Status};

/// Episodes by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// In the plan.
    pub asked: u32,
    /// Ran to their end.
    pub ok: u32,
    /// Could not be run.
    pub errors: u32,
    /// In the plan, without a record.
    pub missing: u32,
    /// Started more than once.
    pub retried: u32,
}

impl Counts {
    /// Counts `records`, the last one of each episode, out of `asked` planned episodes.
    pub fn of(records: &[&EpisodeRecord], asked: u32) -> Self {
        let count = |matches: &dyn Fn(&EpisodeRecord) -> bool| {
            records.iter().filter(|record| matches(record)).count() as u32
        };
        let errors = count(&|record| record.status == Status::Error);
        let retried = count(&|record| record.attempts > 1);
        let all = records.len() as u32;
        Self { asked, ok: all - errors, errors, missing: asked.saturating_sub(all), retried }
    }

    /// Counts all episodes of a run.
    pub fn of_run(run: &Run) -> Self {
        let records: Vec<&EpisodeRecord> = run.records.values().collect();
        Self::of(&records, run.manifest.episodes().len() as u32)
    }

    /// `n = 500`, or `n = 498 of 500, 2 errors`.
    pub fn label(&self) -> String {
        let mut label = format!("n = {}", self.ok);
        if self.ok != self.asked {
            label += &format!(" of {}", self.asked);
        }
        match self.excluded() {
            excluded if excluded.is_empty() => label,
            excluded => label + ", " + &excluded,
        }
    }

    /// The episodes that are not in `n`: `2 errors, 1 missing`; empty without any.
    pub fn excluded(&self) -> String {
        let errors = (self.errors > 0).then(|| plural(self.errors, "error"));
        let missing = (self.missing > 0).then(|| format!("{} missing", self.missing));
        errors.into_iter().chain(missing).collect::<Vec<_>>().join(", ")
    }
}

impl Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |sum, counts| Self {
            asked: sum.asked + counts.asked,
            ok: sum.ok + counts.ok,
            errors: sum.errors + counts.errors,
            missing: sum.missing + counts.missing,
            retried: sum.retried + counts.retried,
        })
    }
}
