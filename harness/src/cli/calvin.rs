//! Arguments of `calvin`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::run::{RunArguments, WorkerArguments};

/// Arguments of `calvin`.
#[derive(Debug, Clone, Args)]
pub struct CalvinArguments {
    /// Chains to run, from the first of the list on [500, or all of a shorter list]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub rollouts: Option<u16>,
    /// List of chains: canonical, udvla-2026-01, or a JSON file; part of the protocol
    #[arg(long, default_value = "canonical", value_name = "LIST")]
    pub sequences: String,
    /// Other instructions for the sub-tasks: a file like CALVIN's new_playtable_validation.yaml, of
    /// which the first sentences are taken; part of the protocol [CALVIN's own]
    #[arg(long, value_name = "FILE")]
    pub annotations: Option<PathBuf>,
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
    /// Whose code runs the scene
    #[arg(long, value_enum, default_value_t = CalvinAdapter::Slim)]
    pub adapter: CalvinAdapter,
    /// How the worker is started
    #[command(flatten)]
    pub worker: WorkerArguments,
}

/// Whose code runs the scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CalvinAdapter {
    /// Our own, bit for bit as upstream; needs pybullet and numpy alone
    Slim,
    /// The checkout's `calvin_env`, to compare with; needs a `--python` that can import it
    Upstream,
}

/// What comes before a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CalvinReset {
    /// What the physics engine remembers is cleared: order and workers cannot change a result
    Isolated,
    /// It is left, as in CALVIN's own loop: results depend on the order, in one process
    Reference,
}
