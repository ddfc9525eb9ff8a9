//! `resume`: the command of a run directory once more, into the same directory.

use anyhow::{Context, Result};
use clap::Parser;
use udvla_results::manifest::Manifest;

use crate::calvin;
use crate::cli::{Cli, Command, ResumeArguments};
use crate::exit::{Exit, Refused};
use crate::plan;
use crate::progress::Show;
use crate::simpler;

/// Continues a run.
///
/// # Errors
/// [`Refused`] when the directory is no run, or would become another run.
pub fn run(arguments: &ResumeArguments, show: Show) -> Result<Exit> {
    let path = arguments.directory.join("run.json");
    let text = std::fs::read_to_string(&path).map_err(|error| {
        Refused::new(format!("`{}` is no run directory", arguments.directory.display()))
            .because(error)
            .hint("a run directory holds `run.json`; by default they are in `runs/`")
    })?;
    let manifest: Manifest = serde_json::from_str(&text)
        .map_err(|error| Refused::new(format!("`{}` is damaged", path.display())).because(error))?;
    let directory = arguments.directory.canonicalize()?;
    // Relative paths of the command meant the folder where it was typed.
    if std::env::set_current_dir(&manifest.directory).is_err() {
        eprintln!("note: `{}` is gone; relative paths start here", manifest.directory);
    }
    let words = std::iter::once("udvla-eval".to_owned()).chain(manifest.command.clone());
    let cli = Cli::try_parse_from(words)
        .context("this version does not understand the command that started the run")?;
    match cli.command {
        Command::Libero(mut command) => {
            command.run.out = Some(directory);
            command.run.workers = arguments.workers.or(command.run.workers);
            super::run::run(plan::libero(*command)?, show, manifest.command)
        }
        Command::Calvin(mut command) => {
            command.run.out = Some(directory);
            command.run.workers = arguments.workers.or(command.run.workers);
            super::run::run(calvin::plan(*command)?, show, manifest.command)
        }
        Command::Simpler(mut command) => {
            command.run.out = Some(directory);
            command.run.workers = arguments.workers.or(command.run.workers);
            super::run::run(simpler::plan(*command)?, show, manifest.command)
        }
        _ => Err(Refused::new(format!("`{}` names no run", path.display())).into()),
    }
}
