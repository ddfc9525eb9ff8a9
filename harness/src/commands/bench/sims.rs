//! `bench sims`: what a simulator costs: its start, its resets, its control steps with and without
//! images, its memory.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use udvla_policies::{Answer, Policy, PolicyInput, weightless};
use udvla_sims::episode::EpisodeKey;
use udvla_sims::observation::{ActionChunk, Observation};
use udvla_sims::process::Worker;
use udvla_sims::protocol::Protocol;
use udvla_sims::tree;
use udvla_sims::wire::{self, Reply, Request};

use crate::benchmarks::{self, Benchmark};
use crate::cli::{self, SimsArguments};
use crate::exit::{Exit, Refused};
use crate::plan::SimulatorPlan;
use crate::simulator::{Purpose, Simulator};

/// Longest request.
const PATIENCE: Duration = Duration::from_secs(600);
/// Control steps per request, as many as the policy `random` and the published models execute at once.
const CHUNK: u32 = 10;

/// Measures `--workers` pairs of simulators at once, one of each pair with images, and writes the
/// figures.
///
/// # Errors
/// [`Refused`] for a simulator that does not start; a fault of one that runs.
pub fn run(arguments: &SimsArguments) -> Result<Exit> {
    let benchmark = benchmarks::find(&arguments.benchmark).context("clap knows the names")?;
    let plan = cli::default_simulator_plan(benchmark, &arguments.worker)?;
    let key = episode(&benchmark.protocol(), arguments)?;
    let begun = Instant::now();
    let pairs: Vec<Result<Pair>> = std::thread::scope(|scope| {
        let start = || scope.spawn(|| Pair::measure(benchmark, &plan, &key, arguments));
        let threads: Vec<_> = (0..arguments.workers).map(|_| start()).collect();
        threads.into_iter().map(|thread| thread.join().expect("it does not panic")).collect()
    });
    let wall = begun.elapsed().as_secs_f64();
    let pairs = pairs.into_iter().collect::<Result<Vec<_>>>()?;
    let kind = |of: fn(&Pair) -> &Figures| Figures::json(pairs.iter().map(of));
    let figures = json!({
        "benchmark": arguments.benchmark,
        "suite": key.suite,
        "task": key.task,
        "workers": arguments.workers,
        "without_images": kind(|pair| &pair.blind),
        "with_images": kind(|pair| &pair.seeing),
        "setting": pairs[0].setting,
        "wall_seconds": wall,
        "conditions": super::conditions(),
    });
    for (name, key) in [("without images", "without_images"), ("with images", "with_images")] {
        eprintln!("{}", line(name, &figures[key]));
    }
    super::write(&figures, arguments.out.as_deref())?;
    Ok(Exit::Complete)
}

/// The episode that is played again and again.
fn episode(protocol: &Protocol, arguments: &SimsArguments) -> Result<EpisodeKey, Refused> {
    let names: Vec<&str> = protocol.suites.iter().map(|suite| suite.name.as_str()).collect();
    let wanted = arguments.suite.as_deref().unwrap_or(names[0]);
    let suite = protocol.suites.iter().find(|suite| suite.name == wanted);
    let refused =
        |text: String| Refused::new(text).hint(format!("its suites are {}", names.join(", ")));
    let suite = suite.ok_or_else(|| refused(format!("there is no suite `{wanted}`")))?;
    if usize::from(arguments.task) >= suite.tasks.len() {
        let text = format!("suite `{wanted}` has {} tasks", suite.tasks.len());
        return Err(Refused::new(text).hint("they are counted from 0"));
    }
    Ok(EpisodeKey { suite: wanted.into(), task: arguments.task, trial: 0 })
}

/// Two simulators of which one draws, measured in turn.
struct Pair {
    blind: Figures,
    seeing: Figures,
    setting: Value,
}

impl Pair {
    fn measure(
        benchmark: &dyn Benchmark,
        plan: &SimulatorPlan,
        key: &EpisodeKey,
        arguments: &SimsArguments,
    ) -> Result<Self> {
        let protocol = benchmark.protocol();
        let open = |images| Measured::open(plan, &protocol, key, images);
        let mut both = [open(false)?, open(true)?];
        let mut random = weightless::open("random", &protocol)?.context("a known policy")?;
        for _ in 0..arguments.resets {
            both.iter_mut().try_for_each(Measured::reset)?;
        }
        for number in 0..u32::from(arguments.steps).div_ceil(CHUNK) {
            let actions = actions(random.as_mut(), key, number)?;
            both.iter_mut().try_for_each(|one| one.play(&actions))?;
        }
        let setting = json!(both[1].simulator.setting);
        let [blind, seeing] = both.map(Measured::close);
        Ok(Self { blind, seeing, setting })
    }
}

/// Seconds of each kind of request, by the wall's clock and of the processor.
#[derive(Debug, Default)]
struct Figures {
    start: Vec<[f64; 2]>,
    reset: Vec<[f64; 2]>,
    /// Per control step.
    step: Vec<[f64; 2]>,
    megabytes: f64,
}

impl Figures {
    /// The figures of several workers together.
    fn json<'a>(workers: impl Iterator<Item = &'a Self>) -> Value {
        let workers: Vec<&Self> = workers.collect();
        let both = |of: fn(&Self) -> &Vec<[f64; 2]>, factor: f64| {
            let column = |index: usize| {
                let all = workers.iter().flat_map(|worker| of(worker));
                super::spread(all.map(|seconds| factor * seconds[index]).collect())
            };
            json!({ "wall": column(0), "processor": column(1) })
        };
        let steps = workers.iter().flat_map(|worker| &worker.step);
        let (mut sum, mut count) = (0.0, 0);
        steps.for_each(|seconds| {
            sum += seconds[1];
            count += 1;
        });
        json!({
            "start_seconds": both(|figures| &figures.start, 1.0),
            "reset_seconds": both(|figures| &figures.reset, 1.0),
            "step_milliseconds": both(|figures| &figures.step, 1e3),
            "steps_per_processor_second": f64::from(count) / sum.max(1e-9),
            "megabytes": super::spread(workers.iter().map(|worker| worker.megabytes).collect()),
        })
    }
}

fn line(name: &str, figures: &Value) -> String {
    let median = |key: &str| figures[key]["processor"]["median"].as_f64().unwrap_or_default();
    format!(
        "{name}: start {:.1} s, reset {:.2} s, control step {:.1} ms, {:.0} MB",
        median("start_seconds"),
        median("reset_seconds"),
        // The mean: the kernel counts in ticks of 10 ms.
        1e3 / figures["steps_per_processor_second"].as_f64().unwrap_or(f64::NAN),
        figures["megabytes"]["median"].as_f64().unwrap_or_default(),
    )
}

/// A simulator, what it is asked and what that took.
struct Measured {
    simulator: Simulator,
    key: EpisodeKey,
    figures: Figures,
}

impl Measured {
    fn open(
        plan: &SimulatorPlan,
        protocol: &Protocol,
        key: &EpisodeKey,
        images: bool,
    ) -> Result<Self> {
        let begun = Instant::now();
        let purpose = Purpose { suites: vec![key.suite.clone()], images, video: false };
        let simulator = Simulator::open(plan, protocol, purpose)?;
        let (key, figures) = (key.clone(), Figures::default());
        let mut measured = Self { simulator, key, figures };
        // The first image of a process can cost more than all that is before it.
        measured.ask(&Request::Reset { key: measured.key.clone(), video: None }, &[])?;
        let processor = tree::processor_seconds(measured.simulator.worker.id());
        measured.figures.start.push([begun.elapsed().as_secs_f64(), processor]);
        Ok(measured)
    }

    fn reset(&mut self) -> Result<()> {
        let request = Request::Reset { key: self.key.clone(), video: None };
        let (seconds, _) = self.ask(&request, &[])?;
        self.figures.reset.push(seconds);
        Ok(())
    }

    fn play(&mut self, actions: &ActionChunk) -> Result<()> {
        let request = Request::Play { width: u16::try_from(actions.width)? };
        let (seconds, reply) = self.ask(&request, &wire::to_bytes(&actions.values))?;
        match reply {
            Reply::Observed { .. } => {
                let step = seconds.map(|seconds| seconds / actions.steps() as f64);
                self.figures.step.push(step);
            }
            // How many steps the last chunk had is not known; it counts for none.
            Reply::Finished { .. } => self.reset()?,
            other => bail!("the simulator answers with {other:?}"),
        }
        Ok(())
    }

    /// Seconds that a request took, and its reply.
    fn ask(&mut self, request: &Request, body: &[u8]) -> Result<([f64; 2], Reply)> {
        let worker: &mut Worker = &mut self.simulator.worker;
        let before = tree::processor_seconds(worker.id());
        let begun = Instant::now();
        let (reply, _) = worker.ask(request, body, PATIENCE)?;
        let wall = begun.elapsed().as_secs_f64();
        Ok(([wall, tree::processor_seconds(worker.id()) - before], reply))
    }

    fn close(mut self) -> Figures {
        self.figures.megabytes = tree::resident_bytes(self.simulator.worker.id()) as f64 / 1e6;
        self.simulator.close();
        self.figures
    }
}

/// Chunk number `call` of the policy `random`: the same in every measurement.
fn actions(random: &mut dyn Policy, key: &EpisodeKey, call: u32) -> Result<ActionChunk> {
    let observation =
        Observation { images: vec![], state: vec![], instruction: "".into(), stage: 0 };
    let input = PolicyInput { key: key.clone(), call, seed: 0, seat: 0, observation };
    match random.infer(&[input])?.remove(0) {
        Answer::Chunk(decision) => Ok(decision.actions),
        other => bail!("the policy `random` answers with {other:?}"),
    }
}
