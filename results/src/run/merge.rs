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
    #[error("{key} is in `{}` and in `{}`", .one.display(), .other.display())]
    Doubled { key: EpisodeKey, one: PathBuf, other: PathBuf },
}

impl MergeError {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Read(error) => error.hint(),
            Self::Doubled { .. } => Some("leave one of them out: an episode counts once"),
        }
    }
}

/// A run made of the runs in several directories.
#[derive(Debug)]
pub struct Pooled {
    /// The whole.
    pub run: Run,
    /// Its parts and their directories, in the order of their names.
    pub parts: Vec<(PathBuf, Run)>,
}

/// Reads run directories and pools those with equal protocol, subject and setting; the others
/// stay separate, in the order of their first directory.
///
/// The order of parts of one run does not change a byte; errors name them in the order of their
/// names.
///
/// # Errors
/// When a directory cannot be read, or two parts of one run have a record of the same episode.
pub fn read_kinds(directories: &[PathBuf], damage: Damage) -> Result<Vec<Pooled>, MergeError> {
    let mut sorted = directories.to_vec();
    sorted.sort();
    let mut pooled: Vec<Pooled> = Vec::new();
    for directory in sorted {
        let run = Run::read_with(&directory, damage)?;
        let same = |group: &&mut Pooled| {
            differences::all(&group.run.manifest, &run.manifest, "other").is_empty()
        };
        match pooled.iter_mut().find(same) {
            None => pooled.push(Pooled { parts: vec![(directory, run.clone())], run }),
            Some(group) => {
                check(&group.parts, &directory, &run)?;
                append(&mut group.run, &run);
                group.parts.push((directory, run));
            }
        }
    }
    let named = |group: &Pooled| {
        let typed = |directory: &PathBuf| directories.iter().position(|other| other == directory);
        group.parts.iter().filter_map(|(directory, _)| typed(directory)).min()
    };
    pooled.sort_by_key(named);
    Ok(pooled)
}

/// As [`read_kinds`], without the directories.
///
/// # Errors
/// As [`read_kinds`].
pub fn read_runs(directories: &[PathBuf], damage: Damage) -> Result<Vec<Run>, MergeError> {
    Ok(read_kinds(directories, damage)?.into_iter().map(|pooled| pooled.run).collect())
}

fn check(parts: &[(PathBuf, Run)], other: &Path, run: &Run) -> Result<(), MergeError> {
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
    let notes = [&whole.manifest, &part.manifest].map(Manifest::note_of_parts);
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
    whole.notes.retain(|note| !notes.iter().flatten().any(|of_parts| of_parts == note));
    whole.notes.extend(whole.manifest.note_of_parts());
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
