//! One subcommand per file.

mod audit;
#[cfg(feature = "torch")]
pub mod bench;
mod compare;
mod doctor;
mod export;
pub(crate) mod gate;
mod golden;
#[cfg(feature = "torch")]
pub mod imagine;
#[cfg(feature = "torch")]
pub mod inspect;
mod lavapipe;
mod list;
mod plots;
mod replay;
mod report;
mod resume;
mod run;
mod setup;
mod sizes;
mod tables;

use std::path::Path;

use anyhow::{Context, Result};
use clap::Parser;
use udvla_results::manifest::Manifest;

use crate::calvin;
use crate::cli::{Cli, Command, Preset, RunArguments};
use crate::exit::{Exit, Refused};
use crate::plan::{self, Plan};
use crate::progress::Show;
use crate::simpler;
use crate::store::read;

/// Does what was typed.
///
/// # Errors
/// [`crate::exit::Refused`] for what cannot work as asked, anything else for faults.
pub fn run(cli: Cli) -> Result<Exit> {
    let show = Show::choose(cli.quiet, cli.no_progress);
    match cli.command {
        Command::Libero(arguments) => run::run(plan::libero(*arguments)?, show, command_line()),
        Command::Calvin(arguments) => run::run(calvin::plan(*arguments)?, show, command_line()),
        Command::Simpler(arguments) => run::run(simpler::plan(*arguments)?, show, command_line()),
        Command::Resume(arguments) => resume::run(&arguments, show),
        Command::Report { directory } => report::run(&directory),
        Command::Tables(arguments) => tables::run(&arguments),
        Command::Plots(arguments) => plots::run(&arguments),
        Command::Audit(arguments) => audit::run(&arguments),
        Command::Compare(arguments) => compare::run(&arguments),
        Command::Export(arguments) => export::run(&arguments),
        Command::Gate(arguments) => gate::run(&arguments),
        Command::Replay(arguments) => replay::run(&arguments),
        Command::Plan(arguments) => sizes::run(&arguments),
        Command::List { benchmark } => list::run(benchmark),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Golden(arguments) => golden::run(&arguments),
        Command::Setup { benchmark, print: true, .. } => setup::print(benchmark),
        Command::Setup { print_variables: true, benchmark, .. } => {
            setup::print_variables(benchmark)
        }
        Command::Setup { benchmark, python, .. } => setup::run(benchmark, python.as_deref()),
        #[cfg(feature = "torch")]
        Command::Bench { what: bench::BenchCommand::Decode(arguments) } => bench::run(&arguments),
        #[cfg(feature = "torch")]
        Command::Imagine(arguments) => imagine::run(&arguments),
        #[cfg(feature = "torch")]
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::MakeCheckpoint { preset, seed, target, directory } => {
            make_checkpoint(preset, seed, &target, &directory)
        }
    }
}

/// Writes a file, and the folders above it.
fn write_file(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    folder
        .and_then(|()| std::fs::write(path, text))
        .with_context(|| format!("cannot write `{}`", path.display()))?;
    eprintln!("wrote {}", path.display());
    Ok(())
}

/// What the command that started a run means, after `change` to what all benchmarks share.
///
/// Relative paths of the command meant the folder where it was typed: this process moves there.
///
/// # Errors
/// When this version does not understand the command, or what it names is gone.
fn plan_of(manifest: &Manifest, change: impl FnOnce(&mut RunArguments)) -> Result<Plan> {
    if std::env::set_current_dir(&manifest.directory).is_err() {
        eprintln!("note: `{}` is gone; relative paths start here", manifest.directory);
    }
    let words = std::iter::once("udvla-eval".to_owned()).chain(manifest.command.clone());
    let cli = Cli::try_parse_from(words)
        .context("this version does not understand the command that started the run")?;
    match cli.command {
        Command::Libero(mut command) => {
            change(&mut command.run);
            plan::libero(*command)
        }
        Command::Calvin(mut command) => {
            change(&mut command.run);
            calvin::plan(*command)
        }
        Command::Simpler(mut command) => {
            change(&mut command.run);
            simpler::plan(*command)
        }
        _ => Err(Refused::new("the command that started the run names no benchmark").into()),
    }
}

/// The words that this process was started with, the program's path left out.
fn command_line() -> Vec<String> {
    std::env::args().skip(1).collect()
}

#[cfg(feature = "torch")]
fn make_checkpoint(preset: Preset, seed: u64, target: &str, directory: &Path) -> Result<Exit> {
    let target = target.parse().map_err(Refused::new)?;
    let made = udvla_policies::udvla::make_checkpoint(&plan::name(preset), seed, target, directory);
    made.map_err(|error| Refused::new(error.to_string()))?;
    eprintln!("wrote {}", directory.display());
    Ok(Exit::Complete)
}

#[cfg(not(feature = "torch"))]
fn make_checkpoint(_: Preset, _: u64, _: &str, _: &Path) -> Result<Exit> {
    Err(Refused::new("this build has no libtorch").into())
}
