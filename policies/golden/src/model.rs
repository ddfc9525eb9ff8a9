//! Language models with weights from the formula.

use std::collections::HashMap;
use std::rc::Rc;

use serde::Deserialize;
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};
use udvla_policies::formula::language_weight;
use udvla_policies::udvla::CheckpointError;
use udvla_policies::udvla::checkpoint::{ModelConfig, Placement, SpecialIds};
use udvla_policies::udvla::model::Transformer;

use crate::error::GoldenError;
use crate::file::{LARGEST, LONGEST, numbers};

/// A file's model; defaults are those with which all files were made.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ModelInputs {
    /// Keys of a `config.json`.
    config: Option<Value>,
    /// `float64` or `float32`.
    dtype: Option<String>,
}

/// Configuration and number format of a model.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Recipe {
    /// Sizes and ids.
    pub config: ModelConfig,
    /// Number format of weights and activations.
    pub kind: Kind,
}

impl Recipe {
    /// The model of a file, for sequences of up to `positions`.
    pub fn new(inputs: &ModelInputs, positions: usize) -> Result<Self, GoldenError> {
        let mut config = json!({
            "vocab_size": 184_622, "hidden_size": 32, "intermediate_size": 64,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
            "rms_norm_eps": 1e-5, "rope_theta": 1e6, "max_position_embeddings": 2048,
        });
        if let Some(Value::Object(own)) = &inputs.config {
            own.iter().for_each(|(key, value)| config[key] = value.clone());
        }
        let limit = config["max_position_embeddings"].as_u64().unwrap_or(0);
        // A rotary table longer than the sequence changes nothing.
        let limit = limit.min(LONGEST as u64).max(positions as u64);
        config["max_position_embeddings"] = json!(limit);
        let config = ModelConfig::parse(&config.to_string(), "config".as_ref())
            .map_err(|error| GoldenError::value("config", error.to_string()))?;
        let shapes = Transformer::parameters(&config);
        if positions > LONGEST || numbers(shapes.iter().map(|(_, shape)| shape)) > LARGEST {
            let reason = "asks for a larger model or a longer sequence than golden files have";
            return Err(GoldenError::value("config", reason));
        }
        let kind = match inputs.dtype.as_deref() {
            None | Some("float64" | "f64" | "torch.float64") => Kind::Double,
            Some("float32" | "f32" | "torch.float32") => Kind::Float,
            Some(other) => {
                return Err(GoldenError::value(
                    "dtype",
                    format!("is `{other}`, not float64 or float32"),
                ));
            }
        };
        Ok(Self { config, kind })
    }

    /// Token ids with a meaning.
    pub fn ids(&self) -> &SpecialIds {
        &self.config.ids
    }

    /// Builds the model on a device, with every weight passed through `weight` first.
    pub fn build(
        &self,
        device: Device,
        weight: &mut dyn FnMut(&str, Tensor) -> Tensor,
    ) -> Result<Transformer, GoldenError> {
        let placement = Placement { device, kind: self.kind };
        let mut get = |name: &str, shape: &[i64]| -> Result<Tensor, CheckpointError> {
            let values = Tensor::from_slice(&language_weight(name, shape)).view(shape);
            Ok(weight(name, values.to_kind(self.kind).to_device(device)))
        };
        Transformer::build(&self.config, placement, &mut get)
            .map_err(|error| GoldenError::model(&error))
    }
}

/// Models built so far.
#[derive(Debug)]
pub(crate) struct Models {
    pub device: Device,
    built: HashMap<String, Rc<Transformer>>,
}

impl Models {
    /// An empty cache of models on `device`.
    pub fn new(device: Device) -> Self {
        Self { device, built: HashMap::new() }
    }

    /// The model of a recipe.
    pub fn get(&mut self, recipe: &Recipe) -> Result<Rc<Transformer>, GoldenError> {
        let key = format!("{:?} {}", recipe.kind, recipe.config.to_json());
        if let Some(model) = self.built.get(&key) {
            return Ok(model.clone());
        }
        let model = Rc::new(recipe.build(self.device, &mut |_, weight| weight)?);
        self.built.insert(key, model.clone());
        Ok(model)
    }
}
