//! From what was typed, or from a run directory, to a plan.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
#[cfg(feature = "torch")]
use clap::ArgMatches;
use clap::Parser;
use udvla_results::run::damage::Damage;
use udvla_results::run::manifest::{Manifest, PlannedTask};
use udvla_results::run::part::{self, Part};
use udvla_sims::episode::EpisodeKey;

use super::benchmark::RunCommand;
use super::command::{Cli, Command};
#[cfg(feature = "torch")]
use super::model::{DeviceArguments, ModelArguments};
use super::published;
use super::run::{PolicyArguments, RunArguments, WorkerArguments};
use super::runs_folder::{self, RUNS};
use crate::benchmarks::{Benchmark, Choices, Selection};
use crate::environment;
use crate::exit::Refused;
#[cfg(feature = "torch")]
use crate::hub;
#[cfg(feature = "torch")]
use crate::plan::ModelPlan;
use crate::plan::{self, Controls, Execution, Overrides, Plan, PolicyPlan, SimulatorPlan, UDVLA};
use crate::platform;
use crate::preflight;
use crate::walls::Walls;

/// The plan of `udvla-eval BENCHMARK …`.
///
/// # Errors
/// [`Refused`] when something asked for cannot work.
pub fn plan_of_command(command: &RunCommand) -> Result<Plan> {
    let RunCommand { benchmark, flags, run, worker } = command;
    let selection = selection(command)?;
    let parts: Vec<Part> = run.part.into_iter().collect();
    let is_played = |key: &EpisodeKey| part::contain(&parts, key);
    let episodes = selection.tasks.iter().flat_map(PlannedTask::episodes).filter(is_played).count();
    let workers = run.workers.map(usize::from);
    let one_process =
        plan::check_one_process(&selection.protocol, workers, run.recycle, run.worker_memory)?;
    let controls = Controls { instruction: run.instruction, observation: run.observation };
    check_part(run, one_process, episodes)?;
    let mut walls = Walls::default();
    walls.pass(controls.check(&selection, one_process))?;
    if has_to_fetch(&run.tested) {
        // Nothing is fetched for a run that cannot start.
        let choices = Choices { tested: true, ..choices(run, worker) };
        walls.pass(simulator_plan(*benchmark, flags, worker, &choices))?;
        walls.finish()?;
        walls = Walls::default();
    }
    #[cfg(feature = "torch")]
    let own = or_own(&run.tested, *benchmark, flags, &selection.tasks)?;
    #[cfg(feature = "torch")]
    let tested = own.as_ref().unwrap_or(&run.tested);
    #[cfg(not(feature = "torch"))]
    let tested = &run.tested;
    let policy = walls.pass(policy(tested, benchmark.name()))?;
    if let Some(policy) = &policy {
        walls.pass(check_futures(run, policy))?;
        walls.pass(preflight::policy(policy))?;
    }
    let choices = Choices {
        suites: selection.suites(),
        tested: policy.as_ref().is_none_or(PolicyPlan::is_tested),
        ..choices(run, worker)
    };
    let published = walls.pass(published::row(run, benchmark.name()))?.flatten();
    let simulator = walls.pass(simulator_plan(*benchmark, flags, worker, &choices))?;
    walls.finish()?;
    let (policy, simulator) = policy.zip(simulator).expect("what is absent was refused");
    let label = match run.part {
        Some(part) => format!("{}-part-{}", selection.label, part.to_string().replace('/', "-of-")),
        None => selection.label,
    };
    Ok(Plan {
        protocol: selection.protocol,
        tasks: selection.tasks,
        parts,
        directory: run.out.clone().unwrap_or_else(|| new_directory(&label)),
        simulator,
        execution: execution(run, &policy, one_process, episodes),
        policy,
        controls,
        published,
        new_devices: false,
        damage: Damage::Refuse,
        take_over: run.take_over.into(),
    })
}

/// The protocol and the episodes that are asked for.
fn selection(command: &RunCommand) -> Result<Selection> {
    let RunCommand { benchmark, flags, run, worker } = command;
    let mut selection = benchmark.select(flags, &choices(run, worker))?;
    if let Some(limit) = run.limit {
        selection.tasks = plan::spread(selection.tasks, limit);
    }
    if selection.tasks.is_empty() {
        return Err(Refused::new("no task is left to run").into());
    }
    Ok(selection)
}

/// The episodes of `udvla-eval BENCHMARK …`, whether or not this machine could play them.
///
/// # Errors
/// [`Refused`] when something asked for does not exist.
pub fn episodes_of_command(command: &RunCommand) -> Result<Vec<EpisodeKey>> {
    Ok(selection(command)?.tasks.iter().flat_map(PlannedTask::episodes).collect())
}

/// Whether one part of the episodes can be played by itself.
fn check_part(run: &RunArguments, one_process: bool, episodes: usize) -> Result<()> {
    let Some(part) = run.part else { return Ok(()) };
    let refused = |text: &str, hint: &str| Err(Refused::new(text).hint(hint).into());
    match (one_process, run.stop_early.is_some(), episodes) {
        (true, ..) => refused(
            "`--reset-mode reference` runs all sequences in one process, which has no parts",
            "leave `--part` out, or use the default `--reset-mode isolated`",
        ),
        (_, true, _) => refused(
            "`--stop-early` decides about a whole run, not about a part of one",
            "leave one of `--stop-early` and `--part` out",
        ),
        (.., 0) => refused(
            &format!("none of the run's episodes is in part {part}"),
            "split the run into fewer parts",
        ),
        _ => Ok(()),
    }
}

fn check_futures(run: &RunArguments, policy: &PolicyPlan) -> Result<()> {
    let predicts = !matches!(policy, PolicyPlan::Weightless { .. } | PolicyPlan::Remote(_));
    if run.save_futures && !predicts {
        let text = format!("policy `{}` does not predict future images", policy.name());
        return Err(Refused::new(text).hint("`--save-futures` goes with `--policy udvla`").into());
    }
    Ok(())
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
    let Execution { workers, recycle, worker_memory, .. } = plan.execution;
    plan::check_one_process(&plan.protocol, Some(workers), recycle, worker_memory)?;
    plan.distrust(overrides)?;
    Ok(plan)
}

/// How the workers of a benchmark are started: with embedded Python, or the program given.
///
/// # Errors
/// [`Refused`] with all that is missing: its files, its Python, a driver, the system it runs on.
pub fn simulator_plan(
    benchmark: &dyn Benchmark,
    flags: &clap::ArgMatches,
    worker: &WorkerArguments,
    choices: &Choices,
) -> Result<SimulatorPlan> {
    let mut walls = Walls::default();
    let own = walls.pass(benchmark.simulator(flags, choices))?.unwrap_or_default();
    let mut python = None;
    if worker.simulator.is_none() {
        walls.pass(platform::check())?;
        let environment = benchmark.facts().environment;
        python = walls.pass(environment::python(environment, worker.python.as_deref()))?;
    }
    walls.finish()?;
    let mut options = own.options;
    options.extend(worker.sim_option.iter().cloned());
    if !worker.render_device.is_empty() {
        options.insert(plan::RENDER_DEVICE.into(), worker.render_device.join(","));
    }
    let program = worker.simulator.clone();
    let plan = SimulatorPlan { python, program, options, variables: own.variables };
    plan.command()?;
    plan.cards()?;
    Ok(plan)
}

/// How workers are started without flags of the benchmark's own.
///
/// # Errors
/// As [`simulator_plan`].
pub fn default_simulator_plan(
    benchmark: &dyn Benchmark,
    worker: &WorkerArguments,
) -> Result<SimulatorPlan> {
    let command = (benchmark.facts().simulator_flags)(clap::Command::new(benchmark.name()));
    let flags = command.try_get_matches_from([benchmark.name()])?;
    let choices = Choices { without_files: worker.simulator.is_some(), ..Choices::default() };
    simulator_plan(benchmark, &flags, worker, &choices)
}

fn choices(run: &RunArguments, worker: &WorkerArguments) -> Choices {
    Choices {
        policy: run.tested.policy.clone(),
        without_files: worker.simulator.is_some(),
        ..Choices::default()
    }
}

/// The plan of the policy that flags choose, on a benchmark.
///
/// # Errors
/// [`Refused`] when it lacks something.
#[cfg(feature = "torch")]
pub fn policy(tested: &PolicyArguments, benchmark: &str) -> Result<PolicyPlan> {
    if tested.policy != UDVLA {
        return other_policy(tested);
    }
    tested.server.refuse("udvla")?;
    let Some(checkpoint) = &tested.checkpoint else {
        return Err(Refused::new("policy `udvla` needs a checkpoint")
            .hint("pass `--checkpoint DIR`; `udvla-eval make-checkpoint DIR` writes a small one to try with, `--policy expert` needs none")
            .into());
    };
    let model = model_plan(checkpoint, &tested.device, &tested.model, benchmark)?;
    Ok(PolicyPlan::Udvla(Box::new(model)))
}

/// The policy that comes with the program, for UD-VLA without a checkpoint on episodes that it was
/// trained for.
///
/// # Errors
/// [`Refused`] without libtorch.
#[cfg(feature = "torch")]
fn or_own(
    tested: &PolicyArguments,
    benchmark: &dyn Benchmark,
    flags: &ArgMatches,
    tasks: &[PlannedTask],
) -> Result<Option<PolicyArguments>, Refused> {
    let is_open = tested.policy == UDVLA && tested.checkpoint.is_none();
    let own = if is_open { benchmark.own_checkpoint(flags, tasks) } else { None };
    let Some(own) = own.filter(|own| environment::own_checkpoint(own.name).is_ok()) else {
        return Ok(None);
    };
    // Where it is not here yet, the program that has it starts over and says this.
    crate::model::code()?;
    eprintln!(
        "note: no checkpoint is named: this is `{}`, a small policy for {} (docs/nano.md)",
        own.name, own.purpose
    );
    Ok(Some(PolicyArguments { checkpoint: Some(own.name.into()), ..tested.clone() }))
}

/// The model with the flags of a command.
///
/// # Errors
/// [`Refused`] for a flag of another decoder than the one asked for, for a checkpoint of the hub
/// that cannot be fetched, and without libtorch.
#[cfg(feature = "torch")]
pub fn model_plan(
    checkpoint: &Path,
    device: &DeviceArguments,
    model: &ModelArguments,
    benchmark: &str,
) -> Result<ModelPlan, Refused> {
    crate::model::code()?;
    let checkpoint = hub::folder(checkpoint, &hub::CHECKPOINT)?;
    let DeviceArguments { device, devices } = device;
    let devices = if devices.is_empty() { vec![device.clone()] } else { devices.clone() };
    Ok(ModelPlan {
        // One that is missing keeps its name for the error.
        checkpoint: checkpoint.canonicalize().unwrap_or(checkpoint),
        options: model.options(benchmark, &devices[0])?,
        devices,
    })
}

/// The plan of the policy that flags choose.
///
/// # Errors
/// [`Refused`] for one that this build lacks.
#[cfg(not(feature = "torch"))]
pub fn policy(tested: &PolicyArguments, _: &str) -> Result<PolicyPlan> {
    if tested.policy == UDVLA {
        return Err(Refused::new("this build has no libtorch, so it cannot run `udvla`")
            .hint("build with the feature `torch`, or use `--policy expert`, `random` or `idle`")
            .into());
    }
    other_policy(tested)
}

/// A policy on a server, or one without weights.
fn other_policy(tested: &PolicyArguments) -> Result<PolicyPlan> {
    if let Ok(address) = tested.policy.parse() {
        return Ok(PolicyPlan::Remote(Box::new(tested.server.plan(address)?)));
    }
    tested.server.refuse(&tested.policy)?;
    Ok(PolicyPlan::Weightless { name: tested.policy.clone() })
}

/// Whether the checkpoint is one of the hub.
#[cfg(feature = "torch")]
fn has_to_fetch(tested: &PolicyArguments) -> bool {
    tested.checkpoint.as_deref().is_some_and(hub::is_meant)
}

#[cfg(not(feature = "torch"))]
fn has_to_fetch(_: &PolicyArguments) -> bool {
    false
}

fn replicas(policy: &PolicyPlan) -> usize {
    match policy {
        PolicyPlan::Weightless { .. } | PolicyPlan::Remote(_) => 1,
        #[cfg(feature = "torch")]
        PolicyPlan::Udvla(model) => model.devices.len(),
    }
}

/// Observations per forward pass, at most, unless the user says otherwise.
const MAX_BATCH: usize = 8;

fn execution(
    run: &RunArguments,
    policy: &PolicyPlan,
    one_process: bool,
    episodes: usize,
) -> Execution {
    let (given, replicas) = (run.max_batch.map(usize::from), replicas(policy));
    // Twice the rows of all devices: one half steps while the other is with the policy.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let default = (2 * given.unwrap_or(MAX_BATCH) * replicas).min(cores);
    let default = if one_process { 1 } else { default };
    let workers = run.workers.map_or(default, usize::from).clamp(1, episodes.max(1));
    // A batch of more than half the workers would wait for those that are stepping; a server batches
    // by itself.
    let half = match policy {
        PolicyPlan::Remote(_) => MAX_BATCH,
        _ => (workers / (2 * replicas)).clamp(1, MAX_BATCH),
    };
    Execution {
        workers,
        max_batch: given.unwrap_or(half),
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
    match runs_folder::found(reference.into(), Path::new(RUNS)).canonicalize() {
        Ok(path) if reference != "paper" => path.to_string_lossy().into_owned(),
        _ => reference.to_owned(),
    }
}

/// `runs/<label>-<UTC date>-<four hexadecimal digits>`.
pub fn new_directory(label: &str) -> PathBuf {
    let now = jiff::Timestamp::now();
    let stamp = now.strftime("%Y%m%d-%H%M%S");
    let id = (now.subsec_nanosecond().unsigned_abs() / 1000 + std::process::id()) & 0xffff;
    Path::new(RUNS).join(format!("{label}-{stamp}-{id:04x}"))
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
