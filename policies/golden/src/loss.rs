//! Recomputes files of kind `loss`: the training loss and the norm of every weight's gradient.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tch::{Device, Kind, Tensor};
use udvla_policies::udvla::model::mask;
use udvla_policies::udvla::model::training::{self, Targets, UNSCORED, VisionWeight};

use crate::error::GoldenError;
use crate::file;
use crate::model::{ModelInputs, Recipe};

#[derive(Deserialize)]
struct Inputs {
    input_ids: Vec<i64>,
    labels: Vec<i64>,
    vision_loss_weight: f64,
}

/// `loss`, `gradient_norms` and `logits_dtype`.
pub(crate) fn recompute(file: &Value, device: Device) -> Result<Value, GoldenError> {
    let inputs: Inputs = file::inputs(file)?;
    let recipe = Recipe::new(&file::inputs::<ModelInputs>(file)?, inputs.input_ids.len())?;
    let (ids, labels) = checked(&inputs, &recipe)?;
    let mut leaves = vec![];
    let model = recipe.build(device, &mut |name, weight| {
        let leaf = weight.set_requires_grad(true);
        leaves.push((name.to_owned(), leaf.shallow_clone()));
        leaf
    })?;
    let runs = mask::released_runs(ids, recipe.ids());
    let targets = Targets::from_labels(labels);
    let weight = VisionWeight::new(inputs.vision_loss_weight, recipe.ids());
    let forward = || {
        let (states, _) = model.forward(ids, &runs, None)?;
        let logits = model.logits(&targets.select(&states)?)?;
        let kind = logits.kind();
        Ok::<_, tch::TchError>((training::released(&logits, &targets.ids, &weight, None)?, kind))
    };
    let (loss, kind) = forward().map_err(|error| GoldenError::model(&error))?;
    loss.f_backward().map_err(|error| GoldenError::model(&error))?;
    let norms: Map<String, Value> =
        leaves.into_iter().map(|(name, leaf)| (name, json!(norm(&leaf.grad())))).collect();
    let kind = match kind {
        Kind::Float => "torch.float32",
        _ => "torch.float64",
    };
    Ok(json!({
        "loss": loss.double_value(&[]),
        "gradient_norms": norms,
        "logits_dtype": kind,
    }))
}

/// Ids and labels without trailing padding, which is neither attended to nor scored.
fn checked<'a>(inputs: &'a Inputs, recipe: &Recipe) -> Result<(&'a [i64], &'a [i64]), GoldenError> {
    let (ids, labels) = (&inputs.input_ids, &inputs.labels);
    let vocabulary = 0..recipe.config.sizes.vocab_size;
    let pad = recipe.ids().pad_token_id;
    if ids.len() != labels.len() {
        return Err(GoldenError::value("labels", "has another length than `input_ids`"));
    }
    if ids.iter().any(|id| !vocabulary.contains(id)) {
        return Err(GoldenError::value("input_ids", "has an id outside the vocabulary"));
    }
    if labels.iter().any(|id| *id != UNSCORED && !vocabulary.contains(id)) {
        return Err(GoldenError::value("labels", "has an id outside the vocabulary"));
    }
    let padding = |(id, label): (&i64, &i64)| *id == pad && *label == UNSCORED;
    let used = ids.iter().zip(labels).rposition(|pair| !padding(pair)).map_or(0, |at| at + 1);
    if ids[..used].contains(&pad) {
        return Err(GoldenError::value("input_ids", "has padding before its end"));
    }
    if labels[..used].iter().skip(1).all(|label| *label == UNSCORED) {
        return Err(GoldenError::value("labels", "score nothing"));
    }
    Ok((&ids[..used], &labels[..used]))
}

fn norm(gradient: &Tensor) -> f64 {
    match gradient.defined() {
        true => gradient.to_kind(Kind::Double).square().sum(Kind::Double).double_value(&[]).sqrt(),
        false => 0.0,
    }
}
