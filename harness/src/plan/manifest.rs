//! From `run.json` to a plan: what `resume` and `replay` start from.

use std::path::PathBuf;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use udvla_results::run::damage::Damage;
use udvla_results::run::manifest::Manifest;

use super::{Controls, Execution, Plan, PolicyPlan, SimulatorPlan, TakeOver, Video};
use crate::benchmarks;
use crate::exit::Refused;

/// Whether what a run directory names may be started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Trust {
    /// Only what this installation would start itself.
    #[default]
    Installation,
    /// The user trusts the directory.
    Directory,
}

/// What may differ from the stored plan: nothing of protocol or subject.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// Simulators that run at once.
    pub workers: Option<u16>,
    /// Observations per forward pass.
    pub max_batch: Option<u16>,
    /// Devices of the policy; empty keeps the stored ones.
    pub devices: Vec<String>,
    /// Where the checkpoint is now.
    pub checkpoint: Option<PathBuf>,
    /// Where the simulator's files are now.
    pub data: Option<PathBuf>,
    /// Python of the simulator's environment.
    pub python: Option<PathBuf>,
    /// Retries of an episode.
    pub retries: Option<u16>,
    /// Longest simulator call, in seconds.
    pub step_timeout: Option<f64>,
    /// Longest start, in seconds.
    pub start_timeout: Option<f64>,
    /// Episodes after which a worker is replaced.
    pub recycle: Option<u32>,
    /// Resident memory of a worker above which it is replaced, bytes.
    pub worker_memory: Option<u64>,
    /// Episodes to record as video.
    pub video: Option<Video>,
    /// Whether what the directory names may be started.
    pub trust: Trust,
    /// What is done with a directory that is not as its run wrote it.
    pub damage: Damage,
    /// Trials per task, at least as many as planned before.
    pub trials: Option<u16>,
    /// Whether the directory may be taken from an owner that is silent.
    pub take_over: TakeOver,
}

/// What `run.json` stores of a plan beside protocol and tasks.
#[derive(Debug, Serialize, Deserialize)]
struct Resolved {
    simulator: SimulatorPlan,
    policy: PolicyPlan,
    #[serde(default, skip_serializing_if = "Controls::is_none")]
    controls: Controls,
    execution: Execution,
}

impl Plan {
    /// The part of the plan that the manifest does not hold by itself, for `run.json`.
    pub fn resolved(&self) -> serde_json::Value {
        let Self { simulator, policy, controls, execution, .. } = self.clone();
        serde_json::to_value(Resolved { simulator, policy, controls, execution })
            .expect("a plan holds only strings and finite numbers")
    }

    /// The plan that a manifest stores; `None` for one of schema 1, which stored the command line
    /// alone.
    ///
    /// # Errors
    /// [`Refused`] when it was written by a version whose plan this one cannot read.
    pub fn stored(manifest: &Manifest, directory: PathBuf) -> Result<Option<Self>> {
        let Some(resolved) = &manifest.resolved else { return Ok(None) };
        let Resolved { simulator, policy, controls, execution } = read(resolved)?;
        Ok(Some(Self {
            protocol: manifest.protocol.clone(),
            tasks: manifest.plan.clone(),
            parts: manifest.parts.clone(),
            directory,
            simulator,
            policy,
            controls,
            execution,
            published: manifest.published.clone(),
            new_devices: false,
            damage: Damage::Refuse,
            take_over: TakeOver::No,
        }))
    }

    /// Changes what is not part of protocol or subject.
    ///
    /// # Errors
    /// [`Refused`] for something that the run does not have.
    pub fn apply(&mut self, overrides: &Overrides) -> Result<()> {
        if let Some(trials) = overrides.trials {
            self.extend(trials)?;
        }
        let episodes = self.episodes().len();
        let Self { simulator, policy, execution, .. } = self;
        if let Some(workers) = overrides.workers {
            execution.workers = usize::from(workers).min(episodes.max(1));
        }
        execution.max_batch = overrides.max_batch.map_or(execution.max_batch, usize::from);
        execution.retries = overrides.retries.unwrap_or(execution.retries);
        execution.step_timeout = overrides.step_timeout.unwrap_or(execution.step_timeout);
        execution.start_timeout = overrides.start_timeout.unwrap_or(execution.start_timeout);
        execution.recycle = overrides.recycle.or(execution.recycle);
        execution.worker_memory = overrides.worker_memory.or(execution.worker_memory);
        execution.video = overrides.video.unwrap_or(execution.video);
        if let Some(python) = &overrides.python {
            simulator.python = Some(python.clone());
        }
        if let Some(data) = &overrides.data {
            let benchmark = benchmarks::of_protocol(&self.protocol)?;
            let option = benchmark.facts().data_option.ok_or_else(|| {
                Refused::new(format!("`{}` has no files of its own", benchmark.name()))
            })?;
            let data = data.canonicalize().map_err(|error| {
                Refused::new(format!("there is no `{}`", data.display())).because(error)
            })?;
            simulator.options.insert(option.to_owned(), super::path_text(&data));
        }
        apply_to_policy(policy, overrides)?;
        self.damage = overrides.damage;
        self.take_over = overrides.take_over;
        if !overrides.devices.is_empty() {
            execution.replicas = overrides.devices.len();
            self.new_devices = true;
        }
        Ok(())
    }
}

impl Plan {
    /// Plans `trials` of every task, of which those planned before are some.
    fn extend(&mut self, trials: u16) -> Result<()> {
        let most = self.tasks.iter().map(|task| task.trials).max().unwrap_or(0);
        if trials < most {
            let text = format!("the run has {most} trials per task already, {trials} are fewer");
            return Err(Refused::new(text)
                .hint("a run only grows; start another one for fewer trials")
                .into());
        }
        for task in &mut self.tasks {
            let available = self.protocol.suite(&task.suite).map_or(0, |suite| suite.trials);
            // Repeats of all initial states are planned as further trials.
            let repeats = task.trials > available && trials.is_multiple_of(available.max(1));
            if trials > available && !repeats {
                let text = format!("`{}` has {available} trials per task", task.suite);
                return Err(Refused::new(text).hint(format!("pass `--trials {available}`")).into());
            }
            task.trials = trials;
        }
        Ok(())
    }
}

fn apply_to_policy(policy: &mut PolicyPlan, overrides: &Overrides) -> Result<()> {
    match policy {
        PolicyPlan::Weightless { .. } | PolicyPlan::Remote(_) => {
            let name = policy.name();
            if overrides.checkpoint.is_some() || !overrides.devices.is_empty() {
                let text = format!("policy `{name}` has neither checkpoint nor device");
                return Err(Refused::new(text).into());
            }
        }
        #[cfg(feature = "torch")]
        PolicyPlan::Udvla(model) => {
            if let Some(checkpoint) = &overrides.checkpoint {
                model.checkpoint.clone_from(checkpoint);
            }
            if let Some(device) = overrides.devices.first() {
                model.options.device.clone_from(device);
                model.devices.clone_from(&overrides.devices);
            }
        }
    }
    Ok(())
}

fn read(stored: &serde_json::Value) -> Result<Resolved> {
    serde_json::from_value(stored.clone()).map_err(|error| {
        Refused::new("this version cannot read the run's plan")
            .because(error)
            .hint("resume with the version that started the run, which `run.json` names")
            .into()
    })
}
