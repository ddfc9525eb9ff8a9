//! Recomputes files of kind `vq`: the vision tokenizer's latent, codes and decoded image.

use std::collections::BTreeSet;
use std::convert::Infallible;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tch::{Device, Kind, Tensor};
use udvla_policies::formula::{uniform, vision_weight};
use udvla_policies::vision::{VisionConfig, VisionDecoder, VisionTokenizer};

use crate::error::GoldenError;
use crate::file::{self, LARGEST};

#[derive(Deserialize)]
struct Inputs {
    tag: String,
    config: VisionConfig,
    image_shape: Vec<i64>,
    embedding_scale: f64,
    embedding_offset: Vec<f64>,
    decoded_from_codes: Option<Decoded>,
    /// By default the image's own grid.
    codes_shape: Option<Vec<i64>>,
}

#[derive(Deserialize)]
struct Decoded {
    codes: Vec<i64>,
}

impl Inputs {
    /// The image's shape, where everything fits together.
    fn check(&self) -> Result<[i64; 4], GoldenError> {
        if let Some(fault) = self.config.fault() {
            return Err(GoldenError::value("config", fault));
        }
        let shapes = VisionTokenizer::parameters(&self.config);
        if file::numbers(shapes.iter().map(|(_, shape)| shape)) > LARGEST {
            return Err(GoldenError::value(
                "config",
                "is larger than a golden file's tokenizer can be",
            ));
        }
        let side = self.config.pixels_per_code();
        let [batch @ 1, channels, h, w] = self.image_shape[..] else {
            return Err(GoldenError::value("image_shape", "is not the shape of one image"));
        };
        if channels != self.config.in_channels || h < side || w < side || h % side + w % side != 0 {
            return Err(GoldenError::value("image_shape", "does not fit the tokenizer"));
        }
        if h.saturating_mul(w) > LARGEST / 64 {
            return Err(GoldenError::value("image_shape", "is larger than a golden file's image"));
        }
        if self.embedding_offset.len() as i64 != self.config.embed_dim {
            return Err(GoldenError::value("embedding_offset", "is not one number per dimension"));
        }
        Ok([batch, channels, h, w])
    }

    /// The grid of the codes to decode, [1, h, w].
    fn codes(&self, decoded: &Decoded, [h, w]: [i64; 2]) -> Result<Tensor, GoldenError> {
        let grid = self.codes_shape.clone().unwrap_or_else(|| vec![1, h, w]);
        let range = 0..self.config.codebook_size;
        let product = file::numbers([&grid]) == decoded.codes.len() as i64;
        let fits = grid.len() == 3 && grid.iter().all(|&side| side > 0) && product;
        if !fits || decoded.codes.iter().any(|code| !range.contains(code)) {
            return Err(GoldenError::value("decoded_from_codes.codes", "is not a grid of codes"));
        }
        Ok(Tensor::from_slice(&decoded.codes).reshape(&grid[..]))
    }
}

/// All outputs under their keys, including `parameters` and `buffers`: names and shapes of all
/// weights.
pub(crate) fn recompute(file: &Value, device: Device) -> Result<Value, GoldenError> {
    let inputs: Inputs = file::inputs(file)?;
    let [batch, channels, h, w] = inputs.check()?;
    let side = inputs.config.pixels_per_code();
    let book = (inputs.embedding_scale, &inputs.embedding_offset[..]);
    let mut weights = |name: &str, shape: &[i64]| -> Result<Tensor, Infallible> {
        Ok(Tensor::from_slice(&vision_weight(name, shape, book)).reshape(shape).to_device(device))
    };
    let count = (batch * channels * h * w) as usize;
    let pixels = uniform(&format!("vq-image/{}", inputs.tag), count);
    let pixels: Vec<f64> = pixels.iter().map(|u| 2.0 * u - 1.0).collect();
    let pixels = Tensor::from_slice(&pixels).reshape([batch, channels, h, w]).to_device(device);
    let mut outputs = tch::no_grad(|| {
        let Ok(tokenizer) = VisionTokenizer::load(&inputs.config, &mut weights);
        encoded(&tokenizer, &pixels)
    });
    if let Some(decoded) = &inputs.decoded_from_codes {
        let codes = inputs.codes(decoded, [h / side, w / side])?.to_device(device);
        outputs["decoded_from_codes"] = tch::no_grad(|| {
            let Ok(decoder) = VisionDecoder::load(&inputs.config, &mut weights);
            image_outputs(&decoder.decode(&codes))
        });
    }
    let [parameters, buffers] = listed(&inputs.config);
    outputs["parameters"] = parameters;
    outputs["buffers"] = buffers;
    Ok(outputs)
}

fn encoded(tokenizer: &VisionTokenizer, pixels: &Tensor) -> Value {
    let latent = tokenizer.latent(pixels); // [1, d, 1, h, w]
    let codes = tokenizer.encode(pixels); // [1, h, w]
    let ids = integers(&codes);
    json!({
        "latent": numbers(&latent),
        "latent_shape": latent.size(),
        "codes": ids,
        "codes_shape": codes.size(),
        "distinct_codes": ids.iter().collect::<BTreeSet<_>>().len(),
        "min_code_margin": tokenizer.margin(&latent),
    })
}

fn image_outputs(frame: &Tensor) -> Value {
    json!({
        "frame": numbers(frame),
        "shape": frame.size(),
        "mean": frame.mean(Kind::Double).double_value(&[]),
        "std": frame.std(true).double_value(&[]),
    })
}

/// Names and shapes of parameters and of buffers.
fn listed(config: &VisionConfig) -> [Value; 2] {
    let is_buffer = |name: &str| {
        ["running_mean", "running_var", "num_batches_tracked"]
            .iter()
            .any(|suffix| name.ends_with(suffix))
    };
    let all = VisionTokenizer::parameters(config);
    let (buffers, parameters): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|(name, _)| is_buffer(name));
    [parameters, buffers].map(|list| {
        let list = list.into_iter().map(|(name, shape)| (name, json!(shape)));
        Value::Object(list.collect::<Map<_, _>>())
    })
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.to_kind(Kind::Double).view(-1)).expect("one dimension of f64")
}

fn integers(tensor: &Tensor) -> Vec<i64> {
    Vec::try_from(tensor.view(-1)).expect("one dimension of i64")
}
