//! The aggregate JSON as `vla-eval export` writes it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{ExportError, Provenance, json};
use crate::run::manifest::PlannedTask;
use crate::run::read::Run;
use crate::run::record::{EpisodeRecord, Status};
use crate::tables::counts::Counts;

#[derive(Serialize)]
struct Aggregate<'a> {
    benchmark: &'a str,
    mode: &'static str,
    harness_version: String,
    created_at: &'a str,
    tasks: Vec<Task>,
    config: Config<'a>,
    metric_keys: BTreeMap<&'static str, &'static str>,
    mean_success: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    mean_completed_subtasks: Option<f64>,
    num_episodes_total: usize,
    num_errors: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    partial: Option<bool>,
}

#[derive(Serialize)]
struct Config<'a> {
    udvla_eval: Provenance<'a>,
}

#[derive(Serialize)]
struct Task {
    task: String,
    episodes: Vec<Episode>,
    num_episodes: usize,
    avg_steps: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    num_errors: Option<usize>,
    mean_success: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    mean_completed_subtasks: Option<f64>,
}

#[derive(Clone, Serialize)]
struct Episode {
    episode_id: u16,
    suite: String,
    task_idx: u16,
    metrics: Metrics,
    steps: u32,
    elapsed_sec: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_detail: Option<String>,
}

#[derive(Clone, Copy, Serialize)]
struct Metrics {
    success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed_subtasks: Option<u16>,
}

/// The run as the aggregate of vla-eval 0.8.
///
/// A task is named by its instruction; an episode of several stages is a task of its own,
/// `seq_0017`. The format counts an episode that could not be run as a failure and states the
/// reason; a run with missing episodes is marked `partial`.
///
/// # Errors
/// When no episode has a record.
///
/// Source: vla-eval 0.8.0, `results/collector.py` and `results/export.py`.
pub fn vla_eval_json(run: &Run) -> Result<String, ExportError> {
    let counts = Counts::of_run(run);
    if run.records.is_empty() {
        return Err(ExportError::Empty);
    }
    let manifest = &run.manifest;
    let tasks: Vec<Task> = manifest.plan.iter().flat_map(|planned| tasks(run, planned)).collect();
    let episodes: Vec<Episode> = tasks.iter().flat_map(|task| task.episodes.clone()).collect();
    let chains = mean_stages(&episodes).is_some();
    let keys = [("success", "mean"), ("completed_subtasks", "mean")];
    let file = Aggregate {
        benchmark: &manifest.protocol.benchmark,
        mode: "sync",
        harness_version: format!(
            "udvla-eval {}",
            manifest.software.get("udvla-eval").map_or("", String::as_str)
        ),
        created_at: manifest.ended.as_ref().unwrap_or(&manifest.started),
        config: Config { udvla_eval: Provenance::of(run) },
        metric_keys: keys.into_iter().take(1 + usize::from(chains)).collect(),
        mean_success: mean_success(&episodes),
        mean_completed_subtasks: mean_stages(&episodes),
        num_episodes_total: episodes.len(),
        num_errors: counts.errors as usize,
        partial: (counts.missing > 0).then_some(true),
        tasks,
    };
    Ok(json(&file))
}

/// A planned task, or one per episode where episodes have several stages.
fn tasks(run: &Run, planned: &PlannedTask) -> Vec<Task> {
    if planned.stages > 1 {
        let chain = |record: &EpisodeRecord| {
            let episode = Episode { episode_id: 0, ..episode(record) };
            task(format!("seq_{:04}", record.trial), vec![episode])
        };
        return run.records_of(planned).map(chain).collect();
    }
    let episodes: Vec<Episode> = run.records_of(planned).map(episode).collect();
    if episodes.is_empty() { vec![] } else { vec![task(planned.instruction.clone(), episodes)] }
}

fn task(task: String, episodes: Vec<Episode>) -> Task {
    let errors = episodes.iter().filter(|episode| episode.failure_reason.is_some()).count();
    let steps: f64 = episodes.iter().map(|episode| f64::from(episode.steps)).sum();
    Task {
        task,
        num_episodes: episodes.len(),
        avg_steps: steps / episodes.len().max(1) as f64,
        num_errors: (errors > 0).then_some(errors),
        mean_success: mean_success(&episodes),
        mean_completed_subtasks: mean_stages(&episodes),
        episodes,
    }
}

fn episode(record: &EpisodeRecord) -> Episode {
    let failed = record.status == Status::Error;
    let reason = || record.error_kind.clone().unwrap_or_else(|| "error".into());
    Episode {
        episode_id: record.trial,
        suite: record.suite.clone(),
        task_idx: record.task,
        metrics: Metrics {
            success: record.success() == Some(true),
            completed_subtasks: (record.stages > 1).then_some(record.stages_completed),
        },
        steps: record.steps,
        elapsed_sec: record.seconds.wall,
        failure_reason: failed.then(reason),
        failure_detail: record.error_message.clone().filter(|_| failed),
    }
}

fn mean_success(episodes: &[Episode]) -> f64 {
    rounded(episodes.iter().map(|episode| f64::from(u8::from(episode.metrics.success))).collect())
        .unwrap_or(0.0)
}

fn mean_stages(episodes: &[Episode]) -> Option<f64> {
    rounded(episodes.iter().filter_map(|e| e.metrics.completed_subtasks.map(f64::from)).collect())
}

/// The mean rounded to four decimals, as vla-eval does; `None` without numbers.
fn rounded(numbers: Vec<f64>) -> Option<f64> {
    let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
    (!numbers.is_empty()).then(|| (mean * 1e4).round() / 1e4)
}
