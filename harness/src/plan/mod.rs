//! The resolved plan of a run: what the command line means, as plain data.
//!
//! A plan is made in one place from what was typed ([`crate::cli::plan_of_command`]), or read back
//! from `run.json` ([`Plan::stored`]); nothing after it sees a flag or an environment variable.
//! Everything that cannot work is refused while it is made.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use udvla_policies::remote::{Address, Layout, ServerProtocol};
#[cfg(feature = "torch")]
use udvla_policies::udvla::UdVlaOptions;
use udvla_results::run::damage::Damage;
use udvla_results::run::manifest::{PlannedTask, PublishedRow};
use udvla_results::run::part::{self, Part};
use udvla_sims::episode::EpisodeKey;
use udvla_sims::process::WorkerCommand;
use udvla_sims::protocol::Protocol;

use crate::exit::Refused;
use crate::gpus::{self, Gpu};
use crate::{benchmarks, environment};

mod controls;
mod limit;
mod manifest;
mod tested;
mod trust;

pub use controls::{Controls, InstructionControl, ObservationControl};
pub use limit::spread;
pub use manifest::{Overrides, Trust};
pub use tested::is_synthetic;

/// The option that holds `--render-device` as it was typed: another machine has other addresses.
pub const RENDER_DEVICE: &str = "render_device";
/// The adapter's option with the card to draw on, named by its address, which all drivers know.
pub const CARD: &str = "card";
/// The model's name among the policies.
pub const UDVLA: &str = "udvla";

/// A run, decided.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The environment's side.
    pub protocol: Protocol,
    /// Tasks and trials asked for, in the protocol's order.
    pub tasks: Vec<PlannedTask>,
    /// The parts of it that are played; all without any.
    pub parts: Vec<Part>,
    /// Where the run goes.
    pub directory: PathBuf,
    /// How workers are started.
    pub simulator: SimulatorPlan,
    /// What is tested.
    pub policy: PolicyPlan,
    /// What is withheld from it.
    pub controls: Controls,
    /// How the episodes are played.
    pub execution: Execution,
    /// The published row to compare the results with, if the user names one.
    pub published: Option<PublishedRow>,
    /// Whether the devices were chosen anew for a run that goes on.
    pub new_devices: bool,
    /// What is done with a run directory that is not as its run wrote it.
    pub damage: Damage,
    /// Whether a run directory whose owner is silent may be taken.
    pub take_over: TakeOver,
}

/// Whether a run directory whose owner is silent may be taken, where no lock tells that it is dead.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TakeOver {
    /// No.
    #[default]
    No,
    /// The user says that the owner is gone.
    Yes,
}

impl From<bool> for TakeOver {
    fn from(given: bool) -> Self {
        if given { Self::Yes } else { Self::No }
    }
}

/// How workers are started and what their adapter is made with. Paths are absolute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SimulatorPlan {
    /// Python of the simulator's environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python: Option<PathBuf>,
    /// Worker executable instead of this build's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<PathBuf>,
    /// Options of the adapter.
    pub options: BTreeMap<String, String>,
    /// Environment variables of the worker.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
}

/// What is tested.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PolicyPlan {
    /// A policy without weights, by name.
    Weightless {
        /// Its name.
        name: String,
    },
    /// A policy on a server.
    Remote(Box<RemotePlan>),
    /// The model.
    #[cfg(feature = "torch")]
    Udvla(Box<ModelPlan>),
}

/// A policy on a server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RemotePlan {
    /// Where it is.
    pub address: Address,
    /// Its protocol; detected if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<ServerProtocol>,
    /// Name of the policy in tables.
    pub name: String,
    /// The user's layout instead of the bundled one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
    /// Steps executed per chunk; the layout's if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execute: Option<u16>,
    /// Connections; one per simulator if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<u16>,
    /// Longest wait for an answer, in seconds.
    pub answer_timeout: f64,
    /// Longest time for connecting again, in seconds.
    pub reconnect: f64,
    /// Size of a message, at most, in bytes.
    pub max_message: u64,
}

/// The model under test.
#[cfg(feature = "torch")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelPlan {
    /// Directory with weights and tokenizers.
    pub checkpoint: PathBuf,
    /// Devices that each run a replica.
    pub devices: Vec<String>,
    /// How it is opened and decodes.
    pub options: UdVlaOptions,
}

/// How the episodes are played: nothing here changes an outcome, except the seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Execution {
    /// Simulators that run at once.
    pub workers: usize,
    /// Observations per forward pass, at most.
    pub max_batch: usize,
    /// Longest wait for a batch to fill, in milliseconds; without one, half the last batch's time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_wait: Option<u64>,
    /// Seed of the policy's sampling noise.
    pub seed: u64,
    /// Retries of an episode whose simulator fails.
    pub retries: u16,
    /// Longest simulator call, in seconds.
    pub step_timeout: f64,
    /// Longest start of a simulator, in seconds.
    pub start_timeout: f64,
    /// Episodes after which a worker is replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recycle: Option<u32>,
    /// Resident memory of a worker and what it started, in bytes, above which it is replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_memory: Option<u64>,
    /// `paper`, a run directory or a baseline that may end the run early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_early: Option<String>,
    /// Episodes to record as video.
    pub video: Video,
    /// Whether predicted images are saved.
    pub save_futures: bool,
    /// Replicas of the policy.
    pub replicas: usize,
}

/// Episodes to record as video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Video {
    /// None
    None,
    /// The first of each suite
    First,
    /// Those that fail
    Failures,
    /// All
    All,
}

/// Whether one process has to play all episodes because their order matters.
///
/// # Errors
/// [`Refused`] with the setting that would need a second one.
pub fn check_one_process(
    protocol: &Protocol,
    workers: Option<usize>,
    recycle: Option<u32>,
    worker_memory: Option<u64>,
) -> Result<bool> {
    if !benchmarks::of_protocol(protocol)?.is_one_process(protocol) {
        return Ok(false);
    }
    let flag = match (workers, recycle, worker_memory) {
        (Some(2..), _, _) => "--workers",
        (_, Some(_), _) => "--recycle",
        (_, _, Some(_)) => "--worker-memory",
        _ => return Ok(true),
    };
    Err(Refused::new("`--reset-mode reference` runs all sequences in one process")
        .hint(format!("leave `{flag}` out, or use the default `--reset-mode isolated`"))
        .into())
}

impl Plan {
    /// Episodes to be played, long ones first so that none is left alone at the end.
    pub fn episodes(&self) -> Vec<EpisodeKey> {
        let steps = |task: &PlannedTask| {
            self.protocol.suite(&task.suite).map_or(0, |suite| suite.max_steps)
        };
        let mut tasks: Vec<&PlannedTask> = self.tasks.iter().collect();
        tasks.sort_by_key(|task| std::cmp::Reverse(steps(task)));
        let episodes = tasks.into_iter().flat_map(PlannedTask::episodes);
        episodes.filter(|key| part::contain(&self.parts, key)).collect()
    }

    /// Names of the suites that are played.
    pub fn suites(&self) -> Vec<String> {
        self.first_episodes().into_iter().map(|key| key.suite).collect()
    }

    /// The first episode of each suite that is played.
    pub fn first_episodes(&self) -> Vec<EpisodeKey> {
        let mut episodes: Vec<EpisodeKey> = self
            .tasks
            .iter()
            .flat_map(PlannedTask::episodes)
            .filter(|key| part::contain(&self.parts, key))
            .collect();
        episodes.dedup_by(|one, other| one.suite == other.suite);
        episodes
    }
}

impl PolicyPlan {
    /// The policy's name on the command line, or what the user calls one on a server.
    pub fn name(&self) -> &str {
        match self {
            Self::Weightless { name } => name,
            Self::Remote(remote) => &remote.name,
            #[cfg(feature = "torch")]
            Self::Udvla(_) => UDVLA,
        }
    }
}

impl Execution {
    /// Longest simulator call.
    pub fn step_timeout(&self) -> Duration {
        Duration::from_secs_f64(self.step_timeout)
    }

    /// Longest start of a simulator.
    pub fn start_timeout(&self) -> Duration {
        Duration::from_secs_f64(self.start_timeout)
    }
}

impl SimulatorPlan {
    /// How a worker process is started; its log is set per worker.
    ///
    /// # Errors
    /// [`crate::exit::Refused`] when this installation lacks the worker or the adapters.
    pub fn command(&self) -> Result<WorkerCommand> {
        let (program, arguments) = match (&self.program, &self.python) {
            (Some(program), _) => (program.clone(), vec![]),
            (None, python) => {
                let python = python.clone().unwrap_or_default();
                let arguments = [python, environment::adapters()?];
                (environment::worker()?, arguments.map(|path| path_text(&path)).to_vec())
            }
        };
        let environment = self.variables.clone();
        Ok(WorkerCommand { program, arguments, environment, log: PathBuf::new() })
    }

    /// The adapter's options, with the first card of `--render-device`.
    ///
    /// # Errors
    /// As [`Self::cards`].
    pub fn adapter_options(&self) -> Result<BTreeMap<String, String>, Refused> {
        let mut options = self.options.clone();
        options.remove(RENDER_DEVICE);
        options.extend(self.cards()?.into_iter().take(1).map(|card| (CARD.into(), card.bus)));
        Ok(options)
    }

    /// The cards of `--render-device`, as this machine has them; none without the flag.
    ///
    /// # Errors
    /// [`Refused`] for one that is not there or cannot draw.
    pub fn cards(&self) -> Result<Vec<Gpu>, Refused> {
        let named = self.options.get(RENDER_DEVICE).map(String::as_str).unwrap_or_default();
        named.split(',').filter(|name| !name.is_empty()).map(gpus::that_draws).collect()
    }

    /// Digest of the adapters' sources; none for a simulator without Python.
    ///
    /// # Errors
    /// When the adapters cannot be read.
    pub fn adapters_digest(&self) -> Result<Option<String>> {
        match self.program {
            Some(_) => Ok(None),
            None => environment::adapters_digest(&environment::adapters()?).map(Some),
        }
    }
}

fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
