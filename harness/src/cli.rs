//! The command line as it is typed. What it means is decided in [`crate::plan`].

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::cli_results::{
    AuditArguments, CompareArguments, GateArguments, PlanArguments, ReplayArguments,
    TablesArguments,
};
use crate::pool::Video;

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
    /// Continue an interrupted run where it stopped
    Resume(ResumeArguments),
    /// Write tables and plots from a run directory again
    Report {
        /// The run directory
        directory: PathBuf,
    },
    /// Put run directories into the paper's tables
    Tables(TablesArguments),
    /// Check whether published tables can be true
    Audit(AuditArguments),
    /// Compare two runs episode by episode
    Compare(CompareArguments),
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
}

/// Sizes of synthetic checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// A two-layer model that decodes in about a second on a processor
    Nano,
    /// An eight-layer model, 27 M parameters, for measuring on a processor
    Medium,
}

/// A LIBERO suite on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Suite {
    /// Same objects, different places
    Spatial,
    /// Different objects
    Object,
    /// Different goals
    Goal,
    /// Long tasks (LIBERO-10)
    Long,
    /// All four
    All,
}

/// How the fixtures' poses, which the stored initial states do not hold, are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ResetMode {
    /// The same for every episode: order and sharding cannot change a result
    Pinned,
    /// As the official loop draws them for the k-th reset of one process
    Reference,
    /// As `reference`, with the official loop's hard resets, bit for bit
    Exact,
}

/// Arguments of `libero`.
#[derive(Debug, Clone, Args)]
pub struct LiberoArguments {
    /// Suite to run; repeat for several
    #[arg(long, value_enum, default_value = "all", value_name = "SUITE")]
    pub suite: Vec<Suite>,
    /// Task index (0 to 9) within each suite; repeat for several [all]
    #[arg(long, value_name = "TASK", value_parser = clap::value_parser!(u16).range(0..=9))]
    pub task: Vec<u16>,
    /// Episodes per task, from the first stored initial state on [50]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=50))]
    pub trials: Option<u16>,
    /// How fixture poses are drawn; part of the protocol
    #[arg(long, value_enum, default_value_t = ResetMode::Pinned)]
    pub reset_mode: ResetMode,
    /// The simulator's side
    #[command(flatten)]
    pub simulator: LiberoSimulator,
    /// What all benchmarks share
    #[command(flatten)]
    pub run: RunArguments,
}

/// How LIBERO's simulator is found.
#[derive(Debug, Clone, Args)]
pub struct LiberoSimulator {
    /// LIBERO's meshes and textures, or `stand-ins` for the built-in shapes
    /// [the package's own, its download, else stand-ins]
    #[arg(long, env = "UDVLA_LIBERO_ASSETS", value_name = "DIR")]
    pub assets: Option<String>,
    /// OpenGL back end: auto, egl or osmesa
    #[arg(long, default_value = "auto", value_parser = ["auto", "egl", "osmesa"])]
    pub renderer: String,
    /// How the worker is started
    #[command(flatten)]
    pub worker: WorkerArguments,
}

/// What comes before a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CalvinReset {
    /// What the physics engine remembers is cleared: order and workers cannot change a result
    Isolated,
    /// It is left, as in CALVIN's own loop: results depend on the order, in one process
    Reference,
}

/// Arguments of `calvin`.
#[derive(Debug, Clone, Args)]
pub struct CalvinArguments {
    /// Chains to run, from the first of the list on [500, or all of a shorter list]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub rollouts: Option<u16>,
    /// List of chains: canonical, udvla-2026-01, or a JSON file; part of the protocol
    #[arg(long, default_value = "canonical", value_name = "LIST")]
    pub sequences: String,
    /// What comes before a chain; part of the protocol
    #[arg(long, value_enum, default_value_t = CalvinReset::Isolated)]
    pub reset_mode: CalvinReset,
    /// The simulator's side
    #[command(flatten)]
    pub simulator: CalvinSimulator,
    /// What all benchmarks share
    #[command(flatten)]
    pub run: RunArguments,
}

/// How CALVIN's simulator is found.
#[derive(Debug, Clone, Args)]
pub struct CalvinSimulator {
    /// CALVIN checkout, or a folder with `calvin_env_data` and the two task files
    #[arg(long, env = "CALVIN_ROOT", value_name = "DIR")]
    pub calvin_root: Option<PathBuf>,
    /// What draws the pictures: auto, egl, egl-software or tiny
    #[arg(long, default_value = "auto", value_parser = ["auto", "egl", "egl-software", "tiny"])]
    pub renderer: String,
    /// How the worker is started
    #[command(flatten)]
    pub worker: WorkerArguments,
}

/// How a simulator's worker is started.
#[derive(Debug, Clone, Args)]
pub struct WorkerArguments {
    /// Python of the simulator's environment [what `udvla-eval setup` made]
    #[arg(long, value_name = "PATH")]
    pub python: Option<PathBuf>,
    /// Worker executable to use instead of the embedded Python one (tests)
    #[arg(long, value_name = "PROGRAM", hide = true)]
    pub simulator: Option<PathBuf>,
    /// Option for that worker, NAME=VALUE (tests)
    #[arg(long, value_name = "NAME=VALUE", hide = true, value_parser = name_and_value)]
    pub sim_option: Vec<(String, String)>,
}

/// Arguments of every benchmark.
#[derive(Debug, Clone, Args)]
pub struct RunArguments {
    /// Policy to run
    #[arg(long, value_enum, default_value_t = PolicyName::Udvla)]
    pub policy: PolicyName,
    /// Directory with the policy's weights and tokenizers (see docs/checkpoint.md)
    #[arg(long, env = "UDVLA_CHECKPOINT", value_name = "DIR")]
    pub checkpoint: Option<PathBuf>,
    /// Where the policy runs: auto, cpu, cuda:N
    #[arg(long, default_value = "auto", value_name = "DEVICE")]
    pub device: String,
    /// Number format of the weights: f32, bf16, f16 [bf16 on CUDA, f32 on a processor]
    #[arg(long, value_name = "DTYPE")]
    pub dtype: Option<String>,
    /// Denoising steps per action chunk [the checkpoint's; 64 of `--decoding id`]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub denoise_steps: Option<u16>,
    /// How a chunk is generated
    #[arg(long, value_enum, default_value_t = DecodingName::Jd3p)]
    pub decoding: DecodingName,
    /// Sampler of `--decoding jd3p` [released]
    #[arg(long, value_enum, value_name = "SAMPLER")]
    pub sampler: Option<SamplerName>,
    /// Temperature that `--sampler paper` draws ids at; 0 takes the most probable one
    #[arg(long, value_name = "T", value_parser = temperature)]
    pub temperature: Option<f64>,
    /// Steps of the action stage of `--decoding id`, whose image stage takes --denoise-steps
    /// [64 and 28]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub action_steps: Option<u16>,
    /// Iterations after which `--decoding jacobi` takes 64 ids as they are [none]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub jacobi_cap: Option<u16>,
    /// Attention mask: released, hybrid, released-bidirectional, causal [the checkpoint's]
    #[arg(long, value_name = "MASK")]
    pub attention: Option<String>,
    /// Run directory; one that exists is continued if it is the same run [runs/NAME-DATE-ID]
    #[arg(short, long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Simulators that run at once [twice --max-batch, at most the cores]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512))]
    pub workers: Option<u16>,
    /// Observations in one forward pass, at most
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512))]
    pub max_batch: u16,
    /// Longest wait for a batch to fill, in milliseconds [half the last batch's time]
    #[arg(long, value_name = "MS")]
    pub batch_wait: Option<u64>,
    /// Seed of the policy's sampling noise
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub seed: u64,
    /// Tries again for an episode whose simulator fails
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub retries: u16,
    /// Longest time for one simulator call, in seconds
    #[arg(long, default_value_t = 120.0, value_name = "S", value_parser = positive_seconds)]
    pub step_timeout: f64,
    /// Longest time for a simulator to start, in seconds
    #[arg(long, default_value_t = 600.0, value_name = "S", value_parser = positive_seconds)]
    pub start_timeout: f64,
    /// Episodes to record as video
    #[arg(long, value_enum, default_value_t = Video::None)]
    pub video: Video,
    /// Print the plan and stop
    #[arg(long)]
    pub dry_run: bool,
}

/// Ways to generate a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DecodingName {
    /// Future views and actions denoised together
    Jd3p,
    /// Independent diffusion: future views denoised first, then actions
    Id,
    /// Autoregressive decoding by parallel iteration; needs causal attention
    Jacobi,
    /// One id after the other; needs causal attention
    Ar,
}

/// Samplers of denoising steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SamplerName {
    /// What the released code does
    Released,
    /// What the paper's equations say
    Paper,
}

/// Policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PolicyName {
    /// The UD-VLA model, from `--checkpoint`
    Udvla,
    /// The simulator's scripted solution: proves the installation
    Expert,
    /// Uniform noise
    Random,
    /// Does nothing; must score 0
    Idle,
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
    /// Renderer, as for the benchmark's own command
    #[arg(long, default_value = "auto")]
    pub renderer: String,
    /// How the worker is started
    #[command(flatten)]
    pub worker: WorkerArguments,
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((pair.0.into(), pair.1.into()))
}

fn temperature(text: &str) -> Result<f64, String> {
    let temperature: f64 = text.parse().map_err(|_| "expected a number")?;
    let fine = (0.0..=1000.0).contains(&temperature);
    fine.then_some(temperature).ok_or_else(|| "expected 0 to 1000".into())
}

fn positive_seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected a number of seconds")?;
    // Past a day nobody waits, and the clock's arithmetic stays exact.
    let fine = seconds > 0.0 && seconds <= 86_400.0;
    fine.then_some(seconds).ok_or_else(|| "expected more than 0 and at most 86400".into())
}
