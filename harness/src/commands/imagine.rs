//! `imagine`: one decision about pictures of the user's own, as numbers and as pictures.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, bail};
use clap::Args;
use udvla_policies::udvla::checkpoint::Checkpoint;
use udvla_policies::udvla::imagination::Imagination;
use udvla_policies::udvla::jd3p::Step;
use udvla_policies::udvla::{Attention, CheckpointError, UdVla, UdVlaOptions};
use udvla_policies::{Answer, Policy, PolicyInput};
use udvla_sims::episode::EpisodeKey;
use udvla_sims::observation::{ActionChunk, Image, Observation};

use crate::exit::{Exit, Refused};
use crate::pictures;

/// Pictures of a film.
const FRAMES: usize = 8;

/// Arguments of `imagine`.
#[derive(Debug, Args)]
pub struct ImagineArguments {
    /// What the cameras see now, PNG files in the order of the benchmark's views
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<PathBuf>,
    /// What to do
    #[arg(long, value_name = "TEXT")]
    pub instruction: String,
    /// Directory with the policy's weights and tokenizers (see docs/checkpoint.md)
    #[arg(long, env = "UDVLA_CHECKPOINT", value_name = "DIR")]
    pub checkpoint: PathBuf,
    /// Whose views and slots: calvin, libero, simpler
    #[arg(long, default_value = "calvin", value_name = "NAME")]
    pub benchmark: String,
    /// Where the policy runs: auto, cpu, cuda:N
    #[arg(long, default_value = "auto", value_name = "DEVICE")]
    pub device: String,
    /// Number format of the weights: f32, bf16, f16 [bf16 on CUDA, f32 on a processor]
    #[arg(long, value_name = "DTYPE")]
    pub dtype: Option<String>,
    /// Denoising steps [the checkpoint's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub denoise_steps: Option<u16>,
    /// Attention mask: released, hybrid, released-bidirectional, causal [the checkpoint's]
    #[arg(long, value_name = "MASK")]
    pub attention: Option<String>,
    /// Seed of the sampling noise
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub seed: u64,
    /// Picture to write: per view what is seen now, and what is expected after the actions
    #[arg(short, long, default_value = "imagined.png", value_name = "FILE")]
    pub out: PathBuf,
    /// Also write a strip of the denoising, unknown positions in grey
    #[arg(long, value_name = "FILE")]
    pub steps_film: Option<PathBuf>,
}

/// Decides once; prints the actions and writes the pictures.
///
/// # Errors
/// [`Refused`] for a checkpoint or pictures that do not fit.
pub fn run(arguments: &ImagineArguments) -> Result<Exit> {
    let attention = arguments.attention.as_deref().map(str::parse::<Attention>).transpose();
    let options = UdVlaOptions {
        benchmark: arguments.benchmark.clone(),
        device: arguments.device.clone(),
        dtype: arguments.dtype.clone(),
        denoise_steps: arguments.denoise_steps,
        attention: attention.map_err(Refused::new)?,
        ..UdVlaOptions::default()
    };
    let checkpoint = Checkpoint::open(&arguments.checkpoint).map_err(refused)?;
    let policy = UdVla::of(&checkpoint, &options).map_err(refused)?;
    let imagination = Imagination::open(&checkpoint, &arguments.benchmark, &arguments.device);
    let imagination = imagination.map_err(refused)?;
    let row = row(arguments, &policy)?;
    let mut steps: Vec<Step> = vec![];
    let answers = policy
        .infer_watched(std::slice::from_ref(&row), &mut |_, step| steps.push(step.clone()))?;
    let [Answer::Chunk(chunk)] = &answers[..] else { bail!("the model answers with a chunk") };
    let Some(last) = steps.last() else { bail!("there is no denoising step") };
    let views = &checkpoint.benchmark(&arguments.benchmark).map_err(refused)?.layout.views;
    let seen = row.observation.images.iter().zip(views);
    let seen = seen.map(|(image, view)| pictures::resize(image, view.resized));
    let expected = imagination.views(&last.sampled, &[])?;
    let rows: Vec<Vec<Image>> = seen.zip(expected).map(|(a, b)| vec![a, b]).collect();
    pictures::write(&arguments.out, &pictures::grid(&rows))?;
    print(chunk);
    println!("wrote {}", arguments.out.display());
    if let Some(file) = &arguments.steps_film {
        pictures::write(file, &pictures::grid(&film(&imagination, &steps)?))?;
        println!("wrote {}", file.display());
    }
    Ok(Exit::Complete)
}

fn row(arguments: &ImagineArguments, policy: &UdVla) -> Result<PolicyInput> {
    let cameras = &policy.spec().cameras;
    if arguments.images.len() != cameras.len() {
        let names: Vec<_> = cameras.iter().map(|camera| format!("`{}`", camera.name)).collect();
        let text = format!(
            "`{}` looks at {} (in this order), {} pictures were given",
            arguments.benchmark,
            names.join(", "),
            arguments.images.len()
        );
        return Err(Refused::new(text).into());
    }
    let files = arguments.images.iter().zip(cameras);
    let images = files.map(|(file, camera)| {
        Ok(pictures::resize(&pictures::read(file)?, [camera.height, camera.width]))
    });
    Ok(PolicyInput {
        key: EpisodeKey { suite: "imagine".into(), task: 0, trial: 0 },
        call: 0,
        seed: arguments.seed,
        observation: Observation {
            images: images.collect::<Result<_>>()?,
            state: vec![],
            instruction: Arc::from(arguments.instruction.as_str()),
            stage: 0,
        },
    })
}

/// A column per chosen step, evenly apart and the last one included; a row per view.
fn film(imagination: &Imagination, steps: &[Step]) -> Result<Vec<Vec<Image>>> {
    let frames = FRAMES.min(steps.len());
    let mut rows: Vec<Vec<Image>> = vec![];
    for frame in 1..=frames {
        let step = &steps[frame * steps.len() / frames - 1];
        // The schedule holds one position back after the last step, though its id is final.
        let masked = if frame == frames { &[][..] } else { &step.masked };
        let views = imagination.views(&step.sampled, masked)?;
        rows.resize_with(views.len(), Vec::new);
        rows.iter_mut().zip(views).for_each(|(row, view)| row.push(view));
    }
    Ok(rows)
}

fn print(chunk: &ActionChunk) {
    for (step, action) in chunk.values.chunks_exact(chunk.width).enumerate() {
        let numbers: Vec<_> = action.iter().map(|value| format!("{value:8.4}")).collect();
        println!("{step:3}  {}", numbers.join(" "));
    }
}

fn refused(error: CheckpointError) -> Refused {
    let hint = error.hint().unwrap_or_else(|| "docs/checkpoint.md says what belongs where".into());
    Refused::new("the checkpoint cannot be used").because(error).hint(hint)
}
