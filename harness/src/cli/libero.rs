//! Arguments of `libero`.

use clap::{Args, ValueEnum};

use super::run::{RunArguments, WorkerArguments};

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
