//! Several run directories as one run.

use std::path::{Path, PathBuf};

use udvla_sims::episode::EpisodeKey;

use crate::differences;
use crate::manifest::{Manifest, RunStatus};
use crate::read::{ReadError, Run, RunDirectory};

/// Why run directories cannot be counted together.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// One of them cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// They are not the same run: different protocols, subjects or settings.
    #[error(
        "`{}` and `{}` cannot be counted together, they differ in {}",
        .one.display(), .other.display(), .fields.join("; ")
    )]
    Differs {
        /// A run directory.
        one: PathBuf,
        /// Another one.
        other: PathBuf,
        /// Every field that differs, with both values.
        fields: Vec<String>,
    },
    /// Two of them have a record of the same episode.
    #[error("{key} is in `{}` and in `{}`", .one.display(), .other.display())]
    Doubled {
        /// The episode.
        key: EpisodeKey,
        /// A run directory.
        one: PathBuf,
        /// Another one.
        other: PathBuf,
    },
}

impl MergeError {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Read(error) => error.hint(),
            Self::Differs { .. } => Some(
                "only parts of one run add up; `udvla-eval compare A B` sets two runs side by side",
            ),
            Self::Doubled { .. } => Some("leave one of them out: an episode counts once"),
        }
    }
}

/// Reads run directories and joins those of the same benchmark, benchmarks in order of name.
///
/// The result does not depend on the order of `directories`; the refusal names them in the order
/// of their names.
///
/// # Errors
/// See [`MergeError`]: protocol, subject and setting must be equal within a benchmark, and no
/// episode may have two records.
pub fn read_all(directories: &[PathBuf]) -> Result<Vec<Run>, MergeError> {
    let mut sorted = directories.to_vec();
    sorted.sort();
    let mut merged: Vec<(Vec<(PathBuf, Run)>, Run)> = Vec::new();
    for directory in sorted {
        let run = RunDirectory::read(&directory)?;
        let benchmark = &run.manifest.protocol.benchmark;
        let same =
            merged.iter_mut().find(|(_, whole)| whole.manifest.protocol.benchmark == *benchmark);
        match same {
            None => merged.push((vec![(directory, run.clone())], run)),
            Some((parts, whole)) => {
                check(parts, &directory, &run)?;
                join(whole, &run);
                parts.push((directory, run));
            }
        }
    }
    let mut runs: Vec<Run> = merged.into_iter().map(|(_, whole)| whole).collect();
    runs.sort_by(|a, b| a.manifest.protocol.benchmark.cmp(&b.manifest.protocol.benchmark));
    Ok(runs)
}

/// Reads run directories and joins those that are parts of one run: equal protocol, subject and
/// setting. The others stay apart, in the order of their directories' names.
///
/// # Errors
/// When a directory cannot be read, or two parts of one run have a record of the same episode.
pub fn read_kinds(directories: &[PathBuf]) -> Result<Vec<Run>, MergeError> {
    let mut sorted = directories.to_vec();
    sorted.sort();
    let mut kinds: Vec<(Vec<(PathBuf, Run)>, Run)> = Vec::new();
    for directory in sorted {
        let run = RunDirectory::read(&directory)?;
        let same = kinds.iter_mut().find(|(_, whole)| {
            differences::all(&whole.manifest, &run.manifest, "other").is_empty()
        });
        match same {
            None => kinds.push((vec![(directory, run.clone())], run)),
            Some((parts, whole)) => {
                check(parts, &directory, &run)?;
                join(whole, &run);
                parts.push((directory, run));
            }
        }
    }
    Ok(kinds.into_iter().map(|(_, whole)| whole).collect())
}

fn check(parts: &[(PathBuf, Run)], other: &Path, run: &Run) -> Result<(), MergeError> {
    let (first, before) = &parts[0];
    let fields = differences::all(&before.manifest, &run.manifest, "other");
    if !fields.is_empty() {
        return Err(MergeError::Differs { one: first.clone(), other: other.into(), fields });
    }
    for (one, before) in parts {
        if let Some(key) = run.records.keys().find(|key| before.records.contains_key(*key)) {
            let (one, other) = (one.clone(), other.to_path_buf());
            return Err(MergeError::Doubled { key: key.clone(), one, other });
        }
    }
    Ok(())
}

/// Adds a run's plan, records and troubles to `whole`.
fn join(whole: &mut Run, part: &Run) {
    let manifest = &mut whole.manifest;
    let status = worse(manifest.status, part.manifest.status);
    let started = manifest.started.clone().min(part.manifest.started.clone());
    let before = Manifest { started, ..part.manifest.clone() };
    let (batches, remarks) = (manifest.batches, manifest.remarks.clone());
    manifest.continues(before);
    manifest.batches.batches += batches.batches;
    manifest.batches.rows += batches.rows;
    manifest.batches.seconds += batches.seconds;
    for (kind, count) in remarks {
        *manifest.remarks.entry(kind).or_default() += count;
    }
    manifest.status = status;
    if manifest.stopped_early.is_none() {
        manifest.stopped_early.clone_from(&part.manifest.stopped_early);
    }
    whole.records.extend(part.records.clone());
    whole.torn_line = whole.torn_line.min(part.torn_line).or(whole.torn_line).or(part.torn_line);
}

fn worse(a: RunStatus, b: RunStatus) -> RunStatus {
    let order = [
        RunStatus::Complete,
        RunStatus::CompleteWithErrors,
        RunStatus::StoppedEarly,
        RunStatus::Interrupted,
        RunStatus::GaveUp,
        RunStatus::Running,
    ];
    let rank = |status| order.iter().position(|one| *one == status).expect("all are listed");
    order[rank(a).max(rank(b))]
}
