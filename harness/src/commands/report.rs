//! `report`: tables and plots from a run directory.

use std::path::{Path, PathBuf};

use anyhow::Result;
use udvla_results::out::printable::printable_line;
use udvla_results::out::report::{self, ReportError};
use udvla_results::run::damage::Damage;

use crate::exit::{Exit, Refused};
use crate::run::refuse_links;

/// Writes them and prints the table.
///
/// # Errors
/// [`Refused`] when the directory cannot be read as a run, or has links that lead out of it;
/// anything else when a file cannot be written.
pub fn run(directory: &Path, damage: Damage) -> Result<Exit> {
    refuse_links(directory)?;
    let written = report::write_all_with(directory, damage).map_err(|error| {
        let text = format!("cannot report on `{}`", directory.display());
        match error {
            // A full disk is no matter of usage.
            ReportError::Write { .. } => anyhow::Error::new(error).context(text),
            error => Refused::new(text).maybe_hint(error.hint()).because(error).into(),
        }
    })?;
    let mut text = format!("{}\n", written.terminal);
    for path in written.paths.iter().chain(&videos(directory)) {
        text += &format!("wrote {}\n", printable_line(&path.display().to_string()));
    }
    print!("{text}");
    Ok(Exit::Complete)
}

/// The run's videos, in order of their names.
fn videos(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory.join("videos")).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "mp4"))
        .collect();
    paths.sort();
    paths
}
