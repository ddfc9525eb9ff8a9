//! `merge`: the parts of a run as one run directory.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use udvla_results::run::damage::Damage;
use udvla_results::run::differences;
use udvla_results::run::manifest::RunStatus;
use udvla_results::run::merge::{Pooled, read_kinds};
use udvla_results::run::merged::{self, WriteError};
use udvla_results::run::seal::new_run_id;
use udvla_results::tables::format::plural;

use super::report;
use crate::cli::MergeArguments;
use crate::exit::{Exit, Refused};
use crate::report::Show;
use crate::run::{is_in_use, refuse_links};

/// Checks the parts, writes the whole run and its report.
///
/// # Errors
/// [`Refused`] when a part is still being played, is damaged or of another run, or when an episode
/// is in two of them or, unless that is allowed, in none.
pub fn run(arguments: &MergeArguments, show: Show) -> Result<Exit> {
    let MergeArguments { out, runs, allow_missing } = arguments;
    check_out(out)?;
    for directory in runs {
        refuse_links(directory)?;
        if is_in_use(directory)? {
            let text = format!("`{}` is still being played", directory.display());
            let hint = "wait for it to end; `udvla-eval status` shows how far it is";
            return Err(Refused::new(text).hint(hint).into());
        }
    }
    let pooled = pooled(runs)?;
    let missing = merged::missing(&pooled.run);
    if !missing.is_empty() && !allow_missing {
        return Err(incomplete(&pooled, &missing, runs).into());
    }
    let made = !out.exists();
    fs::create_dir_all(out).with_context(|| format!("cannot make `{}`", out.display()))?;
    let id = new_run_id().context("cannot make an id for the run")?;
    let manifest = merged::write(out, id, &pooled).map_err(|error| {
        // Without its manifest it is no run, and of no use.
        let _ = if made { fs::remove_dir_all(out) } else { empty(out) };
        failure(error, out)
    })?;
    report::run(out, Damage::Refuse, show)?;
    if !missing.is_empty() {
        eprintln!(
            "note: {} of {} have no record: {}",
            plural(missing.len() as u32, "episode"),
            manifest.episodes.asked,
            merged::named(&missing)
        );
    }
    Ok(match manifest.status {
        RunStatus::Complete => Exit::Complete,
        RunStatus::CompleteWithErrors => Exit::WithErrors,
        _ => Exit::Interrupted,
    })
}

/// Refuses to write where something is.
fn check_out(out: &Path) -> Result<()> {
    let is_free = match fs::read_dir(out) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    };
    if is_free {
        return Ok(());
    }
    Err(Refused::new(format!("`{}` exists already", out.display()))
        .hint("the first folder is the one to write: name one that does not exist")
        .into())
}

fn empty(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => fs::remove_dir_all(entry.path())?,
            false => fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}

/// The parts as one run.
fn pooled(runs: &[PathBuf]) -> Result<Pooled, Refused> {
    let mut kinds = read_kinds(runs, Damage::Refuse).map_err(|error| {
        let hint = error.hint();
        Refused::new("these run directories make no whole run").maybe_hint(hint).because(error)
    })?;
    let first = kinds.remove(0);
    let Some(other) = kinds.first() else { return Ok(first) };
    let (directory, part) = &other.parts[0];
    let fields = differences::all(&first.run.manifest, &part.manifest, "there");
    let text = format!(
        "`{}` is no part of the run in `{}`: it has another {}",
        directory.display(),
        first.parts[0].0.display(),
        fields.join("; ")
    );
    Err(Refused::new(text).hint("leave it out, or run that part again with the same settings"))
}

/// The refusal for episodes that are in no part.
fn incomplete(
    pooled: &Pooled,
    missing: &[udvla_sims::episode::EpisodeKey],
    runs: &[PathBuf],
) -> Refused {
    let all = pooled.run.records.len() + missing.len();
    let text = format!(
        "{} of {all} have no record: {}",
        plural(missing.len() as u32, "episode"),
        merged::named(missing)
    );
    let unfinished = pooled.parts.iter().filter(|(_, part)| {
        let episodes = part.manifest.episodes();
        episodes.iter().any(|key| !part.records.contains_key(key))
    });
    let unfinished: Vec<String> =
        unfinished.map(|(directory, _)| format!("`{}`", directory.display())).collect();
    let hint = match unfinished.as_slice() {
        [] => {
            let names = udvla_results::run::part::names(&pooled.run.manifest.parts);
            let names = if names.is_empty() { plural(runs.len() as u32, "run") } else { names };
            format!("you named {names}: add the other parts")
        }
        names => format!("`udvla-eval resume` completes {}", names.join(", ")),
    };
    Refused::new(text).hint(format!("{hint}; or pass `--allow-missing` to mark the gap"))
}

fn failure(error: WriteError, out: &Path) -> anyhow::Error {
    let text = format!("cannot merge into `{}`", out.display());
    match error {
        WriteError::Unsealed { .. } => Refused::new(text)
            .because(error)
            .hint("`udvla-eval tables` reads such parts together without merging them")
            .into(),
        // A file that is missing or was changed.
        WriteError::Copy { .. } => Refused::new(text)
            .because(error)
            .hint("restore the file from a copy, or leave that run out and play its part again")
            .into(),
        WriteError::Write { .. } => anyhow::Error::new(error).context(text),
    }
}
