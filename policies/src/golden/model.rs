//! Language models with weights from the formula.

use std::collections::HashMap;
use std::rc::Rc;

use serde::Deserialize;
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};

use super::error::GoldenError;
use super::file::{LARGEST, LONGEST, numbers};
use super::formula::language_weight;
use crate::udvla::CheckpointError;
use crate::udvla::config::{ModelConfig, SpecialIds};
use crate::udvla::transformer::Transformer;
use crate::udvla::weights::Placement;

/// What a file may say of its model; what it leaves out is as all files were made.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct ModelInputs {
    /// Keys of a `config.json`.
    config: Option<Value>,
    /// `float64` or `float32`.
    dtype: Option<String>,
}

/// A model that is decided but not built.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Recipe {
    /// Sizes and ids.
    pub config: ModelConfig,
    /// Number format of weights and activations.
    pub kind: Kind,
}

impl Recipe {
    /// The model of a file, long enough for sequences of `positions`.
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
        // A longer table than the sequence changes nothing.
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

    /// The ids with a meaning.
    pub fn ids(&self) -> &SpecialIds {
        &self.config.ids
    }

    /// Builds the model on a device; `weight` sees every weight by its name before the model
    /// gets it.
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

/// Models that were built already.
#[derive(Debug)]
pub(super) struct Models {
    /// Where they are.
    pub device: Device,
    built: HashMap<String, Rc<Transformer>>,
}

impl Models {
    /// None yet, all on `device`.
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
