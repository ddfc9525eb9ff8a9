//! How many episodes there are of each kind, and how that is said.

use crate::record::{EpisodeRecord, Status};

/// How many episodes there are of each kind.
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
    /// The kinds of `records`, the last one of every episode, out of `asked` episodes.
    pub fn of(records: &[&EpisodeRecord], asked: u32) -> Self {
        let count = |wanted: &dyn Fn(&EpisodeRecord) -> bool| {
            records.iter().filter(|record| wanted(record)).count() as u32
        };
        let errors = count(&|record| record.status == Status::Error);
        let found = records.len() as u32;
        let retried = count(&|record| record.attempts > 1);
        Self { asked, ok: found - errors, errors, missing: asked.saturating_sub(found), retried }
    }

    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        Self {
            asked: self.asked + other.asked,
            ok: self.ok + other.ok,
            errors: self.errors + other.errors,
            missing: self.missing + other.missing,
            retried: self.retried + other.retried,
        }
    }

    /// `n = 500`, or `n = 498 of 500, 2 errors, 1 missing`.
    pub fn words(&self) -> String {
        let mut words = format!("n = {}", self.ok);
        if self.ok != self.asked {
            words += &format!(" of {}", self.asked);
        }
        match self.apart() {
            apart if apart.is_empty() => words,
            apart => words + ", " + &apart,
        }
    }

    /// The episodes that are not in `n`: `2 errors, 1 missing`, or nothing.
    pub fn apart(&self) -> String {
        let errors = (self.errors > 0).then(|| counted(self.errors, "error"));
        let missing = (self.missing > 0).then(|| format!("{} missing", self.missing));
        errors.into_iter().chain(missing).collect::<Vec<_>>().join(", ")
    }
}

/// `3 errors`, `1 error`.
pub fn counted(n: u32, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}
