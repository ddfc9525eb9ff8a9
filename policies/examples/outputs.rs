//! Prints the outputs of a folder's two networks for given inputs, to compare with another
//! implementation.
//!
//! `outputs FOLDER` reads the language model in `FOLDER/model`, the vision tokenizer in
//! `FOLDER/vision` and the inputs in `FOLDER/inputs.json`: `ids` with their `parts` and
//! `end_of_actions`, an image as `picture` (3 x h x w numbers in -1..=1, flat) with its `shape`, and
//! a grid of `codes`. It prints the logits of every position under each mask, the image's codes,
//! and the grid's image, in f32 on the CPU.

use std::error::Error;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};
use tch::{Device, Kind, Tensor};
use udvla_policies::udvla::checkpoint::{Attention, ModelConfig, Placement, WeightSource, Weights};
use udvla_policies::udvla::model::Transformer;
use udvla_policies::udvla::model::mask::Parts;
use udvla_policies::vision::{VisionConfig, VisionDecoder, VisionTokenizer};

type Outcome<T> = Result<T, Box<dyn Error>>;

const PLACEMENT: Placement = Placement { device: Device::Cpu, kind: Kind::Float };

fn main() -> Outcome<()> {
    let folder = std::env::args_os().nth(1).ok_or("usage: outputs FOLDER")?;
    let folder = Path::new(&folder);
    let inputs: Value = serde_json::from_str(&fs::read_to_string(folder.join("inputs.json"))?)?;
    let outputs = tch::no_grad(|| -> Outcome<Value> {
        let (codes, picture) = vision(&folder.join("vision"), &inputs)?;
        let logits = logits(&folder.join("model"), &inputs)?;
        Ok(json!({ "logits": logits, "codes": codes, "picture": picture }))
    })?;
    println!("{outputs}");
    Ok(())
}

/// Flat logits `[ids, vocabulary]` by mask.
fn logits(folder: &Path, inputs: &Value) -> Outcome<Value> {
    let file = folder.join("config.json");
    let config = ModelConfig::parse(&fs::read_to_string(&file)?, &file)?;
    let weights = WeightSource::Files(Weights::open(folder)?);
    let model = Transformer::load(&config, &weights, PLACEMENT)?;
    let ids: Vec<i64> = serde_json::from_value(inputs["ids"].clone())?;
    let count = |value: &Value| value.as_u64().map(|n| n as usize).ok_or("a count is missing");
    let parts = &inputs["parts"];
    let views = parts["views"].as_array().ok_or("views are missing")?;
    let views = views.iter().map(count).collect::<Result<_, _>>()?;
    let parts = Parts::new(count(&parts["text"])?, views, count(&parts["actions"])?);
    let mut by_mask = Map::new();
    for attention in Attention::ALL {
        let runs = attention.runs(&parts, Some(count(&inputs["end_of_actions"])?));
        let (states, _) = model.forward(&ids, &runs, None)?;
        by_mask.insert(attention.to_string(), json!(flat(&model.logits(&states)?)?));
    }
    Ok(by_mask.into())
}

/// Codes of the image, and image of the codes.
fn vision(folder: &Path, inputs: &Value) -> Outcome<(Vec<i64>, Vec<f64>)> {
    let config = VisionConfig::open(&folder.join("config.json"))?;
    let weights = Weights::open(folder)?;
    let mut get = |name: &str, shape: &[i64]| weights.tensor(name, shape, PLACEMENT);
    let tokenizer = VisionTokenizer::load(&config, &mut get)?;
    let decoder = VisionDecoder::load(&config, &mut get)?;
    let shape: Vec<i64> = serde_json::from_value(inputs["shape"].clone())?;
    let pixels: Vec<f32> = serde_json::from_value(inputs["picture"].clone())?;
    let codes = tokenizer.encode(&Tensor::from_slice(&pixels).reshape(&shape[..]));
    let grid: Vec<Vec<i64>> = serde_json::from_value(inputs["codes"].clone())?;
    let (rows, columns) = (grid.len() as i64, grid.first().map_or(0, Vec::len) as i64);
    let grid = Tensor::from_slice(&grid.concat()).reshape([1, rows, columns]);
    Ok((Vec::try_from(codes.reshape([-1]))?, flat(&decoder.decode(&grid))?))
}

fn flat(numbers: &Tensor) -> Outcome<Vec<f64>> {
    Ok(Vec::try_from(numbers.to_kind(Kind::Double).reshape([-1]))?)
}
