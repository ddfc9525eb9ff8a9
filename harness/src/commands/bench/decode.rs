//! `bench decode`: time per action chunk, by phase.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use udvla_policies::udvla::timing::Reading;
use udvla_policies::udvla::{
    Checkpoint, CheckpointError, Preset, Target, UdVla, UdVlaOptions, device, make_checkpoint,
    make_checkpoint_without_weights, products,
};
use udvla_policies::{Policy, PolicyInput, formula};
use udvla_sims::episode::EpisodeKey;
use udvla_sims::observation::{Camera, Image, Observation};

use crate::cli::DecodeArguments;
use crate::exit::Exit;
use crate::hub;
use crate::policy;

use super::figures::{self, Lap};
use crate::commands::files::write_file;

/// Measures, prints a line and writes the figures.
///
/// # Errors
/// [`Refused`] for what cannot be opened as asked.
pub fn run(arguments: &DecodeArguments) -> Result<Exit> {
    let policy = open(arguments)?;
    if let Some(threads) = arguments.threads {
        device::set_threads(threads);
    }
    let instruction = arguments.instruction.as_deref();
    let rows: Vec<PolicyInput> =
        (0..arguments.batch).map(|row| input(&policy, row, instruction)).collect();
    let mut laps = vec![];
    for index in 0..arguments.warm_up + arguments.repeats {
        let lap = measure(&policy, &rows, u32::from(index), arguments.seed)?;
        if index >= arguments.warm_up {
            laps.push(lap);
        }
    }
    let mut figures = figures::figures(arguments, &policy, &laps);
    eprintln!("{}", figures::line(&figures));
    if arguments.alone {
        figures["alone"] = alone(&policy, &rows)?;
        eprintln!("{}", figures::alone_line(&figures["alone"]));
    }
    super::write(&figures, arguments.out.as_deref())?;
    if let Some(file) = &arguments.case {
        let row = PolicyInput { seed: arguments.seed, ..rows[0].clone() };
        let mut case = policy.reference_case(&row)?;
        case["config"] = match arguments.checkpoint {
            Some(_) => Value::Null,
            None => arguments.model.model().to_json(),
        };
        write_file(file, &format!("{case}\n"))?;
    }
    Ok(Exit::Complete)
}

/// How many ids each row gets, and in how many they differ from those that it gets alone.
fn alone(policy: &UdVla, rows: &[PolicyInput]) -> Result<Value> {
    let together = policy.generate(rows)?;
    let differing = |(row, ids): (&PolicyInput, &Vec<i64>)| {
        let alone = policy.generate(std::slice::from_ref(row))?.remove(0);
        let at = |index: usize| ids.get(index) == alone.get(index);
        Ok((0..ids.len().max(alone.len())).filter(|&index| !at(index)).count())
    };
    let differing = rows.iter().zip(&together).map(differing).collect::<Result<Vec<_>>>()?;
    Ok(json!({
        "ids": together.iter().map(Vec::len).collect::<Vec<_>>(),
        "differing": differing,
    }))
}

fn open(arguments: &DecodeArguments) -> Result<UdVla> {
    let options = arguments.options.options(&arguments.benchmark, &arguments.device)?;
    let opened = match &arguments.checkpoint {
        Some(dir) => UdVla::open(&hub::folder(dir, &hub::CHECKPOINT)?, &options),
        None => synthetic(arguments.model, &options)?,
    };
    Ok(opened.map_err(|error| policy::refused("the model cannot be measured", error))?)
}

/// A synthetic model by way of a checkpoint in a temporary folder, which is gone when it is open.
fn synthetic(model: Preset, options: &UdVlaOptions) -> Result<Result<UdVla, CheckpointError>> {
    let dir = std::env::temp_dir().join(format!("udvla-bench-{}", std::process::id()));
    let opened = match model {
        Preset::Nano | Preset::Medium => make_checkpoint(model.name(), 0, Target::Future, &dir)
            .and_then(|()| UdVla::open(&dir, options)),
        Preset::Random8b => make_checkpoint_without_weights(Preset::Random8b, &dir)
            .and_then(|()| Checkpoint::open_with_random_weights(&dir))
            .and_then(|checkpoint| UdVla::from_checkpoint(&checkpoint, options)),
    };
    if dir.exists() {
        std::fs::remove_dir_all(&dir).context("cannot remove the temporary checkpoint")?;
    }
    Ok(opened)
}

fn measure(policy: &UdVla, rows: &[PolicyInput], call: u32, seed: u64) -> Result<Lap> {
    let rows: Vec<PolicyInput> =
        rows.iter().map(|row| PolicyInput { call, seed, ..row.clone() }).collect();
    let (start, before) = (Instant::now(), products());
    let clock = || Reading { wall: start.elapsed(), processor: processor_time() };
    let (_, phases) = policy.infer_timed(&rows, &mut |_, _| {}, &clock)?;
    Ok(Lap { phases, products: products() - before })
}

/// The time that this process has spent on processors, all threads together.
fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call only writes to the structure that it is given.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    assert_eq!(failed, 0, "every Linux has this clock");
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Input with noise for images, and the given instruction or one of a few of different lengths.
fn input(policy: &UdVla, row: u16, instruction: Option<&str>) -> PolicyInput {
    const INSTRUCTIONS: [&str; 4] = [
        "push the sliding door to the left side",
        "turn off the light bulb",
        "take the red block and rotate it to the right",
        "open the drawer",
    ];
    let instruction = instruction.unwrap_or(INSTRUCTIONS[usize::from(row) % INSTRUCTIONS.len()]);
    let image = |(view, camera): (usize, &Camera)| {
        let (height, width) = (camera.height, camera.width);
        let name = format!("bench/{row}/{view}");
        let series = formula::uniform(&name, (height * width * 3) as usize);
        Image { height, width, rgb: series.into_iter().map(|u| (u * 256.0) as u8).collect() }
    };
    PolicyInput {
        key: EpisodeKey { suite: "bench".into(), task: 0, trial: row },
        call: 0,
        seed: 0,
        seat: 0,
        observation: Observation {
            images: policy.spec().cameras.iter().enumerate().map(image).collect(),
            state: vec![],
            instruction: Arc::from(instruction),
            stage: 0,
        },
    }
}
