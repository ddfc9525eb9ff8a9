//! `bench decode`: how long the policy takes for an action chunk, and where the time goes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use udvla_policies::udvla::checkpoint::Checkpoint;
use udvla_policies::udvla::phases::{Phases, Reading};
use udvla_policies::udvla::presets::Preset;
use udvla_policies::udvla::{
    CheckpointError, Target, UdVla, UdVlaOptions, device, make_checkpoint,
    make_checkpoint_without_weights, products,
};
use udvla_policies::{Policy, PolicyInput, golden};
use udvla_sims::episode::EpisodeKey;
use udvla_sims::observation::{Camera, Image, Observation};

use crate::cli::ModelArguments;
use crate::exit::Exit;
use crate::model;

mod figures;

/// What can be measured.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Time action chunks: pictures and words in, actions out
    Decode(Box<DecodeArguments>),
}

/// Sizes of the models that need no download.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Model {
    /// Two layers of width 64
    Nano,
    /// Eight layers of width 512
    Medium,
    /// The published sizes, with weights that are drawn on the device
    #[value(name = "random-8b")]
    Random8b,
}

/// Arguments of `bench decode`.
#[derive(Debug, Args)]
pub struct DecodeArguments {
    /// Model with synthetic weights
    #[arg(long, value_enum, default_value_t = Model::Nano)]
    pub model: Model,
    /// Measure this checkpoint instead of a synthetic model
    #[arg(long, value_name = "DIR", conflicts_with = "model")]
    pub checkpoint: Option<PathBuf>,
    /// Whose views and slots: calvin, libero, simpler
    #[arg(long, default_value = "calvin", value_name = "NAME")]
    pub benchmark: String,
    /// The model's own
    #[command(flatten)]
    pub options: ModelArguments,
    /// Observations in one forward pass
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512))]
    pub batch: u16,
    /// libtorch's threads within an operation [half the cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Batches that are not measured
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub warm_up: u16,
    /// Batches that are measured
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub repeats: u16,
    /// Seed of the sampling noise
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub seed: u64,
    /// Afterwards decode each row of the batch alone too, and count the ids that differ
    #[arg(long)]
    pub alone: bool,
    /// File for the figures as JSON [standard output]
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Also write the first row's decoding to this file, for another implementation to repeat
    #[arg(long, value_name = "FILE")]
    pub case: Option<PathBuf>,
}

/// Measures, prints a line and writes the figures.
///
/// # Errors
/// [`Refused`] for what cannot be opened as asked.
pub fn run(arguments: &DecodeArguments) -> Result<Exit> {
    let policy = open(arguments)?;
    if let Some(threads) = arguments.threads {
        device::set_threads(threads);
    }
    let rows: Vec<PolicyInput> = (0..arguments.batch).map(|row| input(&policy, row)).collect();
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
    let text = format!("{figures:#}\n");
    match &arguments.out {
        Some(file) => write(file, &text)?,
        None => print!("{text}"),
    }
    if let Some(file) = &arguments.case {
        let row = PolicyInput { seed: arguments.seed, ..rows[0].clone() };
        let mut case = policy.case(&row)?;
        case["config"] = match arguments.checkpoint {
            Some(_) => Value::Null,
            None => preset(arguments.model).model().to_json(),
        };
        write(file, &format!("{case}\n"))?;
    }
    Ok(Exit::Complete)
}

fn write(file: &Path, text: &str) -> Result<()> {
    std::fs::write(file, text).with_context(|| format!("cannot write `{}`", file.display()))
}

/// How many ids each row gets, and in how many they differ from those that it gets alone.
fn alone(policy: &UdVla, rows: &[PolicyInput]) -> Result<Value> {
    let together = policy.generated(rows)?;
    let differing = |(row, ids): (&PolicyInput, &Vec<i64>)| {
        let alone = policy.generated(std::slice::from_ref(row))?.remove(0);
        let at = |index: usize| ids.get(index) == alone.get(index);
        Ok((0..ids.len().max(alone.len())).filter(|&index| !at(index)).count())
    };
    let differing = rows.iter().zip(&together).map(differing).collect::<Result<Vec<_>>>()?;
    Ok(json!({
        "ids": together.iter().map(Vec::len).collect::<Vec<_>>(),
        "differing": differing,
    }))
}

fn preset(model: Model) -> Preset {
    match model {
        Model::Nano => Preset::Nano,
        Model::Medium => Preset::Medium,
        Model::Random8b => Preset::Random8b,
    }
}

fn open(arguments: &DecodeArguments) -> Result<UdVla> {
    let options = model::options(&arguments.options, &arguments.benchmark)?;
    let opened = match &arguments.checkpoint {
        Some(dir) => UdVla::open(dir, &options),
        None => synthetic(arguments.model, &options)?,
    };
    Ok(opened.map_err(|error| model::refused("the model cannot be measured", error))?)
}

/// A synthetic model by way of a checkpoint in a temporary folder, which is gone when it is open.
fn synthetic(model: Model, options: &UdVlaOptions) -> Result<Result<UdVla, CheckpointError>> {
    let dir = std::env::temp_dir().join(format!("udvla-bench-{}", std::process::id()));
    let opened = match model {
        Model::Nano | Model::Medium => {
            make_checkpoint(&crate::plan::name(model), 0, Target::Future, &dir)
                .and_then(|()| UdVla::open(&dir, options))
        }
        Model::Random8b => make_checkpoint_without_weights(Preset::Random8b, &dir)
            .and_then(|()| Checkpoint::open_with_random_weights(&dir))
            .and_then(|checkpoint| UdVla::of(&checkpoint, options)),
    };
    if dir.exists() {
        std::fs::remove_dir_all(&dir).context("cannot remove the temporary checkpoint")?;
    }
    Ok(opened)
}

/// One answered batch.
struct Lap {
    phases: Phases,
    products: u64,
}

impl Lap {
    /// The phases by name, and their sum.
    fn named(&self) -> [(&'static str, Reading); 5] {
        let Phases { encode, prefill, denoise, decode } = self.phases;
        let parts = [encode, prefill, denoise, decode];
        let whole = Reading {
            wall: parts.iter().map(|part| part.wall).sum(),
            processor: parts.iter().map(|part| part.processor).sum(),
        };
        let names = ["encode", "prefill", "denoise", "decode"];
        let [a, b, c, d] = [0, 1, 2, 3].map(|index| (names[index], parts[index]));
        [("whole", whole), a, b, c, d]
    }
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

/// A row with noise for pictures and one of a few instructions of different lengths.
fn input(policy: &UdVla, row: u16) -> PolicyInput {
    const INSTRUCTIONS: [&str; 4] = [
        "push the sliding door to the left side",
        "turn off the light bulb",
        "take the red block and rotate it to the right",
        "open the drawer",
    ];
    let picture = |(view, camera): (usize, &Camera)| {
        let (height, width) = (camera.height, camera.width);
        let name = format!("bench/{row}/{view}");
        let series = golden::uniform(&name, (height * width * 3) as usize);
        Image { height, width, rgb: series.into_iter().map(|u| (u * 256.0) as u8).collect() }
    };
    PolicyInput {
        key: EpisodeKey { suite: "bench".into(), task: 0, trial: row },
        call: 0,
        seed: 0,
        observation: Observation {
            images: policy.spec().cameras.iter().enumerate().map(picture).collect(),
            state: vec![],
            instruction: Arc::from(INSTRUCTIONS[usize::from(row) % INSTRUCTIONS.len()]),
            stage: 0,
        },
    }
}
