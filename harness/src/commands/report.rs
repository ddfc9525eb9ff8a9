//! `report`: tables and plots from a run directory.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use udvla_results::out::report;
use udvla_results::tables::format::plural;

use crate::exit::{Exit, Refused};
use crate::report::{Show, color};

/// Writes them, names the files in one line, and prints the tables.
///
/// # Errors
/// [`Refused`] when the directory cannot be read as a run.
pub fn run(directory: &Path, show: Show) -> Result<Exit> {
    let written = report::write_all(directory).map_err(|error| {
        let text = format!("cannot report on `{}`", directory.display());
        Refused::new(text).maybe_hint(error.hint()).because(error)
    })?;
    let paths: Vec<PathBuf> = written.paths.into_iter().chain(videos(directory)).collect();
    let mut text = String::new();
    if show != Show::Nothing {
        text += &format!("{}\n\n", files_line(directory, &paths));
    }
    text += &color::tables(&written.terminal);
    // The files are written: a reader of stdout that is gone changes nothing.
    let _ = std::io::stdout().write_all(text.as_bytes());
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
