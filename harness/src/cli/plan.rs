//! From what was typed, or from a run directory, to a plan.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Parser;
use udvla_results::run::damage::Damage;
use udvla_results::run::manifest::Manifest;

use super::benchmark::RunCommand;
use super::command::{Cli, Command};
use super::run::{PolicyArguments, RunArguments, WorkerArguments};
use crate::benchmarks::{Benchmark, Choices};
use crate::environment;
use crate::exit::Refused;
use crate::plan::{Execution, Overrides, Plan, PolicyPlan, SimulatorPlan, UDVLA};

/// The plan of `udvla-eval BENCHMARK …`.
///
/// # Errors
/// [`Refused`] when something asked for cannot work.
pub fn plan_of_command(command: &RunCommand) -> Result<Plan> {
    let RunCommand { benchmark, flags, run, worker } = command;
    let selection = benchmark.select(flags, &choices(run, worker))?;
    if selection.tasks.is_empty() {
        return Err(Refused::new("no task is left to run").into());
    }
    let episodes = selection.tasks.iter().map(|task| usize::from(task.trials)).sum();
    let policy = policy(&run.tested, benchmark.name())?;
    if run.save_futures && matches!(policy, PolicyPlan::Weightless { .. }) {
        let text = format!("policy `{}` does not predict future images", policy.name());
        return Err(Refused::new(text).hint("`--save-futures` goes with `--policy udvla`").into());
    }
    Ok(Plan {
        protocol: selection.protocol,
        tasks: selection.tasks,
        directory: run.out.clone().unwrap_or_else(|| new_directory(&selection.label)),
        simulator: simulator_plan(*benchmark, flags, worker)?,
        execution: execution(run, replicas(&policy), selection.max_workers, episodes),
        policy,
        new_devices: false,
        damage: Damage::Refuse,
    })
}

/// The plan of a run directory, with `overrides`.
///
/// # Errors
/// [`Refused`] when this version cannot read the stored plan, an override does not fit the run, or
/// it would start what this installation does not have.
pub fn plan_of_run(manifest: &Manifest, directory: PathBuf, overrides: &Overrides) -> Result<Plan> {
    let mut plan = match Plan::stored(manifest, directory.clone())? {
        Some(plan) => plan,
        None => Plan { directory, ..plan_of_schema_1(manifest)? },
    };
    plan.apply(overrides)?;
    plan.distrust(overrides)?;
    Ok(plan)
}

/// How the workers of a benchmark are started: with embedded Python, or the program given.
///
/// # Errors
/// [`Refused`] when its files, its Python or a driver are missing.
pub fn simulator_plan(
    benchmark: &dyn Benchmark,
    flags: &clap::ArgMatches,
    worker: &WorkerArguments,
) -> Result<SimulatorPlan> {
    let choices = Choices { without_files: worker.simulator.is_some(), ..Choices::default() };
    let own = benchmark.simulator(flags, &choices)?;
    let python = match worker.simulator {
        Some(_) => None,
        None => Some(environment::python(benchmark.facts().environment, worker.python.as_deref())?),
    };
    let mut options = own.options;
    options.extend(worker.sim_option.iter().cloned());
    let program = worker.simulator.clone();
    Ok(SimulatorPlan { python, program, options, variables: own.variables })
}

fn choices(run: &RunArguments, worker: &WorkerArguments) -> Choices {
    Choices {
        policy: run.tested.policy.clone(),
        workers: run.workers,
        without_files: worker.simulator.is_some(),
    }
}

#[cfg(feature = "torch")]
fn policy(tested: &PolicyArguments, benchmark: &str) -> Result<PolicyPlan> {
    if tested.policy != UDVLA {
        return Ok(PolicyPlan::Weightless { name: tested.policy.clone() });
    }
    let Some(checkpoint) = &tested.checkpoint else {
        return Err(Refused::new("policy `udvla` needs a checkpoint")
            .hint("pass `--checkpoint DIR`; `udvla-eval make-checkpoint DIR` writes a small one to try with, `--policy expert` needs none")
            .into());
    };
    let (device, devices) = (&tested.device.device, &tested.device.devices);
    let devices = if devices.is_empty() { vec![device.clone()] } else { devices.clone() };
    Ok(PolicyPlan::Udvla(Box::new(crate::plan::ModelPlan {
        // One that is missing keeps its name for the error.
        checkpoint: checkpoint.canonicalize().unwrap_or_else(|_| checkpoint.clone()),
        options: tested.model.options(benchmark, &devices[0])?,
        devices,
    })))
}

#[cfg(not(feature = "torch"))]
fn policy(tested: &PolicyArguments, _: &str) -> Result<PolicyPlan> {
    if tested.policy == UDVLA {
        return Err(Refused::new("this build has no libtorch, so it cannot run `udvla`")
            .hint("build with the feature `torch`, or use `--policy expert`, `random` or `idle`")
            .into());
    }
    Ok(PolicyPlan::Weightless { name: tested.policy.clone() })
}

fn replicas(policy: &PolicyPlan) -> usize {
    match policy {
        PolicyPlan::Weightless { .. } => 1,
        #[cfg(feature = "torch")]
        PolicyPlan::Udvla(model) => model.devices.len(),
    }
}

fn execution(
    run: &RunArguments,
    replicas: usize,
    max_workers: Option<u16>,
    episodes: usize,
) -> Execution {
    let max_batch = usize::from(run.max_batch);
    // Twice the rows of all devices: one half steps while the other is with the policy.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let default = (2 * max_batch * replicas).min(cores);
    let workers = max_workers.or(run.workers).map_or(default, usize::from);
    Execution {
        workers: workers.clamp(1, episodes.max(1)),
        max_batch,
        batch_wait: run.batch_wait,
        seed: run.tested.seed,
        retries: run.retries,
        step_timeout: run.step_timeout,
        start_timeout: run.start_timeout,
        recycle: run.recycle,
        worker_memory: run.worker_memory,
        stop_early: run.stop_early.as_deref().map(absolute_reference),
        video: run.video,
        save_futures: run.save_futures,
        replicas,
    }
}

/// A reference of `--stop-early`, which may be a path.
fn absolute_reference(reference: &str) -> String {
    match Path::new(reference).canonicalize() {
        Ok(path) if reference != "paper" => path.to_string_lossy().into_owned(),
        _ => reference.to_owned(),
    }
}

/// `runs/<label>-<UTC date>-<four hexadecimal digits>`.
fn new_directory(label: &str) -> PathBuf {
    let now = jiff::Timestamp::now();
    let stamp = now.strftime("%Y%m%d-%H%M%S");
    let id = (now.subsec_nanosecond().unsigned_abs() / 1000 + std::process::id()) & 0xffff;
    PathBuf::from(format!("runs/{label}-{stamp}-{id:04x}"))
}

/// Runs of schema 1 stored the command line alone: it is parsed again, in the folder where it was
/// typed, for its relative paths start there.
fn plan_of_schema_1(manifest: &Manifest) -> Result<Plan> {
    if std::env::set_current_dir(&manifest.directory).is_err() {
        eprintln!("note: `{}` is gone; relative paths start here", manifest.directory);
    }
    let words = std::iter::once("udvla-eval".to_owned()).chain(manifest.command.clone());
    let cli = Cli::try_parse_from(words)
        .context("this version does not understand the command that started the run")?;
    match cli.command {
        Command::Run(command) => plan_of_command(&command),
        _ => Err(Refused::new("the command that started the run names no benchmark").into()),
    }
}
