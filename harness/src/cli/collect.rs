//! Flags of `collect`.

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{ArgMatches, Args, Command, FromArgMatches, Subcommand};

use super::benchmark::{chosen, named};
#[cfg(feature = "torch")]
use super::model::{DeviceArguments, ModelArguments};
use super::run::WorkerArguments;
use crate::benchmarks::{self, Benchmark, Demonstrations};

/// `udvla-eval collect BENCHMARK …`.
#[derive(Clone)]
pub struct CollectCommand {
    /// The benchmark.
    pub benchmark: &'static dyn Benchmark,
    /// How its demonstrations are recorded.
    pub demonstrations: &'static Demonstrations,
    /// Its own flags, for [`Demonstrations::tasks`] and [`Benchmark::simulator`].
    pub flags: ArgMatches,
    /// The flags of every benchmark.
    pub collect: CollectArguments,
    /// How workers are started.
    pub worker: WorkerArguments,
}

impl std::fmt::Debug for CollectCommand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("CollectCommand").field(&self.benchmark.name()).field(&self.collect).finish()
    }
}

/// Flags of `collect` for every benchmark.
#[derive(Debug, Clone, Args)]
pub struct CollectArguments {
    /// Episodes per task; more than before extend a collection
    #[arg(long, default_value_t = 50, value_name = "N", help_heading = "Episodes", value_parser = clap::value_parser!(u16).range(1..))]
    pub episodes: u16,
    /// Seed of initial states and noise
    #[arg(long, default_value_t = 0, value_name = "N", help_heading = "Episodes")]
    pub seed: u64,
    /// Share of the episodes in which short bursts push the robot off the expert's way
    ///
    /// A burst adds one offset to 3 to 7 control steps, after 20 to 40 clean ones. What the expert wants
    /// is recorded beside what was executed.
    #[arg(long, default_value_t = 0.85, value_name = "SHARE", help_heading = "Episodes", value_parser = super::values::share)]
    pub noise_share: f64,
    /// Record corrections of a policy: a checkpoint's folder, or the name of a policy without weights
    ///
    /// The policy plays the first 1 to 9 chunks of an episode, then the expert goes on from there.
    #[arg(long, value_name = "CHECKPOINT", help_heading = "Policy")]
    pub policy: Option<String>,
    /// Where the model runs.
    #[cfg(feature = "torch")]
    #[command(flatten, next_help_heading = "Policy")]
    pub device: DeviceArguments,
    /// How the model decodes.
    #[cfg(feature = "torch")]
    #[command(flatten)]
    pub model: ModelArguments,
    /// Control steps from one recorded observation to the next
    #[arg(long, default_value_t = 5, value_name = "N", help_heading = "Output", value_parser = clap::value_parser!(u16).range(1..=100))]
    pub every: u16,
    /// Height and width of the recorded images, one number per camera
    #[arg(long, default_value = "56,56", value_name = "PIXELS", value_delimiter = ',', help_heading = "Output", value_parser = clap::value_parser!(u16).range(8..=1024))]
    pub sizes: Vec<u16>,
    /// Folder of the collection, new or to be continued
    #[arg(short, long, value_name = "DIR", help_heading = "Output")]
    pub out: PathBuf,
    /// Print what would be recorded, about how long it takes and how large it is, and stop
    #[arg(long, help_heading = "Output")]
    pub dry_run: bool,
    /// Simulators that run at once [default: the cores]
    #[arg(short, long, value_name = "N", help_heading = "Workers", value_parser = clap::value_parser!(u16).range(1..=512))]
    pub workers: Option<u16>,
}

impl FromArgMatches for CollectCommand {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let (benchmark, flags) = chosen(matches)?;
        let demonstrations = benchmark.facts().demonstrations.as_ref();
        let unknown = || clap::Error::new(ErrorKind::InvalidSubcommand);
        Ok(Self {
            benchmark,
            demonstrations: demonstrations.ok_or_else(unknown)?,
            flags: flags.clone(),
            collect: CollectArguments::from_arg_matches(flags)?,
            worker: WorkerArguments::from_arg_matches(flags)?,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Subcommand for CollectCommand {
    fn augment_subcommands(command: Command) -> Command {
        let inner = benchmarks::ALL.iter().filter_map(|benchmark| {
            let facts = benchmark.facts();
            let command = (facts.demonstrations.as_ref()?.flags)(named(*benchmark));
            let command = (facts.simulator_flags)(CollectArguments::augment_args(command));
            let about = format!("Record demonstrations of {}", facts.name);
            Some(WorkerArguments::augment_args(command).about(about).long_about(None))
        });
        command.subcommands(inner).disable_help_subcommand(true)
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        benchmarks::find(name).is_some_and(|found| found.facts().demonstrations.is_some())
    }
}
