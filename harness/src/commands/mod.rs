//! One subcommand per file.

mod audit;
#[cfg(feature = "torch")]
pub mod bench;
mod compare;
mod doctor;
mod gate;
mod golden;
#[cfg(feature = "torch")]
pub mod imagine;
#[cfg(feature = "torch")]
pub mod inspect;
mod lavapipe;
mod list;
mod replay;
mod report;
mod resume;
mod run;
mod setup;
mod sizes;
mod tables;

use std::path::Path;

use anyhow::{Context, Result};
use udvla_results::read::{Run, RunDirectory};

use crate::calvin;
use crate::cli::{Cli, Command, Preset};
use crate::exit::{Exit, Refused};
use crate::plan;
use crate::progress::Show;
use crate::simpler;

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
        Command::Audit(arguments) => audit::run(&arguments),
        Command::Compare(arguments) => compare::run(&arguments),
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
        Command::MakeCheckpoint { preset, seed, directory } => {
            make_checkpoint(preset, seed, &directory)
        }
    }
}

/// The run in a directory.
///
/// # Errors
/// [`Refused`] when it is no run directory, or a damaged one.
fn read(directory: &Path) -> Result<Run> {
    RunDirectory::read(directory).map_err(|error| {
        let hint = error.hint();
        let refused = Refused::new(format!("cannot read `{}`", directory.display()));
        hint.into_iter().fold(refused.because(error), Refused::hint).into()
    })
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

/// The words that this process was started with, the program's path left out.
fn command_line() -> Vec<String> {
    std::env::args().skip(1).collect()
}

#[cfg(feature = "torch")]
fn make_checkpoint(preset: Preset, seed: u64, directory: &Path) -> Result<Exit> {
    let made = udvla_policies::udvla::make_checkpoint(&plan::name(preset), seed, directory);
    made.map_err(|error| Refused::new(error.to_string()))?;
    eprintln!("wrote {}", directory.display());
    Ok(Exit::Complete)
}

#[cfg(not(feature = "torch"))]
fn make_checkpoint(_: Preset, _: u64, _: &Path) -> Result<Exit> {
    Err(Refused::new("this build has no libtorch").into())
}
