//! Chains of several sub-tasks, counted by sub-task.
//!
//! A record states how many sub-tasks of its chain were solved. Which ones these are is in the
//! protocol's list: entry `trial` names the sub-tasks in order, and a chain ends at the first one
//! that is not solved.

use std::collections::BTreeMap;

use udvla_sims::protocol::Suite;
use udvla_sims::sequences;

use crate::run::record::{EpisodeRecord, Status};
use crate::statistics::Rate;

/// One kind of sub-task.
#[derive(Debug, Clone, PartialEq)]
pub struct SubtaskSummary {
    /// Its name in the protocol.
    pub name: String,
    /// Successes of the times that a chain reached it. Its `errors` are chains containing it that
    /// could not be run.
    pub rate: Rate,
    /// Chains containing it that ended earlier.
    pub not_reached: u32,
}

/// What became of a sub-task in one chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StageOutcome {
    Solved,
    Failed,
    NotReached,
    Error,
}

impl StageOutcome {
    /// The outcome of stage `stage`, counted from 0, of a record's chain.
    pub(crate) fn of(record: &EpisodeRecord, stage: u16) -> Self {
        match record.status {
            Status::Error => Self::Error,
            Status::Ok if stage < record.stages_completed => Self::Solved,
            Status::Ok if stage == record.stages_completed => Self::Failed,
            Status::Ok => Self::NotReached,
        }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    solved: u32,
    failed: u32,
    not_reached: u32,
    errors: u32,
}

/// The sub-tasks in the chains of `records`, in the protocol's order; empty where the suite has
/// no list of chains.
pub fn by_subtask(suite: &Suite, records: &[&EpisodeRecord]) -> Vec<SubtaskSummary> {
    let chains = sequences::chains(suite);
    let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
    for record in records {
        for (stage, name) in (0..).zip(chains.get(usize::from(record.trial)).into_iter().flatten())
        {
            let tally = tallies.entry(name).or_default();
            let count = match StageOutcome::of(record, stage) {
                StageOutcome::Solved => &mut tally.solved,
                StageOutcome::Failed => &mut tally.failed,
                StageOutcome::NotReached => &mut tally.not_reached,
                StageOutcome::Error => &mut tally.errors,
            };
            *count += 1;
        }
    }
    let summary = |name: String| {
        let Tally { solved, failed, not_reached, errors } = *tallies.get(name.as_str())?;
        Some(SubtaskSummary { name, rate: Rate::new(solved, solved + failed, errors), not_reached })
    };
    suite.details.subtasks().into_iter().filter_map(summary).collect()
}
