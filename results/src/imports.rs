//! Results of other harnesses, as far as a comparison needs them: how every episode ended.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use crate::read::Run;
use crate::record::Status;

/// How the episodes of an evaluation ended, suite by suite. Nothing says which initial state an
/// episode had.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcomes {
    /// What they were read from: `run directory`, `eval_info.json`, `vla-eval aggregate`.
    pub format: &'static str,
    /// Name, version and fingerprint of the protocol, where it is known.
    pub protocol: Option<String>,
    /// Suites under this program's names, each with its episodes.
    pub suites: BTreeMap<String, Vec<Outcome>>,
    /// What a reader must know.
    pub notes: Vec<String>,
}

/// How an episode ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It ran to its end, with so many of its stages completed.
    Ran {
        /// Stages completed.
        completed: u16,
        /// Stages of the episode.
        stages: u16,
    },
    /// It could not be run, or nobody says how it ended.
    Unknown,
}

/// Why a file holds no results.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It is no JSON.
    #[error("it is no JSON")]
    Json(#[from] serde_json::Error),
    /// It is JSON of another kind.
    #[error("it is neither `eval_info.json` of lerobot-eval nor an aggregate of vla-eval")]
    Unknown,
    /// It is from a lerobot that wrote one task per file and did not name it.
    #[error("it is from lerobot 0.3 or earlier, which did not write what was evaluated")]
    Unnamed,
    /// A task or an episode stands in it twice.
    #[error("{0} is in it twice")]
    Doubled(String),
    /// A number is none that it could be.
    #[error("{place}: `{value}` is no outcome")]
    Outcome {
        /// Task and place in its list.
        place: String,
        /// What stands there.
        value: String,
    },
    /// It holds no episode.
    #[error("it holds no episode")]
    Empty,
}

impl Outcomes {
    /// The outcomes of a run's records.
    pub fn of(run: &Run) -> Self {
        let protocol = &run.manifest.protocol;
        let fingerprint = &run.manifest.protocol_fingerprint;
        let mut suites: BTreeMap<String, Vec<Outcome>> = BTreeMap::new();
        for record in run.records.values() {
            let outcome = match record.status {
                Status::Error => Outcome::Unknown,
                Status::Ok => {
                    Outcome::Ran { completed: record.stages_completed, stages: record.stages }
                }
            };
            suites.entry(record.suite.clone()).or_default().push(outcome);
        }
        let asked = run.manifest.episodes().len();
        let missing = asked.saturating_sub(run.records.len());
        let notes = (missing > 0).then(|| format!("{missing} of {asked} episodes are missing"));
        Self {
            format: "run directory",
            protocol: Some(format!("{} v{} ({fingerprint})", protocol.name, protocol.version)),
            suites,
            notes: notes.into_iter().collect(),
        }
    }

    /// The outcomes in a file of lerobot-eval or vla-eval; which of them, its keys say.
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

/// The name of a suite in files of lerobot-eval.
pub(crate) fn lerobot_group(benchmark: &str, suite: &str) -> String {
    match (benchmark, suite) {
        ("libero", "long") => "libero_10".into(),
        _ => format!("{benchmark}_{suite}"),
    }
}

/// The suite under this program's name.
fn suite_of_group(group: &str) -> String {
    let known = ["libero_", "calvin_", "simpler_"];
    match known.iter().find_map(|prefix| group.strip_prefix(prefix)).unwrap_or(group) {
        "10" => "long".into(),
        suite => suite.into(),
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
    let mut suites: BTreeMap<String, Vec<Outcome>> = BTreeMap::new();
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
    let notes = vec!["lerobot-eval books a simulator's failure as a failure of the policy".into()];
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
    let stated = file.config.get("params").and_then(|params| params.get("suite"));
    let stated = stated.and_then(Value::as_str).map(suite_of_group);
    let mut suites: BTreeMap<String, Vec<Outcome>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut failed = 0_u32;
    for VlaEvalTask { task, episodes } in &file.tasks {
        let guess = || {
            if task.starts_with("seq_") {
                "abcd-d".into()
            } else {
                suite_of_benchmark(&file.benchmark)
            }
        };
        for episode in episodes {
            let place = format!("task `{task}`, episode {}", episode.episode_id);
            let suite = episode.suite.clone().or_else(|| stated.clone()).unwrap_or_else(guess);
            let outcome = match &episode.failure_reason {
                Some(_) => Outcome::Unknown,
                None => vla_eval_outcome(episode, &place)?,
            };
            failed += u32::from(episode.failure_reason.is_some());
            suites.entry(suite.clone()).or_default().push(outcome);
            if !seen.insert((suite, task, episode.episode_id)) {
                return Err(ImportError::Doubled(place));
            }
        }
    }
    let mut notes = Vec::new();
    if failed > 0 {
        notes.push(format!("its own rate counts {failed} episodes that did not run as failures"));
    }
    notes.extend(file.partial.then(|| "it says that it is partial".to_owned()));
    Ok(Outcomes { format: "vla-eval aggregate", protocol: None, suites, notes })
}

/// The suite of a file that names none.
fn suite_of_benchmark(benchmark: &str) -> String {
    if benchmark.to_lowercase().contains("simpler") { "widowx".into() } else { benchmark.into() }
}

fn vla_eval_outcome(episode: &VlaEvalEpisode, place: &str) -> Result<Outcome, ImportError> {
    match episode.metrics.get("completed_subtasks") {
        None => outcome(episode.metrics.get("success").unwrap_or(&Value::Null), place),
        Some(completed) => {
            let count = completed.as_u64().filter(|&count| count <= 5);
            let count = count.and_then(|count| u16::try_from(count).ok());
            let bad = || ImportError::Outcome { place: place.into(), value: completed.to_string() };
            Ok(Outcome::Ran { completed: count.ok_or_else(bad)?, stages: 5 })
        }
    }
}

/// A success as it is written: a truth value, 0 or 1, or nothing.
fn outcome(value: &Value, place: &str) -> Result<Outcome, ImportError> {
    let completed = match value {
        Value::Null => return Ok(Outcome::Unknown),
        Value::Bool(success) => u16::from(*success),
        value if value.as_f64() == Some(0.0) => 0,
        value if value.as_f64() == Some(1.0) => 1,
        value => {
            return Err(ImportError::Outcome { place: place.into(), value: value.to_string() });
        }
    };
    Ok(Outcome::Ran { completed, stages: 1 })
}

/// `text` with `null` for the words that Python writes where JSON has no number.
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
