//! `report`: tables and plots from a run directory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use udvla_results::out::printable::printable_line;
use udvla_results::out::report::{self, ReportError};
use udvla_results::run::damage::Damage;
use udvla_results::tables::format::plural;

use crate::cli::ReportArguments;
use crate::exit::{Exit, Refused};
use crate::report::{Show, color};
use crate::run::refuse_links;

/// Writes them again, and the page as one file where that is asked for.
///
/// # Errors
/// As [`run`].
pub fn report(arguments: &ReportArguments, show: Show) -> Result<Exit> {
    let (directory, damage) = (&arguments.directory, arguments.reading.damage());
    let exit = run(directory, damage, show)?;
    if let Some(file) = &arguments.self_contained {
        let page = report::self_contained_page(directory, damage)?;
        super::files::write_file(file, &page)?;
    }
    Ok(exit)
}

/// Writes them, names the files in one line, and prints the tables.
///
/// # Errors
/// [`Refused`] when the directory cannot be read as a run, or has links that lead out of it;
/// anything else when a file cannot be written.
pub fn run(directory: &Path, damage: Damage, show: Show) -> Result<Exit> {
    refuse_links(directory)?;
    let written = report::write_all_with(directory, damage).map_err(|error| {
        let text = format!("cannot report on `{}`", directory.display());
        match error {
            // A full disk is no matter of usage.
            ReportError::Write { .. } => anyhow::Error::new(error).context(text),
            error => Refused::new(text).maybe_hint(error.hint()).because(error).into(),
        }
    })?;
    let paths: Vec<PathBuf> = written.paths.into_iter().chain(videos(directory)).collect();
    if show != Show::Nothing {
        print!("{}\n\n", printable_line(&files_line(directory, &paths)));
    }
    print!("{}", color::tables(&written.terminal));
    Ok(Exit::Complete)
}

/// `wrote RUN/report.html; plots (10 files) and tables (3 files) beside it`: files of the directory
/// by name, others by their folder.
fn files_line(directory: &Path, paths: &[PathBuf]) -> String {
    let mut files = Vec::new();
    let mut folders: BTreeMap<String, u32> = BTreeMap::new();
    for path in paths {
        let relative = path.strip_prefix(directory).unwrap_or(path);
        match relative.parent().and_then(|parent| parent.iter().next()) {
            Some(folder) => *folders.entry(folder.to_string_lossy().into()).or_default() += 1,
            None => files.push(path.display().to_string()),
        }
    }
    let folders = folders.iter().map(|(folder, n)| format!("{folder} ({})", plural(*n, "file")));
    format!("wrote {}; beside it {}", files.join(", "), folders.collect::<Vec<_>>().join(", "))
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
