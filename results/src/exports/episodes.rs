//! A line of CSV per episode.

use ::csv::{Error, Terminator, WriterBuilder};
use udvla_sims::episode::EpisodeKey;

use super::{ExportError, progress};
use crate::manifest::PlannedTask;
use crate::read::Run;
use crate::record::{EpisodeRecord, Status};

const COLUMNS: [&str; 20] = [
    "run",
    "suite",
    "task",
    "instruction",
    "trial",
    "status",
    "success",
    "progress",
    "stages",
    "stages_completed",
    "steps",
    "calls",
    "truncated",
    "attempts",
    "wall_seconds",
    "sim_seconds",
    "policy_seconds",
    "started",
    "error_kind",
    "error_message",
];

/// Every episode of the plan as a line, in the plan's order.
///
/// `status` is `ok`, `error` or `missing`; `success` is 1 or 0, and empty, like `progress` (the
/// share of stages completed, 0 to 1), where the episode did not run to its end.
///
/// # Errors
/// When the text cannot be written.
pub fn episodes_csv(run: &Run) -> Result<String, ExportError> {
    let mut writer =
        WriterBuilder::new().terminator(Terminator::Any(b'\n')).from_writer(Vec::new());
    writer.write_record(COLUMNS)?;
    for planned in &run.manifest.plan {
        for trial in 0..planned.trials {
            let key = EpisodeKey { suite: planned.suite.clone(), task: planned.task, trial };
            let line = line(&run.manifest.run, planned, trial, run.records.get(&key));
            writer.write_record(line)?;
        }
    }
    let bytes = writer.into_inner().map_err(|e| Error::from(e.into_error()))?;
    Ok(String::from_utf8(bytes).expect("text was written"))
}

fn line(
    run: &str,
    planned: &PlannedTask,
    trial: u16,
    record: Option<&EpisodeRecord>,
) -> Vec<String> {
    let mut cells = vec![
        run.to_owned(),
        planned.suite.clone(),
        planned.task.to_string(),
        planned.instruction.clone(),
        trial.to_string(),
    ];
    let Some(record) = record else {
        cells.push("missing".into());
        cells.resize(COLUMNS.len(), String::new());
        return cells;
    };
    let ok = record.status == Status::Ok;
    let success = record.success().map(|success| u8::from(success).to_string());
    cells.extend([
        if ok { "ok".into() } else { "error".into() },
        success.unwrap_or_default(),
        if ok { progress(record).to_string() } else { String::new() },
        record.stages.to_string(),
        record.stages_completed.to_string(),
        record.steps.to_string(),
        record.calls.to_string(),
        record.truncated.to_string(),
        record.attempts.to_string(),
        format!("{:.3}", record.seconds.wall),
        format!("{:.3}", record.seconds.sim),
        format!("{:.3}", record.seconds.policy),
        record.started.clone(),
        record.error_kind.clone().unwrap_or_default(),
        record.error_message.clone().unwrap_or_default(),
    ]);
    cells
}
