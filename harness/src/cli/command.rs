//! The command line's top: the subcommands, and arguments that need no file of their own.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::calvin::CalvinArguments;
use super::libero::LiberoArguments;
use super::results::{
    AuditArguments, CompareArguments, ExportArguments, GateArguments, PlanArguments,
    PlotsArguments, ReplayArguments, TablesArguments,
};
use super::run::WorkerArguments;
use super::simpler::SimplerArguments;

/// Evaluate the UD-VLA robot policy on simulated manipulation benchmarks
///
/// Results go to a run directory: `episodes.jsonl` is the truth, tables and plots are made from
/// it. Exit codes: 0 complete, 1 internal error, 2 wrong usage or set-up, 3 interrupted,
/// 4 some episodes could not be run, 5 gave up, 6 gate failed, 7 gate inconclusive,
/// 130 stopped at once. After 3, 4, 5 and 130
/// `udvla-eval resume DIR` goes on.
#[derive(Debug, Parser)]
#[command(name = "udvla-eval", version, max_term_width = 100)]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
    /// Print only errors and the final tables
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Print plain lines instead of bars
    #[arg(long, global = true)]
    pub no_progress: bool,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run LIBERO suites and report success rates
    Libero(Box<LiberoArguments>),
    /// Run CALVIN's chains of five sub-tasks and report the average length
    Calvin(Box<CalvinArguments>),
    /// Run the four WidowX tasks of SimplerEnv and report success rates
    Simpler(Box<SimplerArguments>),
    /// Continue an interrupted run where it stopped
    Resume(ResumeArguments),
    /// Write tables, plots and the page `report.html` from a run directory again
    Report {
        /// The run directory
        directory: PathBuf,
    },
    /// Put run directories into the paper's tables
    Tables(TablesArguments),
    /// Draw several runs side by side and beside the paper
    Plots(PlotsArguments),
    /// Check whether published tables can be true
    Audit(AuditArguments),
    /// Compare two runs episode by episode, or a run with another harness's results
    Compare(CompareArguments),
    /// Write a run as lerobot's eval_info.json, vla-eval's aggregate, or CSV per episode
    Export(ExportArguments),
    /// Pass, fail (6) or inconclusive (7) against a baseline or the paper
    Gate(Box<GateArguments>),
    /// Play stored actions again and confirm outcome and final state (6 where one differs)
    Replay(ReplayArguments),
    /// Tell how many episodes an interval or a comparison takes
    Plan(PlanArguments),
    /// List benchmarks, suites, tasks and protocols
    List {
        /// Show the tasks of this benchmark
        benchmark: Option<Benchmark>,
    },
    /// Test the simulator, its assets and the renderer on this machine
    Doctor(DoctorArguments),
    /// Make a simulator's Python environment from the lock file
    Setup {
        /// The benchmark
        benchmark: Benchmark,
        /// Python 3.10, 3.11 or 3.12 to make it with [first one found]
        #[arg(long, value_name = "PATH")]
        python: Option<PathBuf>,
        /// Make nothing; print the environment's Python, or fail when it is not there
        #[arg(long)]
        print: bool,
        /// Make nothing; print the variables that workers are started with, NAME=VALUE a line
        #[arg(long, conflicts_with = "print")]
        print_variables: bool,
    },
    /// Show what the policy would do and what it expects to see, for pictures of your own
    #[cfg(feature = "torch")]
    Imagine(crate::commands::imagine::ImagineArguments),
    /// Say what a checkpoint is and everything that is missing or wrong
    #[cfg(feature = "torch")]
    Inspect(crate::commands::inspect::InspectArguments),
    /// Measure speed on this machine
    #[cfg(feature = "torch")]
    Bench {
        /// What to measure
        #[command(subcommand)]
        what: crate::commands::bench::BenchCommand,
    },
    /// Recompute recorded outputs of the released code from generated weights and compare
    ///
    /// Prints `equal` or the first differing key per file; exit code 0 when all are equal, 1 when
    /// one differs, 2 when one could not be compared.
    Golden(GoldenArguments),
    /// Write a small checkpoint with synthetic weights, for trying and testing
    MakeCheckpoint {
        /// Size of the model
        #[arg(long, value_enum, default_value_t = Preset::Nano)]
        preset: Preset,
        /// Seed of the weights
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// What the generated views show: future, current, or null for none
        #[arg(long, default_value = "future", value_parser = ["future", "current", "null"])]
        target: String,
        /// Folder to write; must not exist or be empty
        directory: PathBuf,
    },
}

/// A benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Benchmark {
    /// LIBERO: four suites of ten tasks
    Libero,
    /// CALVIN ABCD→D: chains of five sub-tasks
    Calvin,
    /// SimplerEnv: four tasks of a WidowX arm
    Simpler,
}

/// Sizes of synthetic checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// A two-layer model that decodes in about a second on a processor
    Nano,
    /// An eight-layer model, 27 M parameters, for measuring on a processor
    Medium,
}

/// Arguments of `resume`.
#[derive(Debug, Args)]
pub struct ResumeArguments {
    /// The run directory
    pub directory: PathBuf,
    /// Simulators that run at once [as before]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512))]
    pub workers: Option<u16>,
}

/// Arguments of `golden`.
#[derive(Debug, Args)]
pub struct GoldenArguments {
    /// Files to recompute
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Compare nothing; print what was recomputed as JSON. Files need not have outputs
    #[arg(long)]
    pub emit: bool,
    /// Folder with a folder per FAST tokenizer [$UDVLA_TEST_DATA/udvla]
    #[arg(long, value_name = "DIR")]
    pub tokenizers: Option<PathBuf>,
    /// Where the models are recomputed: auto, cpu, cuda:N
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    pub device: String,
}

/// Arguments of `doctor`.
#[derive(Debug, Clone, Args)]
pub struct DoctorArguments {
    /// The benchmark
    #[arg(default_value = "libero", value_enum)]
    pub benchmark: Benchmark,
    /// Save the first observation of each suite as PNG files in this folder
    #[arg(long, value_name = "DIR")]
    pub frames: Option<PathBuf>,
    /// LIBERO's meshes and textures, or `stand-ins`
    #[arg(long, env = "UDVLA_LIBERO_ASSETS", value_name = "DIR")]
    pub assets: Option<String>,
    /// CALVIN checkout
    #[arg(long, env = "CALVIN_ROOT", value_name = "DIR")]
    pub calvin_root: Option<PathBuf>,
    /// ManiSkill2_real2sim checkout, or a SimplerEnv checkout that contains one
    #[arg(long, env = "SIMPLER_ROOT", value_name = "DIR")]
    pub simpler_root: Option<PathBuf>,
    /// Renderer, as for the benchmark's own command
    #[arg(long, default_value = "auto")]
    pub renderer: String,
    /// How the worker is started
    #[command(flatten)]
    pub worker: WorkerArguments,
}
