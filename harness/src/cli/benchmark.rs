//! The subcommands that the registry of benchmarks adds: one to run each benchmark, one to check
//! each simulator.

use std::path::PathBuf;

use clap::builder::Resettable;
use clap::error::ErrorKind;
use clap::{ArgMatches, Args, Command, FromArgMatches, Subcommand};

use super::run::{RunArguments, WorkerArguments};
use crate::benchmarks::{self, Benchmark};

/// `udvla-eval BENCHMARK …`.
#[derive(Clone)]
pub struct RunCommand {
    /// The benchmark.
    pub benchmark: &'static dyn Benchmark,
    /// Its own flags, for [`Benchmark::select`] and [`Benchmark::simulator`].
    pub flags: ArgMatches,
    /// The flags of every benchmark.
    pub run: RunArguments,
    /// How workers are started.
    pub worker: WorkerArguments,
}

impl std::fmt::Debug for RunCommand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RunCommand").field(&self.benchmark.name()).field(&self.run).finish()
    }
}

impl FromArgMatches for RunCommand {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let (benchmark, flags) = chosen(matches)?;
        Ok(Self {
            benchmark,
            flags: flags.clone(),
            run: RunArguments::from_arg_matches(flags)?,
            worker: WorkerArguments::from_arg_matches(flags)?,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Subcommand for RunCommand {
    fn augment_subcommands(command: Command) -> Command {
        command.subcommands(benchmarks::ALL.iter().map(|benchmark| {
            let facts = benchmark.facts();
            let command = (facts.simulator_flags)((facts.episode_flags)(named(*benchmark)));
            let command = WorkerArguments::augment_args(RunArguments::augment_args(command));
            // Last: the groups of flags would replace it by what they are.
            command.about(facts.about).long_about(None)
        }))
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        benchmarks::find(name).is_some()
    }
}

/// `udvla-eval doctor [BENCHMARK] …`.
#[derive(Debug, Clone)]
pub enum DoctorCommand {
    /// The machine and every benchmark.
    Overview(OverviewArguments),
    /// One simulator, with some control steps of each suite.
    Simulator(Box<DoctorSimulator>),
}

/// Flags of `doctor` without a benchmark.
#[derive(Debug, Clone, Args)]
pub struct OverviewArguments {
    /// Print the table as JSON
    #[arg(long)]
    pub json: bool,
    /// Weights and tokenizers to check too
    #[cfg(feature = "torch")]
    #[arg(long, env = "UDVLA_CHECKPOINT", hide_env_values = true, value_name = "DIR")]
    pub checkpoint: Option<PathBuf>,
}

/// `udvla-eval doctor BENCHMARK …`.
#[derive(Clone)]
pub struct DoctorSimulator {
    /// The benchmark.
    pub benchmark: &'static dyn Benchmark,
    /// Its own flags, for [`Benchmark::simulator`].
    pub flags: ArgMatches,
    /// Folder for the first observation of each suite.
    pub frames: Option<PathBuf>,
    /// How the worker is started.
    pub worker: WorkerArguments,
}

impl std::fmt::Debug for DoctorSimulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("DoctorSimulator").field(&self.benchmark.name()).finish()
    }
}

#[derive(Args)]
struct DoctorArguments {
    /// Save the first observation of each suite as PNG files in this folder
    #[arg(long, value_name = "DIR")]
    frames: Option<PathBuf>,
    #[command(flatten)]
    worker: WorkerArguments,
}

impl FromArgMatches for DoctorCommand {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        if matches.subcommand().is_none() {
            return Ok(Self::Overview(OverviewArguments::from_arg_matches(matches)?));
        }
        let (benchmark, flags) = chosen(matches)?;
        let DoctorArguments { frames, worker } = DoctorArguments::from_arg_matches(flags)?;
        let flags = flags.clone();
        Ok(Self::Simulator(Box::new(DoctorSimulator { benchmark, flags, frames, worker })))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for DoctorCommand {
    fn augment_args(command: Command) -> Command {
        let flags = |benchmark: &dyn Benchmark, command: Command| {
            DoctorArguments::augment_args((benchmark.facts().simulator_flags)(command))
        };
        let inner = benchmarks::ALL.iter().map(|benchmark| {
            let about = format!("Test the simulator of {}", benchmark.name());
            flags(*benchmark, named(*benchmark)).about(about).long_about(None)
        });
        let (about, long_about) = (command.get_about().cloned(), command.get_long_about().cloned());
        OverviewArguments::augment_args(command)
            .about(Resettable::from(about))
            .long_about(Resettable::from(long_about))
            .args_conflicts_with_subcommands(true)
            .subcommand_value_name("BENCHMARK")
            .subcommand_help_heading("Benchmarks (without one: an overview)")
            .disable_help_subcommand(true)
            .subcommands(inner)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

pub(super) fn named(benchmark: &dyn Benchmark) -> Command {
    Command::new(benchmark.name()).hide(!benchmark.facts().is_listed)
}

pub(super) fn chosen(
    matches: &ArgMatches,
) -> Result<(&'static dyn Benchmark, &ArgMatches), clap::Error> {
    let (name, flags) =
        matches.subcommand().ok_or(ErrorKind::MissingSubcommand).map_err(clap::Error::new)?;
    let benchmark =
        benchmarks::find(name).ok_or_else(|| clap::Error::new(ErrorKind::InvalidSubcommand))?;
    Ok((benchmark, flags))
}
