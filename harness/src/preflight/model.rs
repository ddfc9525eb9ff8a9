//! The model's checkpoint and devices, before anything is loaded.

use anyhow::Result;
use udvla_policies::udvla::checkpoint::Placement;
use udvla_policies::udvla::{Checkpoint, CheckpointError, UdVla};

use crate::exit::Refused;
use crate::plan::ModelPlan;
use crate::walls::Walls;

/// Checks manifest, configuration and the settings for the benchmark, then the devices.
pub fn check(model: &ModelPlan) -> Result<()> {
    let path = model.checkpoint.display();
    let unfit = |error| refused(format!("the checkpoint `{path}` cannot be used"), error);
    let mut walls = Walls::default();
    let opened = Checkpoint::open(&model.checkpoint).and_then(|checkpoint| {
        checkpoint.benchmark(&model.options.entry())?;
        checkpoint.config()?;
        Ok(checkpoint)
    });
    if let Some(checkpoint) = walls.pass(opened.map_err(|error| unfit(error).into()))? {
        let places = UdVla::placements(&checkpoint, &model.options, &model.devices);
        let places = walls.pass(places.map_err(|error| unfit(error).into()))?;
        let mut remarks = places.iter().flatten().filter_map(Placement::remark);
        remarks.next().into_iter().for_each(|remark| eprintln!("note: {remark}"));
    }
    walls.finish()
}

/// The error of a checkpoint, with what to do about it.
pub fn refused(text: impl Into<String>, error: CheckpointError) -> Refused {
    let hint = error.hint().unwrap_or_else(|| "docs/checkpoint.md says what belongs where".into());
    Refused::new(text).because(error).hint(hint)
}
