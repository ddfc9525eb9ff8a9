//! What a collection records, as plain data.

use std::path::PathBuf;

use udvla_results::run::manifest::PlannedTask;
use udvla_sims::episode::EpisodeKey;
use udvla_sims::protocol::Protocol;

pub use super::noise::Noise;
use crate::plan::{PolicyPlan, SimulatorPlan};

/// A collection of demonstrations, decided.
#[derive(Debug, Clone)]
pub struct Collection {
    /// The environment's side.
    pub protocol: Protocol,
    /// The tasks; `trials` of each is the number of episodes.
    pub tasks: Vec<PlannedTask>,
    /// Episodes per task.
    pub episodes: u16,
    /// Of initial states and noise.
    pub seed: u64,
    /// Control steps from one recorded observation to the next.
    pub every: u16,
    /// Height and width of the recorded images of each camera.
    pub sizes: Vec<u16>,
    /// What is added to the expert's actions.
    pub noise: Noise,
    /// The policy that plays the beginning of every episode, if the expert is to correct one.
    pub policy: Option<PolicyPlan>,
    /// How workers are started.
    pub simulator: SimulatorPlan,
    /// Simulators that run at once.
    pub workers: u16,
    /// Where the files go.
    pub directory: PathBuf,
}

impl Collection {
    /// The episodes: trial 0 of all tasks, then trial 1, so that the tasks are balanced at any
    /// time.
    pub fn keys(&self) -> Vec<EpisodeKey> {
        let key = |task: &PlannedTask, trial| EpisodeKey {
            suite: task.suite.clone(),
            task: task.task,
            trial,
        };
        let trials = 0..self.episodes;
        trials.flat_map(|trial| self.tasks.iter().map(move |task| key(task, trial))).collect()
    }

    /// Names of the suites that are played.
    pub fn suites(&self) -> Vec<String> {
        let mut names: Vec<String> = self.tasks.iter().map(|task| task.suite.clone()).collect();
        names.dedup();
        names
    }
}

/// Name of an episode's file in the folder of a collection.
pub fn file_name(key: &EpisodeKey) -> String {
    format!("episodes/{}-task{:02}-{:04}.safetensors", key.suite, key.task, key.trial)
}
