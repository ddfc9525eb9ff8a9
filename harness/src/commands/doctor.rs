//! `doctor`: does this machine run the benchmark?

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::ValueEnum;
use udvla_sims::episode::EpisodeKey;
use udvla_sims::observation::SimSpec;
use udvla_sims::process::{SimError, Worker, WorkerCommand};
use udvla_sims::protocol::{Protocol, Suite};
use udvla_sims::wire::{self, OpenConfig, Reply, Request};

use crate::calvin;
use crate::cli::{
    Benchmark, CalvinAdapter, CalvinSimulator, DoctorArguments, LiberoSimulator, SimplerAdapter,
    SimplerRenderer, SimplerSimulator,
};
use crate::exit::{Exit, Refused};
use crate::plan::{self, Simulator};
use crate::simpler;
use crate::subject;

const START: Duration = Duration::from_secs(600);
const STEP: Duration = Duration::from_secs(300);

/// Starts the simulator as a run would, plays three steps of each suite, or of each task where
/// there is one suite, and says what it saw.
///
/// # Errors
/// [`Refused`] when nothing of the benchmark can be run.
pub fn run(arguments: &DoctorArguments) -> Result<Exit> {
    let (protocol, simulator) = chosen(arguments)?;
    let scratch = std::env::temp_dir().join(format!("udvla-doctor-{}", std::process::id()));
    std::fs::create_dir_all(&scratch)?;
    let outcome = examine(&protocol, &simulator, &scratch, arguments.frames.as_deref());
    if outcome.is_ok() {
        let _ = std::fs::remove_dir_all(&scratch);
    }
    outcome
}

/// The benchmark's protocol, and its simulator as the benchmark's own command would start it.
fn chosen(arguments: &DoctorArguments) -> Result<(Protocol, Simulator)> {
    let DoctorArguments { assets, calvin_root, simpler_root, renderer, worker, .. } =
        arguments.clone();
    Ok(match arguments.benchmark {
        Benchmark::Libero => {
            let simulator = LiberoSimulator { assets, renderer, worker };
            (Protocol::libero(), plan::libero_simulator(&simulator)?)
        }
        Benchmark::Calvin => {
            let adapter = CalvinAdapter::Slim;
            let simulator = CalvinSimulator { calvin_root, renderer, adapter, worker };
            (Protocol::calvin(), calvin::simulator(&simulator)?)
        }
        Benchmark::Simpler => {
            let renderer = SimplerRenderer::from_str(&renderer, false).map_err(|_| {
                Refused::new(format!("SimplerEnv has no renderer `{renderer}`"))
                    .hint("pass auto, gpu or lavapipe")
            })?;
            let adapter = SimplerAdapter::Slim;
            let simulator = SimplerSimulator { simpler_root, adapter, renderer, worker };
            (Protocol::simpler(), simpler::simulator(&simulator)?)
        }
    })
}

fn examine(
    protocol: &Protocol,
    simulator: &Simulator,
    scratch: &Path,
    frames: Option<&Path>,
) -> Result<Exit> {
    let log = scratch.join("worker.log");
    let command = WorkerCommand { log: log.clone(), ..simulator.command.clone() };
    let config = OpenConfig {
        protocol: protocol.clone(),
        suites: vec![],
        images: true,
        last_look: false,
        video: false,
        scratch: scratch.to_string_lossy().into_owned(),
        options: simulator.options.clone(),
    };
    let begun = Instant::now();
    let (mut worker, ready) = Worker::open(&command, config, START, |_| {}).map_err(|error| {
        Refused::new(format!("the simulator does not start: {error}"))
            .hint(format!("its log is `{}`", log.display()))
    })?;
    let Reply::Ready { spec, setting, .. } = ready else { unreachable!("open returns Ready") };
    println!("✓ worker   ready in {:.1} s", begun.elapsed().as_secs_f64());
    for (name, value) in &setting {
        println!("           {name}: {value}");
    }
    let idle = subject::idle_action(protocol)?;
    let mut failed = 0;
    let samples = samples(protocol);
    for key in &samples {
        match play(&mut worker, &spec, (key, &idle), frames) {
            Ok(text) => println!("✓ {:<8} {text}", key.suite),
            Err(error) => {
                failed += 1;
                println!("✗ {:<8} task {}: {error:#}", key.suite, key.task);
                if error.downcast_ref::<SimError>().is_some_and(|error| !error.is_setup()) {
                    break;
                }
            }
        }
    }
    worker.close(Duration::from_secs(5));
    if failed == 0 {
        return Ok(Exit::Complete);
    }
    let missing = setting.get("assets").is_some_and(|assets| assets == "stand-ins");
    let hint = if missing {
        "the built-in stand-ins do not cover every suite; pass `--assets DIR` with LIBERO's own meshes and textures".to_owned()
    } else {
        format!("the worker's log is `{}`", log.display())
    };
    Err(Refused::new(format!("{failed} of {} episodes do not run here", samples.len()))
        .hint(hint)
        .into())
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
        "`{instruction}`: loaded in {loaded:.1} s, 3 steps and {} pictures ({}) in {:.2} s",
        images.len(),
        sizes.join(", "),
        begun.elapsed().as_secs_f64()
    ))
}

/// Writes the first observation's pictures as PNG.
fn save(
    folder: &Path,
    key: &EpisodeKey,
    spec: &SimSpec,
    sizes: &[(u32, u32)],
    body: &[u8],
) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let names: BTreeMap<usize, &str> =
        spec.cameras.iter().map(|camera| camera.name.as_str()).enumerate().collect();
    let mut rest = body;
    for (index, &(height, width)) in sizes.iter().enumerate() {
        let (rgb, after) = rest
            .split_at_checked(height as usize * width as usize * 3)
            .context("a picture that is cut short")?;
        rest = after;
        let name = names.get(&index).copied().unwrap_or("camera");
        let path = folder.join(format!("{key}-{name}.png"));
        let mut encoder = png::Encoder::new(File::create(&path)?, width, height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.write_header()?.write_image_data(rgb)?;
        println!("           wrote {}", path.display());
    }
    Ok(())
}
