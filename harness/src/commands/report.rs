//! `report`: tables and plots from a run directory.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use udvla_results::out::report;

use crate::cli::ReportArguments;
use crate::exit::{Exit, Refused};

/// Writes them again, and the page as one file where that is asked for.
///
/// # Errors
/// [`Refused`] when the directory cannot be read as a run.
pub fn report(arguments: &ReportArguments) -> Result<Exit> {
    let exit = run(&arguments.directory)?;
    if let Some(file) = &arguments.self_contained {
        let page = report::self_contained_page(&arguments.directory)?;
        super::files::write_file(file, &page)?;
    }
    Ok(exit)
}

/// Writes them and prints the table.
///
/// # Errors
/// [`Refused`] when the directory cannot be read as a run.
pub fn run(directory: &Path) -> Result<Exit> {
    let written = report::write_all(directory).map_err(|error| {
        let text = format!("cannot report on `{}`", directory.display());
        Refused::new(text).maybe_hint(error.hint()).because(error)
    })?;
    let mut text = format!("{}\n", written.terminal);
    for path in written.paths.iter().chain(&videos(directory)) {
        text += &format!("wrote {}\n", path.display());
    }
    // The files are written: a reader of stdout that is gone changes nothing.
    let _ = std::io::stdout().write_all(text.as_bytes());
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
