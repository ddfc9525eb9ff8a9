//! `bench pipeline`: the whole harness, with simulators and a policy that only wait.

use std::ffi::OsString;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Parser as _;
use serde_json::{Value, json};
use udvla_policies::{Answer, Policy, PolicyError, PolicyInput, PolicySpec};
use udvla_sims::identity::{Setting, Subject};
use udvla_sims::observation::ActionChunk;

use crate::cli::{self, Cli, Command, PipelineArguments};
use crate::environment;
use crate::exit::Exit;
use crate::plan::Plan;
use crate::policy;
use crate::report::Show;
use crate::run::{self, Ending, Evaluated};

/// The part of the calls that is counted: at the end workers run out of episodes.
const COUNTED: f64 = 0.8;
/// Numbers per action of the simulator without Python.
const WIDTH: usize = 7;

/// Measures for each number of workers, and prints a line each.
///
/// # Errors
/// As a run; a run that did not end as it should.
pub fn run(arguments: &PipelineArguments) -> Result<Exit> {
    let mut rows = vec![];
    for &workers in &arguments.workers {
        let row = match measure(arguments, workers)? {
            Ok(row) => row,
            Err(exit) => return Ok(exit),
        };
        let number = |key: &str| row[key].as_f64().unwrap_or_default();
        eprintln!(
            "{workers} workers, batches of at most {}: policy busy {:.1} % of the time (possible \
             with these batches: {:.1} %), {:.2} rows per batch, {:.0} control steps/s, {:.1} µs of \
             the harness's processor time per control step",
            row["max_batch"],
            100.0 * number("busy"),
            100.0 * number("possible"),
            number("rows_per_batch"),
            number("steps_per_second"),
            number("harness_microseconds_per_step"),
        );
        rows.push(row);
    }
    let figures = json!({
        "latency_ms": arguments.latency,
        "latency_per_row_ms": arguments.latency_per_row,
        "step_ms": arguments.step_time,
        "chunk": arguments.chunk,
        "workers": rows,
        "conditions": super::conditions(),
    });
    super::write(&figures, arguments.out.as_deref())?;
    Ok(Exit::Complete)
}

/// The figures for a number of workers, or how a run that was stopped ends.
fn measure(arguments: &PipelineArguments, workers: u16) -> Result<Result<Value, Exit>> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let words = words(arguments, workers, &folder.path().join("run").into_os_string())?;
    let Command::Run(command) = Cli::try_parse_from(words)?.command else {
        bail!("the command is a run")
    };
    let plan = cli::plan_of_command(&command)?;
    let calls = Arc::new(Mutex::new(Vec::new()));
    let policy = Waiting::new(arguments, &plan, Arc::clone(&calls))?;
    let before = processor_seconds();
    let open = |_: &Plan| Ok(vec![Box::new(policy) as Box<dyn Policy>]);
    match run::evaluate_with(&plan, Show::Nothing, vec![], open)? {
        Evaluated::Played(Ending::Complete) => {}
        Evaluated::Played(ending) | Evaluated::NotStarted(ending) => {
            eprintln!("stopped with {workers} workers: {ending:?}");
            return Ok(Err(ending.exit()));
        }
    }
    let processor = processor_seconds() - before;
    let calls = calls.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Ok(figures(arguments, &plan, &calls, processor)))
}

/// The command line of a run on the simulator without Python.
fn words(arguments: &PipelineArguments, workers: u16, out: &OsString) -> Result<Vec<OsString>> {
    let fake = environment::beside("udvla-sim-fake")?;
    let micros = (1000.0 * arguments.step_time).round();
    let mut words: Vec<OsString> =
        ["udvla-eval", "libero", "--suite", "object", "--policy", "random"]
            .map(OsString::from)
            .to_vec();
    words.extend(["--simulator".into(), fake.into(), "--out".into(), out.clone()]);
    // Ten tasks, so at least ten episodes.
    let trials = (u32::from(workers) * u32::from(arguments.episodes)).div_ceil(10).clamp(1, 50);
    words.extend([
        format!("--sim-option=step_us={micros}").into(),
        format!("--workers={workers}").into(),
        format!("--trials={trials}").into(),
    ]);
    words.extend(arguments.max_batch.map(|rows| format!("--max-batch={rows}").into()));
    words.extend(arguments.batch_wait.map(|wait| format!("--batch-wait={wait}").into()));
    Ok(words)
}

fn figures(arguments: &PipelineArguments, plan: &Plan, calls: &[Call], processor: f64) -> Value {
    let counted = &calls[..((calls.len() as f64 * COUNTED) as usize).max(1)];
    let rows: usize = counted.iter().map(|call| call.rows).sum();
    let all: usize = calls.iter().map(|call| call.rows).sum();
    let window = (counted[counted.len() - 1].end - counted[0].begin).as_secs_f64();
    let inside: f64 = counted.iter().map(|call| (call.end - call.begin).as_secs_f64()).sum();
    let per_batch = rows as f64 / counted.len() as f64;
    let latency = 1e-3 * arguments.latency_of(per_batch);
    let playing = 1e-3 * arguments.step_time * f64::from(arguments.chunk);
    let chunk = f64::from(arguments.chunk);
    let workers = plan.execution.workers as f64;
    json!({
        "workers": plan.execution.workers,
        "max_batch": plan.execution.max_batch,
        "busy": inside / window,
        // A worker's round takes at least a call and a chunk, and a call answers this many rows.
        "possible": (workers * latency / (per_batch * (latency + playing))).min(1.0),
        "rows_per_batch": per_batch,
        "calls": calls.len(),
        "steps_per_second": rows as f64 * chunk / window,
        "harness_microseconds_per_step": 1e6 * processor / (all as f64 * chunk),
    })
}

/// One call of the policy.
#[derive(Debug, Clone, Copy)]
struct Call {
    begin: Instant,
    end: Instant,
    rows: usize,
}

/// A policy that looks, waits and moves a little.
struct Waiting {
    spec: PolicySpec,
    latency: Box<dyn Fn(usize) -> Duration + Send>,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Waiting {
    fn new(
        arguments: &PipelineArguments,
        plan: &Plan,
        calls: Arc<Mutex<Vec<Call>>>,
    ) -> Result<Self> {
        let spec = PolicySpec {
            name: "waiting".into(),
            cameras: policy::cameras(&plan.protocol).context("the protocol's cameras")?,
            chunk: arguments.chunk,
            action_width: WIDTH,
            subject: Subject { policy: Some("waiting".into()), ..Subject::default() },
            setting: Setting::default(),
        };
        let arguments = arguments.clone();
        let latency = move |rows| Duration::from_secs_f64(1e-3 * arguments.latency_of(rows as f64));
        Ok(Self { spec, latency: Box::new(latency), calls })
    }
}

impl Policy for Waiting {
    fn spec(&self) -> &PolicySpec {
        &self.spec
    }

    fn infer(&mut self, batch: &[PolicyInput]) -> Result<Vec<Answer>, PolicyError> {
        let begin = Instant::now();
        std::thread::sleep((self.latency)(batch.len()));
        // So slow that every episode is long.
        let numbers = vec![0.01; usize::from(self.spec.chunk) * WIDTH];
        let actions = ActionChunk { width: WIDTH, values: numbers };
        let answers = batch.iter().map(|_| Answer::Chunk(actions.clone().into())).collect();
        let call = Call { begin, end: Instant::now(), rows: batch.len() };
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
        Ok(answers)
    }
}

/// Processor time of this process, without its simulators.
fn processor_seconds() -> f64 {
    // SAFETY: the structure is plain data, and the call fills it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + 1e-6 * time.tv_usec as f64;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}
