//! `doctor`: what this machine has of everything that a run needs, in one table.

#[cfg(feature = "torch")]
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use crate::benchmarks::{self, Benchmark};
use crate::cli::{self, OverviewArguments, WorkerArguments};
use crate::exit::{self, Exit};
use crate::gpus;
#[cfg(feature = "torch")]
use crate::hub;
use crate::machine;
#[cfg(feature = "torch")]
use crate::model;
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
    // May replace the process, so before the first line. Without libtorch the row says why.
    #[cfg(feature = "torch")]
    let _ = model::code();
    let mut table = Table { rows: vec![], json: arguments.json };
    table.add(of_result("system", State::Broken, platform::check().map(|()| system())));
    table.add(memory());
    table.add(cards());
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

/// The NVIDIA cards, as `--device` and `--render-device` count them.
fn cards() -> Row {
    let part = "cards".to_owned();
    match gpus::visible() {
        Ok(cards) if cards.is_empty() => {
            let hidden = std::env::var("CUDA_VISIBLE_DEVICES").ok();
            let hidden = hidden.map(|value| format!(" with CUDA_VISIBLE_DEVICES={value}"));
            let text = format!("CUDA shows none{}", hidden.unwrap_or_default());
            Row { part, state: State::Absent, text, hint: None }
        }
        Ok(cards) => {
            let lines = cards.iter().map(|card| {
                format!(
                    "{card}{}",
                    if card.is_part() { ": a MIG part, which cannot draw" } else { "" }
                )
            });
            let text = lines.collect::<Vec<_>>().join("\n");
            Row { part, state: State::Ready, text, hint: None }
        }
        Err(reason) => Row {
            part,
            state: State::Broken,
            text: format!("NVIDIA's driver does not start: {reason}"),
            hint: Some("nvidia-smi".into()),
        },
    }
}

/// libtorch, the device that `--device auto` takes, and the checkpoint.
#[cfg(feature = "torch")]
fn policy_rows(arguments: &OverviewArguments, table: &mut Table) {
    let code = match model::code() {
        Ok(code) => code,
        Err(refused) => {
            table.add(of_result("libtorch", State::Broken, Err(refused.into())));
            return;
        }
    };
    let path = arguments.checkpoint.as_deref();
    for (part, fact) in (code.facts)(path) {
        table.add(of_result(part, State::Broken, fact));
    }
    if path.is_none() {
        let hint = "pass `--checkpoint DIR`, or `udvla-eval make-checkpoint DIR` for a small one to try with";
        table.add(Row {
            part: "checkpoint".into(),
            state: State::Absent,
            text: "none named".into(),
            hint: Some(hint.into()),
        });
    }
}

/// The facts for [`policy_rows`].
#[cfg(feature = "torch")]
pub(super) fn facts(path: Option<&Path>) -> Vec<(&'static str, Result<String>)> {
    use udvla_policies::udvla::device;

    let place = device::placement("auto", None).map(|place| {
        format!("{} ({})", device::device_name(place.device), device::dtype_name(place.kind))
    });
    let refused = |error| crate::preflight::refused("no device can be chosen", error).into();
    let mut facts = vec![
        ("libtorch", Ok(device::libtorch_version().to_owned())),
        ("device", place.map_err(refused)),
    ];
    facts.extend(path.map(|path| ("checkpoint", checkpoint(path))));
    facts
}

/// Name and benchmarks of a checkpoint.
#[cfg(feature = "torch")]
fn checkpoint(path: &Path) -> Result<String> {
    use udvla_policies::udvla::Checkpoint;

    let path = hub::folder(path, &hub::CHECKPOINT)?;
    let checked = Checkpoint::open(&path).and_then(|checkpoint| {
        checkpoint.config()?;
        let known: Vec<_> = checkpoint.manifest().benchmarks.keys().cloned().collect();
        Ok(format!("`{}` for {}", checkpoint.manifest().name, known.join(", ")))
    });
    let text = format!("the checkpoint `{}` cannot be used", path.display());
    Ok(checked.map_err(|error| crate::preflight::refused(text, error))?)
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
    match cli::default_simulator_plan(benchmark, &WorkerArguments::default()) {
        Ok(plan) => {
            let mut row = of_result(name, State::Broken, setting(benchmark, &plan));
            if row.text.contains("assets stand-ins") {
                row.hint = Some(format!("{} for its own", benchmarks::fetch_command(name)));
            }
            row
        }
        Err(error) => of_result(name, State::Absent, Err(error)),
    }
}

fn setting(benchmark: &dyn Benchmark, plan: &SimulatorPlan) -> Result<String> {
    let purpose = Purpose { suites: vec![], images: true, video: false };
    let simulator = Simulator::open(plan, &benchmark.protocol(), purpose)?;
    let fact = |name| Some(format!("{name} {}", simulator.setting.get(name)?));
    let mut facts: Vec<String> =
        ["renderer", "assets", "comparable"].into_iter().filter_map(fact).collect();
    facts.extend(simulator.setting.get("machine.renderer").map(|why| format!("because {why}")));
    simulator.close();
    Ok(format!("starts: {}", facts.join(", ")))
}
