//! Reads a run directory: the manifest and the last record of every episode.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;
use udvla_sims::episode::EpisodeKey;

use super::actions;
use super::at_start;
use super::damage::{Damage, Fault, accepted, listed};
use super::files::read_inside;
pub use super::files::{MANIFEST_FILE, RECORDS_FILE};
use super::lines::{Lines, read_lines};
use super::manifest::{Manifest, PlannedTask, SCHEMA, SCHEMA_OF_CHECKSUMS};
use super::record::EpisodeRecord;
use super::seal;

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
    /// What must be said of the run wherever its numbers are shown: damage that was accepted,
    /// files of actions that are missing, records without checksums.
    pub notes: Vec<String>,
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
    /// The files are not as the run wrote them.
    #[error("the run in `{}` is damaged: {}", .dir.display(), listed(.faults))]
    Damaged { dir: PathBuf, faults: Vec<Fault> },
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
            Self::Damaged { .. } => Some(
                "restore the files from a copy; or add `--accept-damaged` to `resume` or to a \
                 command that reads runs, except `view`, which does not show such a run: it \
                 leaves out what the run did not write, and says so",
            ),
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
        Self::read_with(path, Damage::Refuse)
    }

    /// As [`Run::read`], where the user may have accepted damage.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn read_with(path: impl AsRef<Path>, damage: Damage) -> Result<Self, ReadError> {
        let dir = path.as_ref();
        let mut manifest = read_file(dir, MANIFEST_FILE)?;
        let mut run = loop {
            let records = read_file(dir, RECORDS_FILE)?;
            // Both must be of one moment: another process may be ending the run.
            let again = read_file(dir, MANIFEST_FILE)?;
            if again == manifest {
                break Self::from_bytes_with(dir, &manifest, &records, damage)?;
            }
            manifest = again;
        };
        run.notes.extend(actions::note(dir, run.records.values()));
        Ok(run)
    }

    /// The run in the two files of a run directory; `dir` is only named in errors.
    ///
    /// # Errors
    /// As [`Run::read`], except for missing files.
    pub fn from_bytes(dir: &Path, manifest: &[u8], records: &[u8]) -> Result<Self, ReadError> {
        Self::from_bytes_with(dir, manifest, records, Damage::Refuse)
    }

    /// As [`Run::from_bytes`], where the user may have accepted damage.
    ///
    /// # Errors
    /// As [`Run::read`], except for missing files.
    pub fn from_bytes_with(
        dir: &Path,
        manifest: &[u8],
        records: &[u8],
        damage: Damage,
    ) -> Result<Self, ReadError> {
        let (manifest, fault) = read_manifest(dir.join(MANIFEST_FILE), manifest)?;
        let Lines { records, torn_line, faults } = read_lines(records, &manifest);
        let faults: Vec<Fault> = fault.into_iter().chain(faults).collect();
        let mut notes = Vec::new();
        if !faults.is_empty() {
            if damage == Damage::Refuse {
                return Err(ReadError::Damaged { dir: dir.to_path_buf(), faults });
            }
            notes.push(accepted(&faults));
        }
        if manifest.id.is_none() {
            notes.push(format!(
                "the run carries no checksums (schema {}): changed records cannot be noticed",
                manifest.schema
            ));
        }
        notes.extend(manifest.note_of_parts());
        notes.extend(at_start::note(records.values()));
        Ok(Self { manifest, records, torn_line, notes })
    }

    /// The records of a planned task, by trial.
    pub fn records_of(&self, planned: &PlannedTask) -> impl Iterator<Item = &EpisodeRecord> {
        let key = |trial| EpisodeKey { suite: planned.suite.clone(), task: planned.task, trial };
        self.records.range(key(0)..=key(u16::MAX)).map(|(_, record)| record)
    }
}

fn read_file(dir: &Path, file: &'static str) -> Result<Vec<u8>, ReadError> {
    match read_inside(dir, Path::new(file)) {
        Ok(bytes) => Ok(bytes),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Err(ReadError::Missing { dir: dir.to_path_buf(), file })
        }
        Err(source) => Err(ReadError::Unreadable { path: dir.join(file), source }),
    }
}

/// The manifest, and what is wrong with its checksum.
fn read_manifest(path: PathBuf, bytes: &[u8]) -> Result<(Manifest, Option<Fault>), ReadError> {
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
    let is_whole = seal::is_whole(&value);
    let manifest: Manifest = match serde_json::from_value(value) {
        Ok(manifest) => manifest,
        Err(source) => return Err(ReadError::Manifest { path, source }),
    };
    if manifest.protocol.fingerprint() != manifest.protocol_fingerprint {
        return Err(ReadError::Fingerprint { path, written: manifest.protocol_fingerprint });
    }
    check_plan(path, &manifest)?;
    let sealed = manifest.schema >= SCHEMA_OF_CHECKSUMS;
    let fault = match is_whole {
        Some(false) => Some(Fault::Manifest),
        None if sealed || manifest.id.is_some() => Some(Fault::ManifestWithout),
        Some(true) if manifest.id.is_none() => Some(Fault::ManifestWithout),
        Some(true) | None => None,
    };
    Ok((manifest, fault))
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
