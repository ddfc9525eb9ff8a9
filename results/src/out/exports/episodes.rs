//! CSV with a line per episode.

use udvla_sims::episode::EpisodeKey;

use super::ExportError;
use crate::out::csv::{add_notes, csv_text, header};
use crate::run::manifest::PlannedTask;
use crate::run::read::Run;
use crate::run::record::{EpisodeRecord, Status};

const COLUMNS: &str = "run,suite,task,instruction,trial,status,success,progress,stages,\
                       stages_completed,steps,calls,truncated,attempts,wall_seconds,sim_seconds,\
                       policy_seconds,started,error_kind,error_message";

/// Every planned episode as a line, in the plan's order.
///
/// `status` is `ok`, `error` or `missing`; `success` is 1 or 0. `success` and `progress` (the
/// share of stages completed, 0 to 1) are empty where the episode did not run to its end. The
/// column `notes` is there only if something must be said of the run.
///
/// # Errors
/// When the text cannot be written.
pub fn episodes_csv(run: &Run) -> Result<String, ExportError> {
    let mut rows = vec![header(COLUMNS)];
    for planned in &run.manifest.plan {
        rows.extend(run.manifest.episodes_of(planned).map(|key| row(run, planned, &key)));
    }
    add_notes(&mut rows, &run.notes);
    Ok(csv_text(rows)?)
}

fn row(run: &Run, planned: &PlannedTask, key: &EpisodeKey) -> Vec<String> {
    let EpisodeKey { suite, task, trial } = key;
    let mut cells = vec![
        run.manifest.run.clone(),
        suite.clone(),
        task.to_string(),
        planned.instruction.clone(),
        trial.to_string(),
    ];
    match run.records.get(key) {
        Some(record) => cells.extend(record_cells(record)),
        None => {
            cells.push("missing".into());
            cells.resize(COLUMNS.split(',').count(), String::new());
        }
    }
    cells
}

fn record_cells(record: &EpisodeRecord) -> [String; 15] {
    let ok = record.status == Status::Ok;
    let success = record.success().map(|success| u8::from(success).to_string());
    [
        if ok { "ok".into() } else { "error".into() },
        success.unwrap_or_default(),
        if ok { record.progress().to_string() } else { String::new() },
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
    ]
}
