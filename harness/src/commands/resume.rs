//! `resume`: the command of a run directory once more, into the same directory.

use anyhow::Result;

use crate::cli::ResumeArguments;
use crate::exit::Exit;
use crate::progress::Show;

/// Continues a run.
///
/// # Errors
/// [`crate::exit::Refused`] when the directory is no run, or would become another run.
pub fn run(arguments: &ResumeArguments, show: Show) -> Result<Exit> {
    let manifest = super::read(&arguments.directory)?.manifest;
    let directory = arguments.directory.canonicalize()?;
    let plan = super::plan_of(&manifest, |run| {
        run.out = Some(directory);
        run.workers = arguments.workers.or(run.workers);
    })?;
    super::run::run(plan, show, manifest.command)
}
