//! `inspect`: validates a checkpoint, lists its contents, draws its attention masks.

use anyhow::{Context, Result};
use udvla_policies::udvla::inspect::{self, Part};
use udvla_policies::udvla::{Checkpoint, CheckpointError};
use udvla_results::out::plots;

use crate::cli::InspectArguments;
use crate::exit::{Exit, Refused};
use crate::hub;
use crate::masks;

/// Prints all parts; draws the masks when asked for.
///
/// # Errors
/// [`Refused`] when something is missing or wrong, after everything was printed.
pub fn run(arguments: &InspectArguments) -> Result<Exit> {
    let folder = hub::folder(&arguments.checkpoint, &hub::CHECKPOINT)?;
    let checkpoint = Checkpoint::open(&folder).map_err(|e| refused(arguments, e))?;
    let parts = inspect::inspect(&checkpoint);
    parts.iter().for_each(print);
    let faults: usize = parts.iter().map(|part| part.faults.len()).sum();
    if faults > 0 {
        let count = if faults == 1 { "one fault".into() } else { format!("{faults} faults") };
        let text = format!("the checkpoint `{}` has {count}", arguments.checkpoint.display());
        return Err(Refused::new(text).hint("docs/checkpoint.md says what belongs where").into());
    }
    if arguments.mask.is_some() {
        draw(arguments, &checkpoint)?;
    }
    Ok(Exit::Complete)
}

pub(super) fn print(part: &Part) {
    println!("{}", part.name);
    part.facts.iter().for_each(|fact| println!("  {fact}"));
    part.faults.iter().for_each(|fault| println!("  ! {fault}"));
}

fn draw(arguments: &InspectArguments, checkpoint: &Checkpoint) -> Result<()> {
    let Some(file) = &arguments.mask else { return Ok(()) };
    let first = checkpoint.manifest().benchmarks.keys().next();
    let name = arguments.benchmark.as_ref().or(first);
    let name = name.ok_or_else(|| Refused::new("the checkpoint knows no benchmark"))?;
    let parts = inspect::sequence_parts(checkpoint, name, &arguments.instruction);
    let parts = parts.map_err(|error| refused(arguments, error))?;
    let views = &checkpoint.manifest().benchmarks[name].layout.images;
    let cameras: Vec<&str> = views.iter().map(|view| view.camera.as_str()).collect();
    let own = checkpoint.config().and_then(|config| checkpoint.attention(&config)).ok();
    let svg = masks::svg(&parts, &cameras, own);
    let bytes = match file.extension().and_then(|ending| ending.to_str()) {
        Some("svg") => svg.into_bytes(),
        Some("png") => plots::png(&svg)?,
        _ => {
            let text = format!("`{}` ends neither in .svg nor in .png", file.display());
            return Err(Refused::new(text).into());
        }
    };
    std::fs::write(file, bytes).with_context(|| format!("cannot write `{}`", file.display()))
}

fn refused(arguments: &InspectArguments, error: CheckpointError) -> Refused {
    let hint = error.hint().unwrap_or_else(|| "docs/checkpoint.md says what belongs where".into());
    let text = format!("the checkpoint `{}` cannot be read", arguments.checkpoint.display());
    Refused::new(text).because(error).hint(hint)
}
