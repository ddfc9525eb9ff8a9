//! `doctor BENCHMARK`: does this machine run the benchmark?

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use udvla_sims::body;
use udvla_sims::episode::EpisodeKey;
use udvla_sims::observation::SimSpec;
use udvla_sims::process::{SimError, Worker};
use udvla_sims::protocol::{Protocol, Suite};
use udvla_sims::wire::{self, Reply, Request};

use crate::benchmarks::Choices;
use crate::cli::{self, DoctorSimulator};
use crate::exit::{Exit, Refused};
use crate::images;
use crate::simulator::{Purpose, Simulator};

const STEP: Duration = Duration::from_secs(300);

/// Starts the simulator as a run would, plays three steps of each suite, or of each task where
/// there is one suite, and prints what it saw.
///
/// # Errors
/// [`Refused`] when a part of the benchmark cannot be run.
pub fn run(command: &DoctorSimulator) -> Result<Exit> {
    let DoctorSimulator { benchmark, flags, frames, worker } = command;
    let protocol = benchmark.protocol();
    let choices = Choices { without_files: worker.simulator.is_some(), ..Choices::default() };
    let plan = cli::simulator_plan(*benchmark, flags, worker, &choices)?;
    let begun = Instant::now();
    let purpose = Purpose { suites: vec![], images: true, video: false };
    let mut simulator = Simulator::open(&plan, &protocol, purpose)?;
    println!("✓ worker   ready in {:.1} s", begun.elapsed().as_secs_f64());
    for (name, value) in &simulator.setting {
        println!("           {name}: {value}");
    }
    let samples = samples(&protocol);
    let failed = play_samples(&mut simulator, &protocol, &samples, frames.as_deref())?;
    if failed == 0 {
        simulator.close();
        return Ok(Exit::Complete);
    }
    let log = simulator.close_and_keep_log();
    let hint = format!("the worker's log is `{}`", log.display());
    Err(Refused::new(format!("{failed} of {} episodes do not run here", samples.len()))
        .hint(hint)
        .into())
}

/// Plays the samples and prints a line each; returns how many failed.
fn play_samples(
    simulator: &mut Simulator,
    protocol: &Protocol,
    samples: &[EpisodeKey],
    frames: Option<&Path>,
) -> Result<usize> {
    let idle = protocol.environment.idle_action().context("the protocol's idle action")?;
    let Simulator { worker, spec, .. } = simulator;
    let mut failed = 0;
    for key in samples {
        match play(worker, spec, (key, &idle), frames) {
            Ok(text) => println!("✓ {:<8} {text}", key.suite),
            Err(error) => {
                failed += 1;
                println!("✗ {:<8} task {}: {error:#}", key.suite, key.task);
                // A simulator that broke is not used again.
                if error.downcast_ref::<SimError>().is_some_and(|error| !error.is_setup()) {
                    break;
                }
            }
        }
    }
    Ok(failed)
}

/// The first episode of each suite, or of each task of the only suite.
fn samples(protocol: &Protocol) -> Vec<EpisodeKey> {
    let tasks = |suite: &Suite| if protocol.suites.len() > 1 { 1 } else { suite.tasks.len() };
    let suites = protocol.suites.iter();
    let keys = suites.flat_map(|suite| {
        let key = |task| EpisodeKey { suite: suite.name.clone(), task: task as u16, trial: 0 };
        (0..tasks(suite)).map(key).collect::<Vec<_>>()
    });
    keys.collect()
}

/// Three idle control steps of an episode.
fn play(
    worker: &mut Worker,
    spec: &SimSpec,
    (key, idle): (&EpisodeKey, &[f32]),
    frames: Option<&Path>,
) -> Result<String> {
    let begun = Instant::now();
    let reset = Request::Reset { key: key.clone(), video: None };
    let (reply, body) = worker.ask(&reset, &[], STEP)?;
    let loaded = begun.elapsed().as_secs_f64();
    let Reply::Observed { images, instruction, .. } = reply else {
        anyhow::bail!("the episode ended before it began")
    };
    if let Some(folder) = frames {
        save(folder, key, spec, &images, &body)?;
    }
    let begun = Instant::now();
    let width = u16::try_from(spec.action.len()).context("the width of an action")?;
    let idle = wire::to_bytes(&idle.repeat(3));
    worker.ask(&Request::Play { width }, &idle, STEP)?;
    let sizes: Vec<String> = images.iter().map(|(h, w)| format!("{h}x{w}")).collect();
    Ok(format!(
        "`{instruction}`: loaded in {loaded:.1} s, 3 steps and {} images ({}) in {:.2} s",
        images.len(),
        sizes.join(", "),
        begun.elapsed().as_secs_f64()
    ))
}

/// Writes the images of the first observation as PNG.
fn save(
    folder: &Path,
    key: &EpisodeKey,
    spec: &SimSpec,
    sizes: &[(u32, u32)],
    bytes: &[u8],
) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let (seen, _) = body::parse_observed(sizes, spec.state.len(), bytes)?;
    for (index, image) in seen.iter().enumerate() {
        let camera = spec.cameras.get(index).map_or("camera", |camera| camera.name.as_str());
        let path = folder.join(format!("{key}-{camera}.png"));
        images::write(&path, image)?;
        println!("           wrote {}", path.display());
    }
    Ok(())
}
