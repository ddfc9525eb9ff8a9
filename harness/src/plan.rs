//! From what was typed to what will run. Everything that cannot work is refused here.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use udvla_results::manifest::PlannedTask;
use udvla_sims::episode::EpisodeKey;
use udvla_sims::process::WorkerCommand;
use udvla_sims::protocol::{Protocol, Suite as ProtocolSuite};

use crate::cli::{LiberoArguments, LiberoSimulator, RunArguments, Suite, WorkerArguments};
use crate::environment::{self, LIBERO_LOCK};
use crate::exit::Refused;

/// A run, decided.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The environment's side.
    pub protocol: Protocol,
    /// Tasks and trials asked for, in the protocol's order.
    pub tasks: Vec<PlannedTask>,
    /// How workers are started.
    pub simulator: Simulator,
    /// Where the run goes.
    pub directory: PathBuf,
    /// Simulators that run at once.
    pub workers: usize,
    /// What all benchmarks share, as typed.
    pub run: RunArguments,
}

/// How workers are started and what their adapter is made with.
#[derive(Debug, Clone)]
pub struct Simulator {
    /// The executable and its arguments; the log is set per worker.
    pub command: WorkerCommand,
    /// The adapter's own options.
    pub options: BTreeMap<String, String>,
    /// SHA-256 of the adapters' sources; none for a simulator without Python.
    pub adapters: Option<String>,
}

impl Plan {
    /// Episodes asked for, long ones first so that none is left alone at the end.
    pub fn episodes(&self) -> Vec<EpisodeKey> {
        let steps = |task: &PlannedTask| {
            self.protocol.suite(&task.suite).map_or(0, |suite| suite.max_steps)
        };
        let mut tasks: Vec<&PlannedTask> = self.tasks.iter().collect();
        tasks.sort_by_key(|task| std::cmp::Reverse(steps(task)));
        tasks
            .into_iter()
            .flat_map(|task| {
                (0..task.trials).map(|trial| EpisodeKey {
                    suite: task.suite.clone(),
                    task: task.task,
                    trial,
                })
            })
            .collect()
    }

    /// Names of the suites that are played.
    pub fn suites(&self) -> Vec<String> {
        self.firsts().into_iter().map(|key| key.suite).collect()
    }

    /// The first episode of each suite.
    pub fn firsts(&self) -> Vec<EpisodeKey> {
        let mut tasks: Vec<&PlannedTask> = self.tasks.iter().collect();
        tasks.dedup_by_key(|task| &task.suite);
        let first = |task: &PlannedTask| EpisodeKey {
            suite: task.suite.clone(),
            task: task.task,
            trial: 0,
        };
        tasks.into_iter().map(first).collect()
    }

    /// Stages per episode of each suite.
    pub fn stages(&self) -> HashMap<String, u16> {
        self.tasks.iter().map(|task| (task.suite.clone(), task.stages)).collect()
    }

    /// Longest time for one simulator call.
    pub fn step_timeout(&self) -> Duration {
        Duration::from_secs_f64(self.run.step_timeout)
    }

    /// Longest time for a simulator to start.
    pub fn start_timeout(&self) -> Duration {
        Duration::from_secs_f64(self.run.start_timeout)
    }
}

/// The plan of `udvla-eval libero`.
///
/// # Errors
/// [`Refused`] when something asked for cannot work.
pub fn libero(arguments: LiberoArguments) -> Result<Plan> {
    let mut protocol = Protocol::libero();
    let mode = name(arguments.reset_mode);
    protocol.environment.insert("reset_mode".into(), mode.into());
    let wanted = suites(&protocol, &arguments.suite);
    let tasks = tasks(&wanted, &arguments.task, arguments.trials);
    let label = match arguments.suite.as_slice() {
        [one] if *one != Suite::All => format!("libero-{}", name(*one)),
        _ => "libero".into(),
    };
    let workers = workers(&arguments.run, tasks.iter().map(|task| usize::from(task.trials)).sum());
    Ok(Plan {
        protocol,
        tasks,
        simulator: libero_simulator(&arguments.simulator)?,
        directory: arguments.run.out.clone().unwrap_or_else(|| new_directory(&label)),
        workers,
        run: arguments.run,
    })
}

/// How LIBERO's workers are started.
///
/// # Errors
/// [`Refused`] when the worker, its Python or the adapters are missing.
pub fn libero_simulator(arguments: &LiberoSimulator) -> Result<Simulator> {
    let mut options = BTreeMap::from([("renderer".into(), arguments.renderer.clone())]);
    options.extend(arguments.assets.as_ref().map(|assets| ("assets".into(), assets.clone())));
    worker_command("libero", LIBERO_LOCK, &arguments.worker, options)
}

/// How the workers of a benchmark are started: embedded Python, or the program that was given.
///
/// # Errors
/// [`Refused`] when the worker, its Python or the adapters are missing.
pub(crate) fn worker_command(
    benchmark: &str,
    lock: &str,
    arguments: &WorkerArguments,
    mut options: BTreeMap<String, String>,
) -> Result<Simulator> {
    options.extend(arguments.sim_option.iter().cloned());
    let (program, words, adapters) = match &arguments.simulator {
        Some(program) => (program.clone(), vec![], None),
        None => {
            let python = environment::python(benchmark, lock, arguments.python.as_deref())?;
            let adapters = environment::adapters()?;
            let digest = environment::adapters_digest(&adapters)?;
            let words = [&python, &adapters].map(|path| path.to_string_lossy().into_owned());
            (environment::worker()?, words.to_vec(), Some(digest))
        }
    };
    let command = WorkerCommand {
        program,
        arguments: words,
        environment: BTreeMap::new(),
        log: PathBuf::new(),
    };
    Ok(Simulator { command, options, adapters })
}

fn suites<'a>(protocol: &'a Protocol, asked: &[Suite]) -> Vec<&'a ProtocolSuite> {
    let all = asked.contains(&Suite::All);
    let names: Vec<String> = asked.iter().map(|suite| name(*suite)).collect();
    protocol.suites.iter().filter(|suite| all || names.contains(&suite.name)).collect()
}

fn tasks(suites: &[&ProtocolSuite], asked: &[u16], trials: Option<u16>) -> Vec<PlannedTask> {
    let task = |suite: &ProtocolSuite, task: u16, instruction: &String| PlannedTask {
        suite: suite.name.clone(),
        task,
        instruction: instruction.clone(),
        trials: trials.unwrap_or(suite.trials).min(suite.trials),
        stages: suite.stages,
    };
    suites
        .iter()
        .flat_map(|suite| {
            (0..).zip(&suite.tasks).map(move |(index, text)| task(suite, index, text))
        })
        .filter(|task| asked.is_empty() || asked.contains(&task.task))
        .collect()
}

/// Twice the rows of all devices, so that one half steps while the other is with the policy; never more than
/// the cores or the episodes.
pub(crate) fn workers(run: &RunArguments, episodes: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let rows = usize::from(run.max_batch) * run.devices.len().max(1);
    let wanted = run.workers.map_or((2 * rows).min(cores), usize::from);
    wanted.clamp(1, episodes.max(1))
}

/// `runs/<label>-<UTC date>-<four hexadecimal digits>`.
pub(crate) fn new_directory(label: &str) -> PathBuf {
    let now = jiff::Timestamp::now();
    let stamp = now.strftime("%Y%m%d-%H%M%S");
    let id = (now.subsec_nanosecond().unsigned_abs() / 1000 + std::process::id()) & 0xffff;
    PathBuf::from(format!("runs/{label}-{stamp}-{id:04x}"))
}

/// A value's name on the command line.
pub fn name(value: impl clap::ValueEnum) -> String {
    value.to_possible_value().expect("no value is skipped").get_name().to_owned()
}

/// Refuses trial counts, suites or tasks that leave nothing to run.
///
/// # Errors
/// [`Refused`] when the plan is empty.
pub fn not_empty(plan: &Plan) -> Result<()> {
    if plan.tasks.is_empty() {
        return Err(Refused::new("no task is left to run").into());
    }
    Ok(())
}
