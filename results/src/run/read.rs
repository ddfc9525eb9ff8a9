//! Reads a run directory: the manifest and the last record of every episode.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;
use udvla_sims::episode::EpisodeKey;

use super::manifest::{Manifest, PlannedTask, SCHEMA};
use super::record::EpisodeRecord;

/// Name of the manifest in a run directory.
pub const MANIFEST_FILE: &str = "run.json";
/// Name of the records file in a run directory.
pub const RECORDS_FILE: &str = "episodes.jsonl";

/// Contents of a run directory.
///
/// ```
/// use udvla_results::{paper::Paper, run::read::Run, tables::summary::Summary};
///
/// let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/samples/schema-1");
/// let run = Run::read(sample)?;
/// let summary = Summary::new(&run, &Paper::bundled());
/// assert_eq!((summary.suites[0].rate.successes, summary.suites[0].rate.n), (2, 3));
/// # Ok::<(), udvla_results::run::read::ReadError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// `run.json`.
    pub manifest: Manifest,
    /// The last record of every episode in `episodes.jsonl`.
    pub records: BTreeMap<EpisodeKey, EpisodeRecord>,
    /// The line of `episodes.jsonl` that a crash cut short, counted from 1; it is skipped.
    pub torn_line: Option<usize>,
}

/// Why a run directory cannot be read.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum ReadError {
    #[error("`{}` is not a run directory: it has no `{file}`", .dir.display())]
    Missing { dir: PathBuf, file: &'static str },
    #[error("cannot read `{}`", .path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("`{}` is not a manifest", .path.display())]
    Manifest { path: PathBuf, source: serde_json::Error },
    #[error("`{}` has schema {found}, this build reads schemas 1 to {SCHEMA}", .path.display())]
    Schema { path: PathBuf, found: String },
    /// The protocol was edited after the run was started.
    #[error("the protocol in `{}` does not match its fingerprint {written}", .path.display())]
    Fingerprint { path: PathBuf, written: String },
    #[error("the plan in `{}` has a task that is {fault}: {suite}, task {task}", .path.display())]
    Plan { path: PathBuf, fault: PlanFault, suite: String, task: u16 },
    #[error("line {line} of `{}` is not a record", .path.display())]
    Line { path: PathBuf, line: usize, source: serde_json::Error },
    /// A record belongs to an episode outside the plan.
    #[error("line {line} of `{}` is not in the plan: {key}", .path.display())]
    Foreign { path: PathBuf, line: usize, key: EpisodeKey },
    /// A record has another number of stages than its task, or more completed than it has.
    #[error(
        "line {line} of `{}` has {completed} of {stages} stages, its task has {planned}",
        .path.display()
    )]
    Stages { path: PathBuf, line: usize, completed: u16, stages: u16, planned: u16 },
}

/// What is wrong with a task of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanFault {
    /// Two entries name it.
    Repeated,
    /// The protocol does not have it.
    Unknown,
    /// The number of stages is not the protocol's.
    Stages,
}

impl fmt::Display for PlanFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Repeated => "listed twice",
            Self::Unknown => "not in the protocol",
            Self::Stages => "planned with another number of stages than the protocol has",
        })
    }
}

impl ReadError {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Missing { .. } => Some(
                "name the folder given to `--out`, or a run in the folder `runs`; it holds \
                 `run.json`",
            ),
            Self::Schema { .. } => Some("read it with the version that wrote it, or a newer one"),
            Self::Fingerprint { .. } | Self::Plan { .. } => {
                Some("restore `run.json`; only the program may change it")
            }
            Self::Line { .. } => Some("remove the line and resume: its episode is run again"),
            Self::Foreign { .. } | Self::Stages { .. } => {
                Some("keep every run in its own directory; lines of two runs cannot be mixed")
            }
            Self::Unreadable { .. } | Self::Manifest { .. } => None,
        }
    }
}

impl Run {
    /// Reads `run.json` and `episodes.jsonl` of the run directory at `path`.
    ///
    /// A last line without a newline is what a crash leaves: it is skipped and reported in
    /// [`Run::torn_line`], and resuming the run cuts it off. The order of the lines matters only
    /// for episodes that have several: the last one counts.
    ///
    /// # Errors
    /// See [`ReadError`]; nothing else is skipped.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, ReadError> {
        let dir = path.as_ref();
        let manifest = read_file(dir, MANIFEST_FILE)?;
        Self::from_bytes(dir, &manifest, &read_file(dir, RECORDS_FILE)?)
    }

    /// The run in the two files of a run directory; `dir` is only named in errors.
    ///
    /// # Errors
    /// As [`Run::read`], except for missing files.
    pub fn from_bytes(dir: &Path, manifest: &[u8], records: &[u8]) -> Result<Self, ReadError> {
        let manifest = read_manifest(dir.join(MANIFEST_FILE), manifest)?;
        let (records, torn_line) = read_records(dir.join(RECORDS_FILE), records, &manifest)?;
        Ok(Self { manifest, records, torn_line })
    }

    /// The records of a planned task, by trial.
    pub fn records_of(&self, planned: &PlannedTask) -> impl Iterator<Item = &EpisodeRecord> {
        let key = |trial| EpisodeKey { suite: planned.suite.clone(), task: planned.task, trial };
        self.records.range(key(0)..=key(u16::MAX)).map(|(_, record)| record)
    }
}

fn read_file(dir: &Path, file: &'static str) -> Result<Vec<u8>, ReadError> {
    let path = dir.join(file);
    match fs::read(&path) {
        Ok(bytes) => Ok(bytes),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Err(ReadError::Missing { dir: dir.to_path_buf(), file })
        }
        Err(source) => Err(ReadError::Unreadable { path, source }),
    }
}

fn read_manifest(path: PathBuf, bytes: &[u8]) -> Result<Manifest, ReadError> {
    // The schema first: the manifest of a newer one need not parse.
    let value: Value = match serde_json::from_slice(bytes) {
        Ok(value) => value,
        Err(source) => return Err(ReadError::Manifest { path, source }),
    };
    match value.get("schema") {
        Some(schema) if schema.as_u64().is_some_and(|n| (1..=SCHEMA.into()).contains(&n)) => {}
        Some(schema) => return Err(ReadError::Schema { path, found: schema.to_string() }),
        None => return Err(ReadError::Schema { path, found: "none".into() }),
    }
    let manifest: Manifest = match serde_json::from_value(value) {
        Ok(manifest) => manifest,
        Err(source) => return Err(ReadError::Manifest { path, source }),
    };
    if manifest.protocol.fingerprint() != manifest.protocol_fingerprint {
        return Err(ReadError::Fingerprint { path, written: manifest.protocol_fingerprint });
    }
    check_plan(path, &manifest)?;
    Ok(manifest)
}

fn check_plan(path: PathBuf, manifest: &Manifest) -> Result<(), ReadError> {
    for (index, planned) in manifest.plan.iter().enumerate() {
        let PlannedTask { suite, task, stages, .. } = planned;
        let known = manifest.protocol.suite(suite);
        let same = |other: &PlannedTask| other.suite == *suite && other.task == *task;
        let fault = if manifest.plan[..index].iter().any(same) {
            PlanFault::Repeated
        } else if usize::from(*task) >= known.map_or(0, |suite| suite.tasks.len()) {
            PlanFault::Unknown
        } else if known.is_some_and(|suite| suite.stages != *stages) {
            PlanFault::Stages
        } else {
            continue;
        };
        return Err(ReadError::Plan { path, fault, suite: suite.clone(), task: *task });
    }
    Ok(())
}

type Records = BTreeMap<EpisodeKey, EpisodeRecord>;

fn read_records(
    path: PathBuf,
    bytes: &[u8],
    manifest: &Manifest,
) -> Result<(Records, Option<usize>), ReadError> {
    let plan: BTreeMap<(&str, u16), &PlannedTask> =
        manifest.plan.iter().map(|task| ((task.suite.as_str(), task.task), task)).collect();
    let mut records = Records::new();
    for (index, text) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
        let line = index + 1;
        if text.last() != Some(&b'\n') {
            return Ok((records, Some(line)));
        }
        let record: EpisodeRecord = match serde_json::from_slice(text) {
            Ok(record) => record,
            Err(source) => return Err(ReadError::Line { path, line, source }),
        };
        let key = record.key();
        let planned = plan.get(&(key.suite.as_str(), key.task));
        let Some(planned) = planned.filter(|planned| key.trial < planned.trials) else {
            return Err(ReadError::Foreign { path, line, key });
        };
        let (stages, completed, planned) = (record.stages, record.stages_completed, planned.stages);
        if stages != planned || completed > stages {
            return Err(ReadError::Stages { path, line, completed, stages, planned });
        }
        records.insert(key, record);
    }
    Ok((records, None))
}
