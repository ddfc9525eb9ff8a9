//! What a benchmark is to the harness.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use anyhow::Result;
use clap::{ArgMatches, Command, FromArgMatches, ValueEnum};
use udvla_results::run::manifest::PlannedTask;
use udvla_sims::protocol::{Protocol, Suite};

use crate::environment::PythonEnvironment;
use crate::exit::Refused;

/// What the harness asks of a benchmark.
pub trait Benchmark: Sync {
    /// What it is.
    fn facts(&self) -> &'static Facts;

    /// The protocol and the episodes that the flags ask for.
    ///
    /// # Errors
    /// [`Refused`] when something asked for cannot work.
    fn select(&self, flags: &ArgMatches, choices: &Choices) -> Result<Selection>;

    /// The adapter's options and the worker's environment variables.
    ///
    /// # Errors
    /// [`Refused`] when files or drivers are missing.
    fn simulator(&self, flags: &ArgMatches, choices: &Choices) -> Result<Simulator>;

    /// What the user has to do after `setup`, as a hint.
    fn after_setup(&self) -> Option<String> {
        None
    }

    /// Prints the suites and their tasks for `list`.
    fn list(&self) {
        self.protocol().suites.iter().for_each(list_suite);
    }

    /// Its name.
    fn name(&self) -> &'static str {
        self.facts().name
    }

    /// The protocol, before any flag changes it.
    fn protocol(&self) -> Protocol {
        (self.facts().protocol)()
    }
}

/// The fixed facts of a benchmark.
pub struct Facts {
    /// Name of the subcommand, of the protocol's `benchmark`, and of the adapter package.
    pub name: &'static str,
    /// First line of the subcommand's help.
    pub about: &'static str,
    /// Whether help and lists show it.
    pub is_listed: bool,
    /// The protocol, before any flag changes it.
    pub protocol: fn() -> Protocol,
    /// The Python environment of its simulator.
    pub environment: &'static PythonEnvironment,
    /// Adds the flags that choose episodes and protocol.
    pub episode_flags: fn(Command) -> Command,
    /// Adds the flags that locate and configure the simulator.
    pub simulator_flags: fn(Command) -> Command,
    /// Name of the adapter option that holds the simulator's files, for `resume --data`.
    pub data_option: Option<&'static str>,
}

/// What the command line chose that does not belong to one benchmark.
#[derive(Debug, Clone, Default)]
pub struct Choices {
    /// Name of the policy.
    pub policy: String,
    /// Simulators that run at once.
    pub workers: Option<u16>,
    /// Whether another program stands in for the simulator, which then needs no files.
    pub without_files: bool,
}

/// The protocol and the episodes of a run.
#[derive(Debug, Clone)]
pub struct Selection {
    /// The protocol with the choices of the command line.
    pub protocol: Protocol,
    /// Tasks and trials, in the protocol's order.
    pub tasks: Vec<PlannedTask>,
    /// Beginning of the run directory's name.
    pub label: String,
    /// Most simulators that may run at once, where the protocol limits them.
    pub max_workers: Option<u16>,
}

/// How a benchmark's workers differ from another's.
#[derive(Debug, Clone, Default)]
pub struct Simulator {
    /// Options of the adapter.
    pub options: BTreeMap<String, String>,
    /// Environment variables of the worker.
    pub variables: BTreeMap<String, String>,
}

/// A value's name on the command line.
pub fn value_name(value: impl ValueEnum) -> String {
    value.to_possible_value().expect("no value is skipped").get_name().to_owned()
}

/// The planned tasks of a suite: those of `wanted` (all if empty), `trials` each.
pub(super) fn planned(suite: &Suite, wanted: &[u16], trials: u16) -> Vec<PlannedTask> {
    (0..)
        .zip(&suite.tasks)
        .filter(|(task, _)| wanted.is_empty() || wanted.contains(task))
        .map(|(task, instruction)| PlannedTask {
            suite: suite.name.clone(),
            task,
            instruction: instruction.clone(),
            trials,
            stages: suite.stages,
        })
        .collect()
}

fn list_suite(suite: &Suite) {
    let Suite { name, tasks, trials, max_steps, .. } = suite;
    println!("{name} ({} tasks x {trials} trials, at most {max_steps} steps)", tasks.len());
    for (index, task) in tasks.iter().enumerate() {
        println!("  {index}  {task}");
    }
}

/// The parsed flags of a group.
///
/// # Panics
/// If the group was not added to the command that was parsed.
pub(super) fn parsed<T: FromArgMatches>(matches: &ArgMatches) -> T {
    T::from_arg_matches(matches).expect("clap has checked the flags of this group")
}

/// A variable of the user's shell; workers see it only if the benchmark passes it on.
pub(super) fn shell(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

/// Prints a note; a closed stderr is not an error.
pub(super) fn note(text: Option<String>) {
    if let Some(text) = text {
        let _ = writeln!(std::io::stderr(), "note: {text}");
    }
}

/// The absolute path of a checkout: workers have a working directory of their own.
pub(super) fn checkout(of: &str, root: &Path, hint: &str) -> Result<String> {
    let root = root.canonicalize().map_err(|error| {
        let text = format!("there is no {of} checkout at `{}`", root.display());
        Refused::new(text).because(error).hint(hint)
    })?;
    Ok(root.to_string_lossy().into_owned())
}
