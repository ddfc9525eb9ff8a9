//! `imagine`: one decision of the policy for the user's own images, as numbers and as an image.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail};
use serde_json::{Value, json};
use udvla_policies::udvla::decode::{Fixed, Step};
use udvla_policies::udvla::prompt::ImageDecoder;
use udvla_policies::udvla::{Checkpoint, UdVla, UdVlaOptions};
use udvla_policies::{Answer, Policy, PolicyInput};
use udvla_sims::episode::EpisodeKey;
use udvla_sims::observation::{Image, Observation};

use super::action_table::action_table;
use crate::cli::ImagineArguments;
use crate::exit::{Exit, Refused};
use crate::hub;
use crate::{cameras, images, policy};

/// Images in a strip.
const FRAMES: usize = 8;

/// Asks the policy once; prints the actions and writes the images.
///
/// # Errors
/// [`Refused`] for a checkpoint or images that do not fit, and for images that the model does not
/// generate.
pub fn run(arguments: &ImagineArguments) -> Result<Exit> {
    let mut options = arguments.model.options(&arguments.benchmark, &arguments.device)?;
    let unusable = |error| policy::refused("the checkpoint cannot be used", error);
    let checkpoint = Checkpoint::open(&hub::folder(&arguments.checkpoint, &hub::CHECKPOINT)?)
        .map_err(unusable)?;
    options.futures = checkpoint.manifest().target.has_images();
    if arguments.steps_film.is_some() {
        check_has_steps(&options)?;
    }
    let policy = UdVla::from_checkpoint(&checkpoint, &options).map_err(unusable)?;
    let row = row(arguments, &policy)?;
    let mut steps: Vec<Step> = vec![];
    let answers = policy
        .infer_watched(std::slice::from_ref(&row), &mut |_, step| steps.push(step.clone()))?;
    let [Answer::Chunk(decision)] = &answers[..] else { bail!("the model answers with a chunk") };
    print!("{}", action_table(&arguments.benchmark, &decision.actions));
    decision.remarks.iter().for_each(|remark| eprintln!("note: {}", remark.text));
    if options.futures {
        save(&arguments.out, &observed_and_predicted(&row.observation.images, &decision.future)?)?;
    } else {
        println!("no image: a checkpoint of target `null` generates none");
    }
    if let Some(file) = &arguments.steps_film {
        let entry = options.entry();
        let decoder = ImageDecoder::open(&checkpoint, &entry, &arguments.device);
        let (columns, rows) = film(&decoder.map_err(unusable)?, &steps)?;
        save(file, &images::labelled(&columns, &rows)?)?;
    }
    if let Some(file) = &arguments.trace {
        let text = trace(&policy, &arguments.instruction, &steps).to_string() + "\n";
        super::files::write_file(file, &text)?;
    }
    Ok(Exit::Complete)
}

/// Refuses a strip of denoising steps where there are none, or no images.
fn check_has_steps(options: &UdVlaOptions) -> Result<(), Refused> {
    let text = if !options.futures {
        "a checkpoint of target `null` generates no images for a strip".to_owned()
    } else if options.decoding.decoder.left_to_right {
        format!("decoding `{}` has no denoising steps", options.decoding.decoder)
    } else {
        return Ok(());
    };
    Err(Refused::new(text).hint("leave `--steps-film` out"))
}

/// A row per camera: the observed image in the model's size, and the predicted one.
fn observed_and_predicted(observed: &[Image], predicted: &[Image]) -> Result<Image> {
    let columns = ["observed now", "predicted after the actions"].map(str::to_owned);
    let rows: Vec<Vec<Image>> = observed
        .iter()
        .zip(predicted)
        .map(|(observed, predicted)| {
            let scaled = images::resize(observed, [predicted.height, predicted.width]);
            vec![scaled, predicted.clone()]
        })
        .collect();
    images::labelled(&columns, &images::enlarged(rows))
}

fn save(file: &Path, image: &Image) -> Result<()> {
    images::write(file, image)?;
    println!("wrote {}", file.display());
    Ok(())
}

fn row(arguments: &ImagineArguments, policy: &UdVla) -> Result<PolicyInput> {
    let seen = &policy.spec().cameras;
    let images = match arguments.image.as_slice() {
        [] => cameras::in_order(seen, &arguments.images)?,
        files => cameras::named(seen, files)?,
    };
    Ok(PolicyInput {
        key: EpisodeKey { suite: "imagine".into(), task: 0, trial: 0 },
        call: 0,
        seed: arguments.seed,
        seat: 0,
        observation: Observation {
            images,
            state: vec![],
            instruction: Arc::from(arguments.instruction.as_str()),
            stage: 0,
        },
    })
}

/// A column per chosen step, evenly apart and the last one included; a row per view.
fn film(decoder: &ImageDecoder, steps: &[Step]) -> Result<(Vec<String>, Vec<Vec<Image>>)> {
    // Independent diffusion takes its last steps with the actions alone.
    let steps: Vec<&Step> = steps.iter().filter(|step| decoder.covers(&step.sampled)).collect();
    let frames = FRAMES.min(steps.len());
    let (mut columns, mut rows) = (vec![], vec![]);
    for frame in 1..=frames {
        let step = steps[frame * steps.len() / frames - 1];
        // The schedule holds one position back after the last step, though its id is final.
        let masked = if frame == frames { &[][..] } else { &step.masked };
        let views = decoder.decode(&step.sampled, masked)?;
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
