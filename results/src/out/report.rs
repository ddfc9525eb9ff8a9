//! Writes all tables and plots of a run directory, and the page that contains them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::html::run_page;
use super::plots::{self, Plot, PlotError, png};
use super::render::{markdown, subtasks_csv, summary_csv, tasks_csv, terminal};
use crate::paper::Paper;
use crate::run::damage::Damage;
use crate::run::files::write_atomic;
use crate::run::read::{ReadError, Run};
use crate::tables::summary::Summary;

/// Name of the page in a run directory.
pub const PAGE_FILE: &str = "report.html";

/// What was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// Paths of the files.
    pub paths: Vec<PathBuf>,
    /// The tables for a terminal; ends with a newline.
    pub terminal: String,
    /// The numbers behind all of them.
    pub summary: Summary,
}

/// Why a run's tables and plots cannot be written.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum ReportError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Plot(#[from] PlotError),
    #[error("cannot write a table as csv")]
    Csv(#[from] ::csv::Error),
    #[error("cannot write `{}`", .path.display())]
    Write { path: PathBuf, source: io::Error },
}

impl ReportError {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Read(error) => error.hint(),
            Self::Plot(_) | Self::Csv(_) | Self::Write { .. } => None,
        }
    }
}

/// Writes `tables/`, `plots/` and `report.html` of the run directory at `dir`.
///
/// Every file is replaced as a whole. Their bytes depend only on the directory's `run.json` and
/// `episodes.jsonl`, and not on the order of the records of different episodes.
///
/// # Errors
/// If the directory cannot be read, or a file cannot be written; see [`ReportError`].
pub fn write_all(dir: impl AsRef<Path>) -> Result<Written, ReportError> {
    write_all_with(dir, Damage::Refuse)
}

/// As [`write_all`], where the user may have accepted damage.
///
/// # Errors
/// As [`write_all`].
pub fn write_all_with(dir: impl AsRef<Path>, damage: Damage) -> Result<Written, ReportError> {
    let dir = dir.as_ref();
    let run = Run::read_with(dir, damage)?;
    let paper = Paper::bundled();
    let summary = Summary::new(&run, &paper);
    let table = |name: &str, text: String| write(&dir.join("tables"), name, text.as_bytes());
    let mut paths = vec![
        table("summary.md", markdown(&summary))?,
        table("summary.csv", summary_csv(&summary)?)?,
        table("tasks.csv", tasks_csv(&summary)?)?,
    ];
    if let Some(text) = subtasks_csv(&summary)? {
        paths.push(table("subtasks.csv", text)?);
    }
    let plots = plots::of_run(&run, &paper)?;
    paths.extend(write_plots(&dir.join("plots"), &plots)?);
    paths.push(write(dir, PAGE_FILE, run_page(&run, &summary, &plots, &paper).as_bytes())?);
    Ok(Written { paths, terminal: terminal(&summary), summary })
}

/// Writes plots into `folder`, each as SVG and as PNG.
///
/// # Errors
/// If a file cannot be written.
pub fn write_plots(folder: &Path, plots: &[Plot]) -> Result<Vec<PathBuf>, ReportError> {
    let mut paths = Vec::new();
    for Plot { name, svg, .. } in plots {
        paths.push(write(folder, &format!("{name}.svg"), svg.as_bytes())?);
        paths.push(write(folder, &format!("{name}.png"), &png(svg)?)?);
    }
    Ok(paths)
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf, ReportError> {
    let path = folder.join(name);
    match fs::create_dir_all(folder).and_then(|()| write_atomic(&path, bytes)) {
        Ok(()) => Ok(path),
        Err(source) => Err(ReportError::Write { path, source }),
    }
}
