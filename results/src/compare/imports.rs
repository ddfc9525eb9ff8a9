//! Results of other harnesses, as far as a comparison needs them: the outcome of every episode.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use crate::run::benchmarks::{CALVIN_STAGES, suite_of_group, suite_of_vla_eval};
use crate::run::read::Run;
use crate::run::record::Status;
use crate::tables::counts::Counts;

/// The outcomes of an evaluation by suite; the initial states are not known.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcomes {
    /// What they were read from: `run directory`, `eval_info.json`, `vla-eval aggregate`.
    pub format: &'static str,
    /// Name, version and fingerprint of the protocol, if it is known.
    pub protocol: Option<String>,
    /// Episodes by suite, under this program's names.
    pub suites: BTreeMap<String, Vec<ImportedOutcome>>,
    /// What a reader must know.
    pub notes: Vec<String>,
}

/// How an episode ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportedOutcome {
    /// It ran to its end.
    Ran {
        /// Stages completed.
        completed: u16,
        /// Stages of the episode.
        stages: u16,
    },
    /// It could not be run, or its outcome is not stated.
    Unknown,
}

/// Why a file holds no results.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum ImportError {
    #[error("it is not JSON")]
    Json(#[from] serde_json::Error),
    #[error("it is neither `eval_info.json` of lerobot-eval nor an aggregate of vla-eval")]
    Unknown,
    /// One task per file, without its name.
    #[error("it is from lerobot 0.3 or earlier, which did not write what was evaluated")]
    Unnamed,
    /// A task or an episode is listed twice.
    #[error("{0} is in it twice")]
    Doubled(String),
    #[error("{place}: `{value}` is not an outcome")]
    Outcome { place: String, value: String },
    #[error("it has no episodes")]
    Empty,
}

impl Outcomes {
    /// The outcomes of a run's records.
    pub fn of(run: &Run) -> Self {
        let mut suites: BTreeMap<String, Vec<ImportedOutcome>> = BTreeMap::new();
        for record in run.records.values() {
            let outcome = match record.status {
                Status::Error => ImportedOutcome::Unknown,
                Status::Ok => {
                    let (completed, stages) = (record.stages_completed, record.stages);
                    ImportedOutcome::Ran { completed, stages }
                }
            };
            suites.entry(record.suite.clone()).or_default().push(outcome);
        }
        let Counts { asked, missing, .. } = Counts::of_run(run);
        let missing = (missing > 0).then(|| format!("{missing} of {asked} episodes are missing"));
        Self {
            format: "run directory",
            protocol: Some(run.manifest.protocol_line()),
            suites,
            notes: missing.into_iter().chain(run.notes.clone()).collect(),
        }
    }

    /// The outcomes in a file of lerobot-eval or vla-eval; the keys tell which.
    ///
    /// # Errors
    /// See [`ImportError`].
    pub fn from_json(text: &str) -> Result<Self, ImportError> {
        let value: Value = serde_json::from_str(&without_nan(text))?;
        let has = |key: &str| value.get(key).is_some();
        let outcomes = if has("per_task") {
            from_lerobot(serde_json::from_value(value)?)?
        } else if has("per_episode") {
            return Err(ImportError::Unnamed);
        } else if has("tasks") && has("benchmark") {
            from_vla_eval(serde_json::from_value(value)?)?
        } else {
            return Err(ImportError::Unknown);
        };
        if outcomes.suites.values().all(Vec::is_empty) {
            return Err(ImportError::Empty);
        }
        Ok(outcomes)
    }
}

#[derive(Deserialize)]
struct LerobotFile {
    per_task: Vec<LerobotTask>,
}

#[derive(Deserialize)]
struct LerobotTask {
    task_group: String,
    task_id: u64,
    metrics: LerobotMetrics,
}

#[derive(Deserialize)]
struct LerobotMetrics {
    successes: Vec<Value>,
}

/// Source: lerobot, `scripts/lerobot_eval.py`.
fn from_lerobot(file: LerobotFile) -> Result<Outcomes, ImportError> {
    let mut suites: BTreeMap<String, Vec<ImportedOutcome>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for LerobotTask { task_group, task_id, metrics } in file.per_task {
        let name = format!("{task_group}/{task_id}");
        let suite = suites.entry(suite_of_group(&task_group)).or_default();
        for (index, success) in metrics.successes.iter().enumerate() {
            suite.push(outcome(success, &format!("{name}, episode {index}"))?);
        }
        if !seen.insert((task_group, task_id)) {
            return Err(ImportError::Doubled(name));
        }
    }
    let notes =
        vec!["lerobot-eval counts a failure of the simulator as a failure of the policy".into()];
    Ok(Outcomes { format: "eval_info.json", protocol: None, suites, notes })
}

#[derive(Deserialize)]
struct VlaEvalFile {
    benchmark: String,
    #[serde(default)]
    config: Value,
    tasks: Vec<VlaEvalTask>,
    #[serde(default)]
    partial: bool,
}

#[derive(Deserialize)]
struct VlaEvalTask {
    task: String,
    episodes: Vec<VlaEvalEpisode>,
}

#[derive(Deserialize)]
struct VlaEvalEpisode {
    episode_id: i64,
    #[serde(default)]
    suite: Option<String>,
    #[serde(default)]
    metrics: BTreeMap<String, Value>,
    #[serde(default)]
    failure_reason: Option<String>,
}

/// Source: vla-eval 0.8.0, `results/export.py`.
fn from_vla_eval(file: VlaEvalFile) -> Result<Outcomes, ImportError> {
    let params = file.config.get("params");
    let stated = params.and_then(|params| params.get("suite")?.as_str()).map(suite_of_group);
    let mut suites: BTreeMap<String, Vec<ImportedOutcome>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut failed = 0_u32;
    for VlaEvalTask { task, episodes } in &file.tasks {
        for episode in episodes {
            let place = format!("task `{task}`, episode {}", episode.episode_id);
            let suite = episode
                .suite
                .clone()
                .or_else(|| stated.clone())
                .unwrap_or_else(|| suite_of_vla_eval(&file.benchmark, task));
            let outcome = match &episode.failure_reason {
                Some(_) => ImportedOutcome::Unknown,
                None => vla_eval_outcome(episode, &place)?,
            };
            failed += u32::from(episode.failure_reason.is_some());
            suites.entry(suite.clone()).or_default().push(outcome);
            if !seen.insert((suite, task, episode.episode_id)) {
                return Err(ImportError::Doubled(place));
            }
        }
    }
    let failed = (failed > 0)
        .then(|| format!("its own rate counts {failed} episodes that did not run as failures"));
    let partial = file.partial.then(|| "it is marked as partial".to_owned());
    let notes = failed.into_iter().chain(partial).collect();
    Ok(Outcomes { format: "vla-eval aggregate", protocol: None, suites, notes })
}

fn vla_eval_outcome(episode: &VlaEvalEpisode, place: &str) -> Result<ImportedOutcome, ImportError> {
    let Some(completed) = episode.metrics.get("completed_subtasks") else {
        return outcome(episode.metrics.get("success").unwrap_or(&Value::Null), place);
    };
    let count = completed.as_u64().and_then(|count| u16::try_from(count).ok());
    match count.filter(|&count| count <= CALVIN_STAGES) {
        Some(completed) => Ok(ImportedOutcome::Ran { completed, stages: CALVIN_STAGES }),
        None => Err(ImportError::Outcome { place: place.into(), value: completed.to_string() }),
    }
}

/// A success as written: a boolean, 0 or 1, or nothing.
fn outcome(value: &Value, place: &str) -> Result<ImportedOutcome, ImportError> {
    let completed = match value {
        Value::Null => return Ok(ImportedOutcome::Unknown),
        Value::Bool(success) => u16::from(*success),
        value if value.as_f64() == Some(0.0) => 0,
        value if value.as_f64() == Some(1.0) => 1,
        value => {
            return Err(ImportError::Outcome { place: place.into(), value: value.to_string() });
        }
    };
    Ok(ImportedOutcome::Ran { completed, stages: 1 })
}

/// `text` with `null` in place of what Python writes where JSON has no number.
fn without_nan(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let (mut quoted, mut escaped) = (false, false);
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let word = ["-Infinity", "Infinity", "NaN"].into_iter().find(|word| rest.starts_with(word));
        if let (false, Some(word)) = (quoted, word) {
            clean += "null";
            rest = &rest[word.len()..];
            continue;
        }
        quoted ^= character == '"' && !escaped;
        escaped = quoted && character == '\\' && !escaped;
        clean.push(character);
        rest = &rest[character.len_utf8()..];
    }
    clean
}
