//! One subcommand per file.

#[cfg(feature = "torch")]
pub mod bench;
mod doctor;
#[cfg(feature = "torch")]
pub mod inspect;
mod list;
mod report;
mod resume;
mod run;
mod setup;

use std::path::Path;

use anyhow::Result;

use crate::cli::{Cli, Command, Preset};
use crate::exit::Exit;
use crate::plan;
use crate::progress::Show;

/// Does what was typed.
///
/// # Errors
/// [`crate::exit::Refused`] for what cannot work as asked, anything else for faults.
pub fn run(cli: Cli) -> Result<Exit> {
    let show = Show::choose(cli.quiet, cli.no_progress);
    match cli.command {
        Command::Libero(arguments) => run::run(plan::libero(*arguments)?, show, command_line()),
        Command::Resume(arguments) => resume::run(&arguments, show),
        Command::Report { directory } => report::run(&directory),
        Command::List { benchmark } => list::run(benchmark),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Setup { benchmark, print: true, .. } => setup::print(benchmark),
        Command::Setup { benchmark, python, .. } => setup::run(benchmark, python.as_deref()),
        #[cfg(feature = "torch")]
        Command::Bench { what: bench::BenchCommand::Decode(arguments) } => bench::run(&arguments),
        #[cfg(feature = "torch")]
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::MakeCheckpoint { preset, seed, directory } => {
            make_checkpoint(preset, seed, &directory)
        }
    }
}

/// The words that this process was started with, the program's path left out.
fn command_line() -> Vec<String> {
    std::env::args().skip(1).collect()
}

#[cfg(feature = "torch")]
fn make_checkpoint(preset: Preset, seed: u64, directory: &Path) -> Result<Exit> {
    use crate::exit::Refused;

    let made = udvla_policies::udvla::make_checkpoint(&plan::name(preset), seed, directory);
    made.map_err(|error| Refused::new(error.to_string()))?;
    eprintln!("wrote {}", directory.display());
    Ok(Exit::Complete)
}

#[cfg(not(feature = "torch"))]
fn make_checkpoint(_: Preset, _: u64, _: &Path) -> Result<Exit> {
    Err(crate::exit::Refused::new("this build has no libtorch").into())
}
