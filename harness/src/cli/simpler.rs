//! Arguments of `simpler`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::run::{RunArguments, WorkerArguments};

/// Arguments of `simpler`.
#[derive(Debug, Clone, Args)]
pub struct SimplerArguments {
    /// Task to run; repeat for several [all]
    #[arg(long, value_enum, value_name = "TASK")]
    pub task: Vec<WidowxTask>,
    /// Episode ids to run per task, from 0 on
    #[arg(long, default_value_t = 24, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=24))]
    pub trials: u16,
    /// Times that all episode ids are played, each time with new sampling noise: the initial
    /// states stay the same 24, so intervals over repeats are too narrow for other states
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub repeats: u16,
    /// When the goal has to hold; part of the protocol
    #[arg(long, value_enum, default_value_t = SimplerSuccess::LastStep)]
    pub success: SimplerSuccess,
    /// Control steps of an episode; part of the protocol [60, eggplant 120]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub max_steps: Option<u32>,
    /// The simulator's side
    #[command(flatten)]
    pub simulator: SimplerSimulator,
    /// What all benchmarks share
    #[command(flatten)]
    pub run: RunArguments,
}

/// How SimplerEnv's simulator is found.
#[derive(Debug, Clone, Args)]
pub struct SimplerSimulator {
    /// ManiSkill2_real2sim checkout, or a SimplerEnv checkout that contains one
    #[arg(long, env = "SIMPLER_ROOT", value_name = "DIR")]
    pub simpler_root: Option<PathBuf>,
    /// Whose environment is played; the results are the same
    #[arg(long, value_enum, default_value_t = SimplerAdapter::Slim)]
    pub adapter: SimplerAdapter,
    /// What draws the pictures; nothing is drawn for a policy that does not look
    #[arg(long, value_enum, default_value_t = SimplerRenderer::Auto)]
    pub renderer: SimplerRenderer,
    /// How the worker is started
    #[command(flatten)]
    pub worker: WorkerArguments,
}

/// A WidowX task on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WidowxTask {
    /// put the spoon on the towel
    Spoon,
    /// put carrot on plate
    Carrot,
    /// stack the green block on the yellow block
    Stack,
    /// put eggplant into yellow basket
    Eggplant,
    /// The four of them
    All,
}

/// When the goal of an episode has to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SimplerSuccess {
    /// After the last step, as in the paper's evaluation
    LastStep,
    /// After any step, even if it was lost again
    AnyStep,
}

/// Whose environment is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SimplerAdapter {
    /// Our own on SAPIEN alone
    Slim,
    /// The checkout's own `mani_skill2_real2sim`
    Upstream,
}

/// What draws the pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SimplerRenderer {
    /// The graphics card where an NVIDIA driver is there, else the processor
    Auto,
    /// The graphics card
    Gpu,
    /// The processor, by Mesa's lavapipe from version 25 on (`udvla-eval setup simpler`)
    Lavapipe,
}
