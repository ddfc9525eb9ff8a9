//! Chains of several sub-tasks, sub-task by sub-task.
//!
//! A record says how many sub-tasks of its chain were solved. Which ones these are stands in the
//! protocol's list: entry `trial` names the sub-tasks in order, and a chain ends at the first that
//! is not solved.

use std::collections::BTreeMap;

use udvla_sims::protocol::Suite;
use udvla_sims::sequences;

use crate::paper_tables::{Form, Origin, ResultRow, ResultTable};
use crate::record::{EpisodeRecord, Status};
use crate::statistics::Rate;
use crate::summary::Summary;

/// One kind of sub-task.
#[derive(Debug, Clone, PartialEq)]
pub struct SubtaskSummary {
    /// Its name in the protocol.
    pub name: String,
    /// Successes of the times that a chain came to it. Its `errors` are chains with it that could
    /// not be run.
    pub rate: Rate,
    /// Chains with it that ended before it.
    pub not_reached: u32,
}

/// What happened to a sub-task.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    solved: u32,
    failed: u32,
    not_reached: u32,
    errors: u32,
}

/// The sub-tasks of the chains that `records` are of, in the protocol's order; empty where the
/// suite has no list of chains.
pub fn by_subtask(suite: &Suite, records: &[&EpisodeRecord]) -> Vec<SubtaskSummary> {
    let chains = sequences::chains(suite);
    let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
    for record in records {
        let chain = chains.get(usize::from(record.trial)).map_or(&[][..], Vec::as_slice);
        for (stage, name) in (0..).zip(chain) {
            let tally = tallies.entry(name).or_default();
            let slot = match record.status {
                Status::Error => &mut tally.errors,
                Status::Ok if stage < record.stages_completed => &mut tally.solved,
                Status::Ok if stage == record.stages_completed => &mut tally.failed,
                Status::Ok => &mut tally.not_reached,
            };
            *slot += 1;
        }
    }
    let names = suite.details.get("subtasks").map(sequences::subtasks).unwrap_or_default();
    let summary = |name: String| {
        let Tally { solved, failed, not_reached, errors } = *tallies.get(name.as_str())?;
        Some(SubtaskSummary { name, rate: Rate::new(solved, solved + failed, errors), not_reached })
    };
    names.into_iter().filter_map(summary).collect()
}

/// The sub-tasks of a run as a table beside the paper's.
pub(crate) fn result_table(summary: &Summary) -> Option<ResultTable> {
    let suite = summary.suites.iter().find(|suite| suite.chain.is_some())?;
    let subtasks = &suite.chain.as_ref()?.subtasks;
    let row = |subtask: &SubtaskSummary| ResultRow {
        method: subtask.name.clone(),
        status: Origin::Measured,
        cells: vec![Form::Percent.rate(subtask.rate)],
        n: format!("n = {}", subtask.rate.n),
        verdict: None,
    };
    (!subtasks.is_empty()).then(|| ResultTable {
        source: "By sub-task".into(),
        title: crate::caption::suite_title(&summary.benchmark, &suite.name),
        columns: vec!["success".into()],
        n_of: "times that a chain came to it".into(),
        rows: subtasks.iter().map(row).collect(),
        notes: crate::notes::measured_notes(summary),
    })
}
