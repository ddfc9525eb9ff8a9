//! Several run directories as one run.

use std::path::{Path, PathBuf};

use udvla_sims::episode::EpisodeKey;

use super::damage::Damage;
use super::differences;
use super::manifest::{Manifest, RunStatus};
use super::read::{ReadError, Run};

/// Why run directories cannot be merged.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum MergeError {
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Their protocols, subjects or settings differ.
    #[error(
        "`{}` and `{}` are not parts of one run, they differ in {}",
        .one.display(), .other.display(), .fields.join("; ")
    )]
    Differs { one: PathBuf, other: PathBuf, fields: Vec<String> },
    #[error("{key} is in `{}` and in `{}`", .one.display(), .other.display())]
    Doubled { key: EpisodeKey, one: PathBuf, other: PathBuf },
}

impl MergeError {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Read(error) => error.hint(),
            Self::Differs { .. } => Some(
                "only parts of one run can be merged; `udvla-eval compare A B` compares two runs",
            ),
            Self::Doubled { .. } => Some("leave one of them out: an episode counts once"),
        }
    }
}

/// Reads run directories and merges those of the same benchmark, benchmarks in order of name.
///
/// The result does not depend on the order of `directories`; errors name them in the order of
/// their names.
///
/// # Errors
/// See [`MergeError`]: protocol, subject and setting must be equal within a benchmark, and no
/// episode may have two records.
pub fn read_all(directories: &[PathBuf], damage: Damage) -> Result<Vec<Run>, MergeError> {
    let benchmark = |manifest: &Manifest| manifest.protocol.benchmark.clone();
    let mut runs = merge_where(directories, damage, |a, b| benchmark(a) == benchmark(b))?;
    runs.sort_by_key(|run| benchmark(&run.manifest));
    Ok(runs)
}

/// Reads run directories and merges those with equal protocol, subject and setting; the others
/// stay separate, in the order of their directories' names.
///
/// # Errors
/// When a directory cannot be read, or two parts of one run have a record of the same episode.
pub fn read_kinds(directories: &[PathBuf], damage: Damage) -> Result<Vec<Run>, MergeError> {
    merge_where(directories, damage, |a, b| differences::all(a, b, "other").is_empty())
}

/// A merged run and the directories it is made of.
struct Merged {
    parts: Vec<(PathBuf, Run)>,
    run: Run,
}

fn merge_where(
    directories: &[PathBuf],
    damage: Damage,
    belongs: impl Fn(&Manifest, &Manifest) -> bool,
) -> Result<Vec<Run>, MergeError> {
    let mut sorted = directories.to_vec();
    sorted.sort();
    let mut merged: Vec<Merged> = Vec::new();
    for directory in sorted {
        let run = Run::read_with(&directory, damage)?;
        match merged.iter_mut().find(|group| belongs(&group.run.manifest, &run.manifest)) {
            None => merged.push(Merged { parts: vec![(directory, run.clone())], run }),
            Some(group) => {
                check(&group.parts, &directory, &run)?;
                append(&mut group.run, &run);
                group.parts.push((directory, run));
            }
        }
    }
    Ok(merged.into_iter().map(|group| group.run).collect())
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

/// Adds plan, records, counts and warnings of `part` to `whole`.
fn append(whole: &mut Run, part: &Run) {
    let manifest = &mut whole.manifest;
    let status = worse(manifest.status, part.manifest.status);
    let started = manifest.started.clone().min(part.manifest.started.clone());
    let id = manifest.id.clone();
    let (batches, remarks) = (manifest.batches, manifest.remarks.clone());
    manifest.continues(Manifest { started, ..part.manifest.clone() });
    manifest.id = id;
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
    for note in &part.notes {
        if !whole.notes.contains(note) {
            whole.notes.push(note.clone());
        }
    }
    whole.torn_line = [whole.torn_line, part.torn_line].into_iter().flatten().min();
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
    let rank = |status| order.iter().position(|other| *other == status).expect("all are listed");
    order[rank(a).max(rank(b))]
}
