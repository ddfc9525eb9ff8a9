//! `imagine`: one decision about pictures of the user's own, as numbers and as pictures.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::{Value, json};
use udvla_policies::udvla::UdVla;
use udvla_policies::udvla::checkpoint::Checkpoint;
use udvla_policies::udvla::imagination::Imagination;
use udvla_policies::udvla::jd3p::{Fixed, Step};
use udvla_policies::{Answer, Policy, PolicyInput};
use udvla_sims::episode::EpisodeKey;
use udvla_sims::observation::{ActionChunk, Image, Observation};

use crate::cli::ModelArguments;
use crate::exit::{Exit, Refused};
use crate::{model, pictures};

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
    /// The model's own
    #[command(flatten)]
    pub model: ModelArguments,
    /// Seed of the sampling noise
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub seed: u64,
    /// Picture to write: per view what is seen now, and what is expected after the actions
    #[arg(short, long, default_value = "imagined.png", value_name = "FILE")]
    pub out: PathBuf,
    /// Also write a strip of the denoising, unknown positions in grey
    #[arg(long, value_name = "FILE")]
    pub steps_film: Option<PathBuf>,
    /// Also write what each denoising step fixed, with the model's confidence, as JSON
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
}

/// Decides once; prints the actions and writes the pictures.
///
/// # Errors
/// [`Refused`] for a checkpoint or pictures that do not fit, and for pictures of what the model
/// does not generate.
pub fn run(arguments: &ImagineArguments) -> Result<Exit> {
    let mut options = model::options(&arguments.model, &arguments.benchmark)?;
    let unusable = |error| model::refused("the checkpoint cannot be used", error);
    let checkpoint = Checkpoint::open(&arguments.checkpoint).map_err(unusable)?;
    options.futures = checkpoint.manifest().target.has_views();
    if arguments.steps_film.is_some() && !options.futures {
        let text = "a checkpoint of target `null` generates no views to film";
        return Err(Refused::new(text).hint("leave `--steps-film` out").into());
    }
    if arguments.steps_film.is_some() && options.decoding.is_sequential() {
        let text = format!("decoding `{}` has no denoising steps", options.decoding.name());
        return Err(Refused::new(text).hint("leave `--steps-film` out").into());
    }
    let policy = UdVla::of(&checkpoint, &options).map_err(unusable)?;
    let row = row(arguments, &policy)?;
    let mut steps: Vec<Step> = vec![];
    let answers = policy
        .infer_watched(std::slice::from_ref(&row), &mut |_, step| steps.push(step.clone()))?;
    let [Answer::Chunk(decision)] = &answers[..] else { bail!("the model answers with a chunk") };
    print(&decision.actions);
    decision.remarks.iter().for_each(|remark| eprintln!("note: {}", remark.text));
    if options.futures {
        let seen = row.observation.images.iter().zip(&decision.future);
        let pair = |(seen, expected): (&Image, &Image)| {
            vec![pictures::resize(seen, [expected.height, expected.width]), expected.clone()]
        };
        let columns = ["seen now", "expected after the actions"].map(str::to_owned);
        let pairs: Vec<Vec<Image>> = seen.map(pair).collect();
        save(&arguments.out, &pictures::labelled(&columns, &pairs)?)?;
    } else {
        println!("no picture: a checkpoint of target `null` generates no views");
    }
    if let Some(file) = &arguments.steps_film {
        let entry = options.entry();
        let imagination = Imagination::open(&checkpoint, &entry, &arguments.model.device);
        let (columns, rows) = film(&imagination.map_err(unusable)?, &steps)?;
        save(file, &pictures::labelled(&columns, &rows)?)?;
    }
    if let Some(file) = &arguments.trace {
        let text = trace(&policy, &arguments.instruction, &steps).to_string() + "\n";
        super::write_file(file, &text)?;
    }
    Ok(Exit::Complete)
}

fn save(file: &Path, image: &Image) -> Result<()> {
    pictures::write(file, image)?;
    println!("wrote {}", file.display());
    Ok(())
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
fn film(imagination: &Imagination, steps: &[Step]) -> Result<(Vec<String>, Vec<Vec<Image>>)> {
    // Independent diffusion takes its last steps with the actions alone.
    let steps: Vec<&Step> = steps.iter().filter(|step| imagination.shows(&step.sampled)).collect();
    let frames = FRAMES.min(steps.len());
    let (mut columns, mut rows) = (vec![], vec![]);
    for frame in 1..=frames {
        let step = steps[frame * steps.len() / frames - 1];
        // The schedule holds one position back after the last step, though its id is final.
        let masked = if frame == frames { &[][..] } else { &step.masked };
        let views = imagination.views(&step.sampled, masked)?;
        rows.resize_with(views.len(), Vec::new);
        rows.iter_mut().zip(views).for_each(|(row, view): (&mut Vec<Image>, _)| row.push(view));
        columns.push(format!("step {} of {}", step.step, steps.len()));
    }
    Ok((columns, rows))
}

/// Every denoising step: what it fixed and how sure the model was.
fn trace(policy: &UdVla, instruction: &str, steps: &[Step]) -> Value {
    let fixed = |fixed: &Fixed| json!({ "position": fixed.position, "id": fixed.id, "confidence": fixed.confidence });
    let step = |step: &Step| {
        json!({
            "step": step.step,
            "temperature": step.temperature,
            "fixed": step.fixed.iter().map(fixed).collect::<Vec<_>>(),
            "masked": step.masked,
        })
    };
    json!({
        "subject": policy.spec().subject,
        "instruction": instruction,
        "steps": steps.iter().map(step).collect::<Vec<_>>(),
    })
}

fn print(chunk: &ActionChunk) {
    for (step, action) in chunk.values.chunks_exact(chunk.width).enumerate() {
        let numbers: Vec<_> = action.iter().map(|value| format!("{value:8.4}")).collect();
        println!("{step:3}  {}", numbers.join(" "));
    }
}
