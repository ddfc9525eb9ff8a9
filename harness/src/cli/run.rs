//! What all benchmarks share: the policy, the workers, the run directory.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::policy::ModelArguments;
use crate::pool::Video;

/// Arguments of every benchmark.
#[derive(Debug, Clone, Args)]
pub struct RunArguments {
    /// Policy to run
    #[arg(long, value_enum, default_value_t = PolicyName::Udvla)]
    pub policy: PolicyName,
    /// Directory with the policy's weights and tokenizers (see docs/checkpoint.md)
    #[arg(long, env = "UDVLA_CHECKPOINT", value_name = "DIR")]
    pub checkpoint: Option<PathBuf>,
    /// The model's own
    #[command(flatten)]
    pub model: ModelArguments,
    /// Devices that each run a replica of the policy, for example cuda:0,cuda:1
    #[arg(long, value_name = "LIST", value_delimiter = ',', conflicts_with = "device")]
    pub devices: Vec<String>,
    /// Run directory; one that exists is continued if it is the same run [runs/NAME-DATE-ID]
    #[arg(short, long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Simulators that run at once [twice --max-batch per device, at most the
    /// cores]
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
    /// Stop as soon as the policy is certainly better or worse than the paper, a run directory or
    /// a stored baseline (5 % false alarms, however often one looks)
    #[arg(long, value_name = "paper|RUN|FILE")]
    pub stop_early: Option<String>,
    /// Episodes to record as video
    #[arg(long, value_enum, default_value_t = Video::None)]
    pub video: Video,
    /// Save what the policy expects to see beside what is seen then, a picture per chunk in
    /// RUN/futures
    #[arg(long)]
    pub save_futures: bool,
    /// Print the plan and stop
    #[arg(long)]
    pub dry_run: bool,
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

fn name_and_value(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((pair.0.into(), pair.1.into()))
}

fn positive_seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected a number of seconds")?;
    // Past a day nobody waits, and the clock's arithmetic stays exact.
    let fine = seconds > 0.0 && seconds <= 86_400.0;
    fine.then_some(seconds).ok_or_else(|| "expected more than 0 and at most 86400".into())
}
