//! What a benchmark is to the harness.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{ArgMatches, Command, FromArgMatches, ValueEnum};
use udvla_results::run::manifest::PlannedTask;
use udvla_sims::protocol::{Protocol, Suite};

use super::range::{Numbers, contain};
use crate::assets::Catalog;
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

    /// Whether an episode of the protocol depends on those before it, so that one process has to
    /// play all of them in order.
    fn is_one_process(&self, _: &Protocol) -> bool {
        false
    }

    /// The trained checkpoint that comes with the program for these episodes.
    fn own_checkpoint(&self, _: &ArgMatches, _: &[PlannedTask]) -> Option<OwnCheckpoint> {
        None
    }

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
    /// The numbers of an action, in order.
    pub action: &'static [ActionNumber],
    /// The simulator's own files, where the package index does not have them.
    pub assets: Option<fn() -> Catalog>,
    /// How demonstrations by its expert are recorded, where they can be.
    pub demonstrations: Option<Demonstrations>,
    /// Memory of one simulator with a loaded scene, in megabytes, about.
    pub worker_megabytes: u32,
}

/// A checkpoint that comes with the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnCheckpoint {
    /// Its name.
    pub name: &'static str,
    /// What it was trained for.
    pub purpose: &'static str,
}

/// How demonstrations of a benchmark are recorded.
pub struct Demonstrations {
    /// Adds the flags that choose tasks.
    pub flags: fn(Command) -> Command,
    /// The tasks that they choose, with so many episodes each.
    pub tasks: fn(&ArgMatches, u16) -> Vec<PlannedTask>,
    /// Options of the adapter that draw initial states from a seed.
    pub options: fn(u64) -> BTreeMap<String, String>,
}

/// One number of an action: its name, as the adapter reports it, and its unit.
pub type ActionNumber = (&'static str, &'static str);

/// What the command line chose that does not belong to one benchmark.
#[derive(Debug, Clone, Default)]
pub struct Choices {
    /// Name of the policy.
    pub policy: String,
    /// Suites that are played; empty if unknown.
    pub suites: Vec<String>,
    /// Whether the results are to be believed: stand-ins for missing files are then used only if
    /// they were asked for.
    pub tested: bool,
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
}

impl Selection {
    /// Names of the suites that are played.
    pub fn suites(&self) -> Vec<String> {
        let mut names: Vec<String> = self.tasks.iter().map(|task| task.suite.clone()).collect();
        names.dedup();
        names
    }
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
pub(super) fn planned(suite: &Suite, wanted: &[Numbers], trials: u16) -> Vec<PlannedTask> {
    (0..)
        .zip(&suite.tasks)
        .filter(|(task, _)| wanted.is_empty() || contain(wanted, *task))
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

/// Prints a note.
pub(super) fn note(text: Option<String>) {
    if let Some(text) = text {
        eprintln!("note: {text}");
    }
}

/// The files of a benchmark: in the folder that the user names, else in the data folder; `None`
/// where they are nowhere.
///
/// # Errors
/// [`Refused`] when the named folder does not exist, or lacks files that the run opens.
pub(super) fn files(
    facts: &Facts,
    given: Option<&Path>,
    choices: &Choices,
) -> Result<Option<PathBuf>> {
    let catalog = (facts.assets.expect("a benchmark with files"))();
    let name = facts.name;
    let hint = format!("{}; or leave the folder out to use what it fetched", fetch_command(name));
    let Some(given) = given else {
        let root = catalog.installed(name)?;
        let faults = catalog.faults(&root, &choices.suites);
        if root.is_dir() && !faults.is_empty() {
            let (text, fetch) = (faults.text().0, fetch_command(name));
            note(Some(format!("`{}` {text}; `{fetch}` repairs it", root.display())));
        }
        return Ok(faults.is_empty().then_some(root));
    };
    let given = given.canonicalize().map_err(|error| {
        Refused::new(format!("there is no folder `{}` with {name}'s files", given.display()))
            .because(error)
            .hint(hint.clone())
    })?;
    let refused = |text: String| Refused::new(format!("`{}` {text}", given.display()));
    let Some(root) = catalog.locate(&given) else {
        let places = catalog.roots.iter().filter(|root| !root.is_empty());
        let places: Vec<_> = places.map(|root| format!("`{root}`")).collect();
        let text =
            format!("holds none of {name}'s files (looked in it and in {})", places.join(", "));
        return Err(refused(text).hint(hint).into());
    };
    let faults = catalog.faults(&root, &choices.suites);
    if faults.is_empty() {
        // Workers have a working directory of their own, so the path is absolute.
        return Ok(Some(root));
    }
    let (text, pointers) = faults.text();
    Err(refused(format!("{text} of {name}'s files"))
        .hint(pointers.map_or(hint, str::to_owned))
        .into())
}

/// The command that fetches a benchmark's files.
pub fn fetch_command(name: &str) -> String {
    format!("udvla-eval setup {name} {}", if name == "libero" { "--assets" } else { "--scene" })
}

/// The refusal for files that are nowhere.
pub(super) fn no_files(facts: &Facts, flag: &str, variable: &str) -> Refused {
    let name = facts.name;
    Refused::new(format!("{name}'s files (meshes, textures, scenes) are not on this machine")).hint(
        format!(
            "{}; or name a copy or a checkout with `{flag} DIR` or {variable}",
            fetch_command(name)
        ),
    )
}
