//! Arguments of `real`.

use std::path::PathBuf;

use clap::Args;

use super::run::PolicyArguments;
use super::values::positive_seconds;

/// The value of `--robot` for trials that are judged only.
pub const NOT_DRIVEN: &str = "none";

/// Flags of `real`.
#[derive(Debug, Args)]
pub struct RealArguments {
    /// `none`: trials are judged only; `ws://HOST:PORT`: a policy drives the robot there
    #[arg(long, default_value = NOT_DRIVEN, value_name = "ADDRESS", help_heading = "Robot")]
    pub robot: String,
    /// Longest answer of the robot, in seconds
    #[arg(long, default_value_t = 60.0, value_name = "S", help_heading = "Robot", hide_short_help = true, value_parser = positive_seconds)]
    pub robot_timeout: f64,
    /// Name of the policy that acts, where trials are judged only; twice for two, blinded
    ///
    /// With two policies, every placement is played by both in a row, a coin decides which goes first,
    /// and the operator is not told. Each policy has a run directory in DIR.
    #[arg(long, value_name = "NAME", help_heading = "Policy")]
    pub name: Vec<String>,
    /// A second policy to drive the robot, blinded: its name, or a checkpoint's folder
    #[arg(long, value_name = "POLICY", help_heading = "Policy")]
    pub versus: Option<String>,
    /// The policy that drives the robot.
    #[command(flatten)]
    pub tested: PolicyArguments,
    /// Command that makes the robot use the policy in the variable UDVLA_POLICY, before each trial
    #[arg(long, value_name = "COMMAND", help_heading = "Policy")]
    pub switch: Option<String>,
    /// Tasks of your own instead of the paper's (docs/real-robot.md)
    #[arg(long, value_name = "FILE", help_heading = "Episodes")]
    pub tasks: Option<PathBuf>,
    /// Suites to run [default: all]
    #[arg(long, value_name = "SUITES", value_delimiter = ',', help_heading = "Episodes")]
    pub suite: Vec<String>,
    /// Tasks (from 0) of each suite [default: all]
    #[arg(long, value_name = "TASKS", value_delimiter = ',', help_heading = "Episodes")]
    pub task: Vec<u16>,
    /// Trials per task, at most those of the protocol [default: all, 30]
    #[arg(long, value_name = "N", help_heading = "Episodes", value_parser = clap::value_parser!(u16).range(1..))]
    pub trials: Option<u16>,
    /// Seed of the order of trials [default: random; it is recorded]
    #[arg(long, value_name = "N", help_heading = "Episodes")]
    pub order_seed: Option<u64>,
    /// Ask on a page for a browser on this machine instead of in the terminal
    #[arg(long, value_name = "PORT", num_args = 0..=1, require_equals = true, default_missing_value = "0", help_heading = "Operator")]
    pub page: Option<u16>,
    /// Run directory, new or to be continued [default: runs/real-DATE-ID]
    #[arg(short, long, value_name = "DIR", help_heading = "Output")]
    pub out: Option<PathBuf>,
}
