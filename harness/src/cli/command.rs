//! The top of the command line: the subcommands, and flags that need no file of their own.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use super::bench::BenchCommand;
use super::benchmark::{DoctorCommand, RunCommand};
#[cfg(feature = "torch")]
use super::checkpoint::{AssembleArguments, ImagineArguments, InspectArguments, MakeArguments};
use super::collect::CollectCommand;
use super::real::RealArguments;
use super::results::{
    AuditArguments, CompareArguments, ExportArguments, GateArguments, MergeArguments,
    PlanArguments, PlotsArguments, ReadArguments, ReplayArguments, ReportArguments,
    StatusArguments, TablesArguments, ViewArguments,
};
use super::runs_folder::run_path;
#[cfg(feature = "torch")]
use super::serve::ServeArguments;
use super::slurm::SlurmArguments;
use super::tracking::TrackingArguments;
#[cfg(feature = "torch")]
use super::train::TrainArguments;
use super::values::{BenchmarkName, benchmark_names};
use crate::plan::Video;

/// Evaluate the UD-VLA robot policy on simulated manipulation benchmarks
///
/// A run directory holds the results: `episodes.jsonl` is the truth, tables and plots are derived
/// from it.
///
/// Exit codes: 0 complete, 1 internal error, 2 wrong usage or set-up, 3 interrupted, 4 some
/// episodes could not be run, 5 gave up, 6 gate failed, 7 gate inconclusive, 130 stopped at once.
/// After 3, 4, 5 and 130, `udvla-eval resume DIR` continues.
#[derive(Debug, Parser)]
#[command(name = "udvla-eval", version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Print only errors and the final tables
    #[arg(short, long, global = true, help_heading = "Output")]
    pub quiet: bool,
    /// Show every running episode with its task and step
    #[arg(short, long, global = true, conflicts_with = "quiet", help_heading = "Output")]
    pub verbose: bool,
    /// Print plain lines instead of progress bars
    #[arg(long, global = true, help_heading = "Output")]
    pub no_progress: bool,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a benchmark.
    #[command(flatten)]
    Run(Box<RunCommand>),
    /// Judge trials on a real robot: the paper's tasks or your own, in random order
    ///
    /// The operator answers success, failure, failure at a stage, or void (repeated later) for every
    /// trial, in the terminal or on a local page (docs/real-robot.md). Every answer is stored before
    /// the next question.
    Real(Box<RealArguments>),
    /// Continue an interrupted run where it stopped
    ///
    /// Protocol, policy and decoding stay as they were; `run.json` holds them, so no environment
    /// variable of the first shell is needed.
    Resume(ResumeArguments),
    /// Write tables, plots and the page `report.html` of a run directory again
    Report(ReportArguments),
    /// Show run directories in a browser: list, pages, comparisons, live while they run
    View(ViewArguments),
    /// Show how far runs are, alone and together, and what to type next
    Status(StatusArguments),
    /// Print, or submit, the jobs that play a run on a Slurm cluster in parts and merge them
    ///
    /// For example `udvla-eval slurm --parts 16 --time 4:00:00 --gpus 1 -- libero --suite long`. A part
    /// that reaches its time limit finishes its running episodes and is requeued (docs/parts.md).
    Slurm(SlurmArguments),
    /// Make the parts of a run one run directory
    ///
    /// The parts must have equal protocol, policy and setting; every episode must be in exactly one of
    /// them. Actions, videos and predicted images are copied.
    Merge(MergeArguments),
    /// Put run directories into the paper's tables
    Tables(TablesArguments),
    /// Draw several runs side by side and beside the paper
    Plots(PlotsArguments),
    /// Check whether published tables are possible
    Audit(AuditArguments),
    /// Compare two runs episode by episode, or a run with another harness's results
    Compare(CompareArguments),
    /// Write a run as lerobot's eval_info.json, vla-eval's aggregate, or CSV per episode
    Export(ExportArguments),
    /// Pass, fail (6) or inconclusive (7) against a baseline or the paper
    Gate(Box<GateArguments>),
    /// Replay stored actions and confirm outcome and final state (6 where one differs)
    Replay(ReplayArguments),
    /// Tell how many episodes an interval or a comparison takes
    Plan(PlanArguments),
    /// List benchmarks, suites, tasks and protocols
    List {
        /// Show the tasks of this benchmark
        #[arg(value_parser = benchmark_names())]
        benchmark: Option<BenchmarkName>,
    },
    /// Test what a run needs on this machine: device, memory, checkpoint, every simulator
    Doctor(DoctorCommand),
    /// Make a simulator's Python environment, or fetch its files
    Setup(SetupArguments),
    /// Answer other harnesses and robots with the policy, over WebSocket, until Ctrl-C
    ///
    /// The first Ctrl-C ends it after the running episodes, the second at once.
    #[cfg(feature = "torch")]
    Serve(Box<ServeArguments>),
    /// Show the actions and the future images that the policy predicts for images of your own
    #[cfg(feature = "torch")]
    Imagine(ImagineArguments),
    /// Validate a checkpoint and list its contents
    #[cfg(feature = "torch")]
    Inspect(InspectArguments),
    /// Record demonstrations by a simulator's scripted expert, for training
    ///
    /// Initial states are sampled, never those that policies are evaluated on. The same command records
    /// what is missing of a collection.
    Collect {
        /// The benchmark.
        #[command(subcommand)]
        what: Box<CollectCommand>,
    },
    /// Measure speed on this machine: decoding, simulators, the harness itself
    Bench {
        /// What to measure.
        #[command(subcommand)]
        what: BenchCommand,
    },
    /// Write a small checkpoint with synthetic weights, for trials and tests
    #[cfg(feature = "torch")]
    MakeCheckpoint(MakeArguments),
    /// Write the manifest of a checkpoint whose parts were downloaded into separate folders
    #[cfg(feature = "torch")]
    AssembleCheckpoint(Box<AssembleArguments>),
    /// Train a small UD-VLA policy on demonstrations, on a processor
    #[cfg(feature = "torch")]
    Train(Box<TrainArguments>),
    /// Print the completion script of a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the man pages into a folder
    Man {
        /// The folder
        directory: PathBuf,
    },
    /// Print the command reference (docs/cli.md)
    #[command(hide = true)]
    Reference,
}

impl Command {
    /// Whether it writes records, and so must not end because nobody reads its output.
    pub fn runs_episodes(&self) -> bool {
        match self {
            Self::Run(command) => !command.run.dry_run,
            Self::Collect { what } => !what.collect.dry_run,
            Self::Resume(_) | Self::Real(_) => true,
            #[cfg(feature = "torch")]
            Self::Serve(_) => true,
            _ => false,
        }
    }
}

/// Flags of `resume`.
#[derive(Debug, Args)]
pub struct ResumeArguments {
    /// The run directory, or the name of a run in `runs`
    #[arg(value_parser = run_path())]
    pub directory: PathBuf,
    /// Trials per task, to extend the run; CALVIN: sequences
    #[arg(long, visible_alias = "rollouts", value_name = "N", help_heading = "As before unless given", value_parser = clap::value_parser!(u16).range(1..))]
    pub trials: Option<u16>,
    /// Simulators that run at once
    #[arg(short, long, value_name = "N", help_heading = "As before unless given", value_parser = clap::value_parser!(u16).range(1..=512))]
    pub workers: Option<u16>,
    /// Observations per forward pass, at most
    #[arg(long, value_name = "N", help_heading = "As before unless given", value_parser = clap::value_parser!(u16).range(1..=512))]
    pub max_batch: Option<u16>,
    /// Devices that each run a replica of the policy, for example cuda:0,cuda:1
    #[arg(
        long,
        visible_alias = "devices",
        value_name = "LIST",
        value_delimiter = ',',
        help_heading = "As before unless given"
    )]
    pub device: Vec<String>,
    /// Where the checkpoint is now; its digest must be as before
    #[arg(long, value_name = "DIR", help_heading = "As before unless given")]
    pub checkpoint: Option<PathBuf>,
    /// Where the simulator's files are now; their digest must be as before
    #[arg(long, value_name = "DIR", help_heading = "As before unless given")]
    pub data: Option<PathBuf>,
    /// Python of the simulator's environment
    #[arg(long, value_name = "PATH", help_heading = "As before unless given")]
    pub python: Option<PathBuf>,
    /// Retries of an episode whose simulator fails
    #[arg(long, value_name = "N", help_heading = "As before unless given")]
    pub retries: Option<u16>,
    /// Longest simulator call, in seconds
    #[arg(long, value_name = "S", help_heading = "As before unless given", value_parser = super::values::positive_seconds)]
    pub step_timeout: Option<f64>,
    /// Longest start of a simulator, in seconds
    #[arg(long, value_name = "S", help_heading = "As before unless given", value_parser = super::values::positive_seconds)]
    pub start_timeout: Option<f64>,
    /// Replace a simulator after this many episodes
    #[arg(long, value_name = "N", help_heading = "As before unless given", value_parser = clap::value_parser!(u32).range(1..))]
    pub recycle: Option<u32>,
    /// Replace a simulator that takes more memory, for example 6GiB
    #[arg(long, value_name = "SIZE", help_heading = "As before unless given", value_parser = super::values::memory_size)]
    pub worker_memory: Option<u64>,
    /// Episodes to record as video
    #[arg(long, value_enum, help_heading = "As before unless given")]
    pub video: Option<Video>,
    /// For a run of `real`: ask on a page instead of in the terminal
    #[arg(long, value_name = "PORT", num_args = 0..=1, require_equals = true, default_missing_value = "0")]
    pub page: Option<u16>,
    /// Start what the directory names: its interpreter, programs and folders with Python packages
    #[arg(long)]
    pub trust: bool,
    /// Take the directory from a process on another machine that is certainly gone
    ///
    /// Needed only on file systems without locks, where that process has been silent for a minute.
    #[arg(long)]
    pub take_over: bool,
    /// Where the results are sent too.
    #[command(flatten)]
    pub tracking: TrackingArguments,
    /// How the directory is read.
    #[command(flatten)]
    pub reading: ReadArguments,
}

/// Flags of `setup`.
#[derive(Debug, Args)]
pub struct SetupArguments {
    /// The benchmark
    #[arg(value_parser = benchmark_names())]
    pub benchmark: BenchmarkName,
    /// Python 3.10, 3.11 or 3.12 to make it with [default: the first one found]
    #[arg(long, value_name = "PATH")]
    pub python: Option<PathBuf>,
    /// Fetch the simulator's own files (meshes, textures, scenes) instead, at a pinned commit, to
    /// where every command finds them
    #[arg(long, visible_alias = "scene", conflicts_with_all = ["python", "print", "print_variables"])]
    pub assets: bool,
    /// Where to fetch them from: a folder with the files, a checkout, or a Git repository
    /// [default: the repository of their authors]
    #[arg(long, value_name = "URL|DIR", requires = "assets")]
    pub from: Option<String>,
    /// Make nothing; print the environment's Python, or fail when it is missing
    #[arg(long)]
    pub print: bool,
    /// Make nothing; print the variables that workers are started with, NAME=VALUE a line
    #[arg(long, conflicts_with = "print")]
    pub print_variables: bool,
}
