//! `doctor`: what this machine has of everything that a run needs, in one table.

use anyhow::Result;
use serde::Serialize;

use crate::benchmarks::{self, Benchmark, Choices};
use crate::cli::{self, OverviewArguments, WorkerArguments};
use crate::exit::{self, Exit};
#[cfg(feature = "torch")]
use crate::hub;
use crate::machine;
use crate::plan::SimulatorPlan;
use crate::platform;
use crate::simulator::{Purpose, Simulator};

/// A line of the table.
#[derive(Debug, Serialize)]
struct Row {
    part: String,
    state: State,
    text: String,
    /// The command that mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

/// State of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// It works.
    Ready,
    /// It was not set up or not named, so nothing is wrong yet.
    Absent,
    /// It does not work.
    Broken,
}

/// Checks system, memory, libtorch, device, checkpoint and every simulator, and prints a line each.
///
/// Exit code 2 if anything that is set up does not work.
///
/// # Errors
/// A fault of the program or the machine.
pub fn run(arguments: &OverviewArguments) -> Result<Exit> {
    let mut table = Table { rows: vec![], json: arguments.json };
    table.add(of_result("system", State::Broken, platform::check().map(|()| system())));
    table.add(memory());
    policy_rows(arguments, &mut table);
    for benchmark in benchmarks::listed() {
        table.add(simulator(benchmark));
    }
    if table.json {
        println!("{}", serde_json::to_string_pretty(&table.rows)?);
    }
    let broken = table.rows.iter().any(|row| row.state == State::Broken);
    Ok(if broken { Exit::Refused } else { Exit::Complete })
}

/// The rows so far, printed as they come unless JSON is printed at the end.
struct Table {
    rows: Vec<Row>,
    json: bool,
}

impl Table {
    fn add(&mut self, row: Row) {
        if !self.json {
            let mark = match row.state {
                State::Ready => '✓',
                State::Absent => '-',
                State::Broken => '✗',
            };
            println!("{mark} {:<11}{}", row.part, row.text.replace('\n', "\n             "));
            if let Some(hint) = &row.hint {
                println!("             hint: {hint}");
            }
        }
        self.rows.push(row);
    }
}

/// A row that is ready, or in the state `otherwise` with the error's text and hint.
fn of_result(part: &str, otherwise: State, result: Result<String>) -> Row {
    let part = part.to_owned();
    match result {
        Ok(text) => Row { part, state: State::Ready, text, hint: None },
        Err(error) => {
            let (text, hint) = exit::texts(&error);
            Row { part, state: otherwise, text, hint }
        }
    }
}

fn system() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{} on {}, {cores} cores", std::env::consts::OS, std::env::consts::ARCH)
}

fn memory() -> Row {
    let gigabytes = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    let (state, text) = match machine::memory() {
        Some(memory) => (
            State::Ready,
            format!(
                "{:.1} of {:.1} GB available",
                gigabytes(memory.available),
                gigabytes(memory.total)
            ),
        ),
        None => (State::Absent, "the system does not report it".into()),
    };
    Row { part: "memory".into(), state, text, hint: None }
}

/// libtorch, the device that `--device auto` takes, and the checkpoint.
#[cfg(feature = "torch")]
fn policy_rows(arguments: &OverviewArguments, table: &mut Table) {
    use udvla_policies::udvla::{Checkpoint, device};

    let version = device::libtorch_version().to_owned();
    table.add(of_result("libtorch", State::Broken, Ok(version)));
    let place = device::placement("auto", None).map(|place| {
        format!("{} ({})", device::device_name(place.device), device::dtype_name(place.kind))
    });
    let refused = |error| crate::preflight::refused("no device can be chosen", error).into();
    table.add(of_result("device", State::Broken, place.map_err(refused)));
    let Some(path) = &arguments.checkpoint else {
        let hint = "pass `--checkpoint DIR`, or `udvla-eval make-checkpoint DIR` for a small one to try with";
        table.add(Row {
            part: "checkpoint".into(),
            state: State::Absent,
            text: "none named".into(),
            hint: Some(hint.into()),
        });
        return;
    };
    let path = match hub::folder(path, &hub::CHECKPOINT) {
        Ok(path) => path,
        Err(error) => {
            table.add(of_result("checkpoint", State::Broken, Err(error.into())));
            return;
        }
    };
    let checked = Checkpoint::open(&path).and_then(|checkpoint| {
        checkpoint.config()?;
        let known: Vec<_> = checkpoint.manifest().benchmarks.keys().cloned().collect();
        Ok(format!("`{}` for {}", checkpoint.manifest().name, known.join(", ")))
    });
    let text = format!("the checkpoint `{}` cannot be used", path.display());
    let refused = |error| crate::preflight::refused(text, error).into();
    table.add(of_result("checkpoint", State::Broken, checked.map_err(refused)));
}

#[cfg(not(feature = "torch"))]
fn policy_rows(_: &OverviewArguments, table: &mut Table) {
    table.add(Row {
        part: "libtorch".into(),
        state: State::Absent,
        text: "this build has none, so it cannot run `udvla`".into(),
        hint: Some("build with the feature `torch`".into()),
    });
}

/// Starts the simulator with default flags, as a run of a policy that sees would.
fn simulator(benchmark: &dyn Benchmark) -> Row {
    let name = benchmark.name();
    match plan(benchmark) {
        Ok(plan) => {
            let mut row = of_result(name, State::Broken, facts(benchmark, &plan));
            if row.text.contains("assets stand-ins") {
                row.hint = Some(format!("{} for its own", benchmarks::fetch_command(name)));
            }
            row
        }
        Err(error) => of_result(name, State::Absent, Err(error)),
    }
}

fn plan(benchmark: &dyn Benchmark) -> Result<SimulatorPlan> {
    let command = (benchmark.facts().simulator_flags)(clap::Command::new(benchmark.name()));
    let flags = command.try_get_matches_from([benchmark.name()])?;
    cli::simulator_plan(benchmark, &flags, &WorkerArguments::default(), &Choices::default())
}

fn facts(benchmark: &dyn Benchmark, plan: &SimulatorPlan) -> Result<String> {
    let purpose = Purpose { suites: vec![], images: true, video: false };
    let simulator = Simulator::open(plan, &benchmark.protocol(), purpose)?;
    let fact = |name| Some(format!("{name} {}", simulator.setting.get(name)?));
    let facts: Vec<String> =
        ["renderer", "assets", "comparable"].into_iter().filter_map(fact).collect();
    simulator.close();
    Ok(format!("starts: {}", facts.join(", ")))
}
