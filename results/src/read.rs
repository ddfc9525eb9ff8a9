//! Reads a run directory: the manifest and the last record of every episode.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;
use udvla_sims::episode::EpisodeKey;

use crate::manifest::{Manifest, PlannedTask, SCHEMA};
use crate::record::EpisodeRecord;

/// The manifest's name in a run directory.
pub const MANIFEST_FILE: &str = "run.json";
/// The records' name in a run directory.
pub const RECORDS_FILE: &str = "episodes.jsonl";

/// Reads run directories.
#[derive(Debug)]
pub struct RunDirectory;

/// What a run directory says.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// `run.json`.
    pub manifest: Manifest,
    /// The last record of every episode in `episodes.jsonl`.
    pub records: BTreeMap<EpisodeKey, EpisodeRecord>,
    /// The line of `episodes.jsonl` that a crash cut short, counted from 1; it is left out.
    pub torn_line: Option<usize>,
}

/// Why a run directory cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A file that every run directory has is not there.
    #[error("`{}` is not a run directory: it has no `{file}`", .dir.display())]
    Missing {
        /// The directory.
        dir: PathBuf,
        /// The file it lacks.
        file: &'static str,
    },
    /// A file could not be read.
    #[error("cannot read `{}`", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The manifest is not JSON, or lacks something.
    #[error("`{}` is not a manifest", .path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong with it, and where.
        source: serde_json::Error,
    },
    /// The manifest has no schema, or one that this build does not know.
    #[error("`{}` has schema {found}, this build reads schema {SCHEMA}", .path.display())]
    Schema {
        /// The manifest.
        path: PathBuf,
        /// Its schema, as written.
        found: String,
    },
    /// The protocol was edited after the run was started.
    #[error("the protocol in `{}` is not the one of its fingerprint {written}", .path.display())]
    Fingerprint {
        /// The manifest.
        path: PathBuf,
        /// The fingerprint that it gives.
        written: String,
    },
    /// The plan names a task twice, or one that the protocol does not have.
    #[error("the plan in `{}` has a task that is {}: {suite}, task {task}", .path.display(), .fault.words())]
    Plan {
        /// The manifest.
        path: PathBuf,
        /// What is wrong with the task.
        fault: PlanFault,
        /// The task's suite.
        suite: String,
        /// The task's index.
        task: u16,
    },
    /// A line of the records is not a record.
    #[error("line {line} of `{}` is not a record", .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A record belongs to an episode that the plan does not have.
    #[error("line {line} of `{}` is foreign to the plan: {key}", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The episode it names.
        key: EpisodeKey,
    },
    /// A record has other stages than its task, or more completed than it has.
    #[error(
        "line {line} of `{}` has {completed} of {stages} stages, its task has {planned}",
        .path.display()
    )]
    Stages {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// Stages completed by the record.
        completed: u16,
        /// Stages of the record.
        stages: u16,
        /// Stages of the task in the plan.
        planned: u16,
    },
}

/// What is wrong with a task of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanFault {
    /// Two entries name it.
    Repeated,
    /// The protocol does not have it.
    Unknown,
    /// Its episodes have other stages than the protocol's.
    Stages,
}

impl PlanFault {
    fn words(self) -> &'static str {
        match self {
            Self::Repeated => "named twice",
            Self::Unknown => "not the protocol's",
            Self::Stages => "planned with other stages than the protocol's",
        }
    }
}

impl ReadError {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Missing { .. } => Some("name the folder that `--out` gave, it holds `run.json`"),
            Self::Schema { .. } => Some("read it with the version that wrote it, or a newer one"),
            Self::Fingerprint { .. } | Self::Plan { .. } => {
                Some("restore `run.json`; only a run itself may change it")
            }
            Self::Line { .. } => Some("take the line out and resume: its episode is run again"),
            Self::Foreign { .. } | Self::Stages { .. } => {
                Some("keep every run in its own directory; lines of two runs cannot be mixed")
            }
            Self::Unreadable { .. } | Self::Manifest { .. } => None,
        }
    }
}

impl RunDirectory {
    /// Reads `run.json` and `episodes.jsonl` of the run directory at `path`.
    ///
    /// A last line without its newline is what a crash leaves behind: it is left out and reported
    /// in [`Run::torn_line`], as a resumed run would cut it off. The order of the lines matters only for
    /// episodes that have several: the last one counts.
    ///
    /// # Errors
    /// See [`ReadError`]; nothing is skipped in silence.
    pub fn read(path: impl AsRef<Path>) -> Result<Run, ReadError> {
        let dir = path.as_ref();
        let manifest = read_file(dir, MANIFEST_FILE)?;
        Self::from_bytes(dir, &manifest, &read_file(dir, RECORDS_FILE)?)
    }

    /// What the two files of a run directory say; `dir` is named in errors and not looked at.
    ///
    /// # Errors
    /// As [`RunDirectory::read`], but for missing files.
    pub fn from_bytes(dir: &Path, manifest: &[u8], records: &[u8]) -> Result<Run, ReadError> {
        let manifest = read_manifest(dir.join(MANIFEST_FILE), manifest)?;
        let (records, torn_line) = read_records(dir.join(RECORDS_FILE), records, &manifest)?;
        Ok(Run { manifest, records, torn_line })
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
    // The schema is looked at first: another schema's manifest need not parse as ours.
    let value: Value = match serde_json::from_slice(bytes) {
        Ok(value) => value,
        Err(source) => return Err(ReadError::Manifest { path, source }),
    };
    match value.get("schema") {
        Some(schema) if schema.as_u64() == Some(u64::from(SCHEMA)) => {}
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
        let (suite, task) = (planned.suite.clone(), planned.task);
        let tasks = manifest.protocol.suite(&suite).map_or(0, |suite| suite.tasks.len());
        let earlier = &manifest.plan[..index];
        if earlier.iter().any(|other| other.suite == suite && other.task == task) {
            return Err(ReadError::Plan { path, fault: PlanFault::Repeated, suite, task });
        }
        if usize::from(task) >= tasks {
            return Err(ReadError::Plan { path, fault: PlanFault::Unknown, suite, task });
        }
        if manifest.protocol.suite(&suite).is_some_and(|suite| suite.stages != planned.stages) {
            return Err(ReadError::Plan { path, fault: PlanFault::Stages, suite, task });
        }
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
        let Some(planned) = plan.get(&(key.suite.as_str(), key.task)) else {
            return Err(ReadError::Foreign { path, line, key });
        };
        if key.trial >= planned.trials {
            return Err(ReadError::Foreign { path, line, key });
        }
        let (stages, completed) = (record.stages, record.stages_completed);
        if stages != planned.stages || completed > stages {
            return Err(ReadError::Stages {
                path,
                line,
                completed,
                stages,
                planned: planned.stages,
            });
        }
        records.insert(key, record);
    }
    Ok((records, None))
}
