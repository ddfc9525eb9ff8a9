//! The language model under training, and the weights of direct regression.

use std::collections::HashMap;

use tch::{Device, Kind, TchError, Tensor};

use super::config::TrainingConfig;
use super::demonstrations::ACTION;
use super::parameters::{Entries, normal};
use super::vision::grid;
use crate::udvla::checkpoint::{
    Attention, CheckpointError, ModelConfig, Placement, Sizes, SpecialIds,
};
use crate::udvla::model::Transformer;

/// Names of the regression's own weights.
pub(super) const REGRESSION: [&str; 2] = ["regression.weight", "regression.bias"];

/// Names and shapes of all weights.
pub(super) fn entries(config: &TrainingConfig, model: &ModelConfig) -> Entries {
    let outputs = i64::from(config.layout.horizon) * ACTION as i64;
    let mut entries = Transformer::parameters(model);
    entries.push((REGRESSION[0].into(), vec![outputs, config.policy.hidden_size]));
    entries.push((REGRESSION[1].into(), vec![outputs]));
    entries
}

/// Share of the variance by which ids of near codes, and of near coefficients, start alike.
const ALIKE: f64 = 0.9;

/// The initial value of a weight, a function of seed and name.
///
/// Ids of the codes start as their points of the grid do, in random directions, and those of the actions by
/// the order of the coefficients, both with some noise.
pub(super) fn initial(
    name: &str,
    shape: &[i64],
    config: &TrainingConfig,
    model: &ModelConfig,
    seed: u64,
) -> Tensor {
    let layers = config.policy.layers;
    let options = (Kind::Float, Device::Cpu);
    let &[_, inputs] = shape else {
        return match name {
            _ if name == REGRESSION[1] => Tensor::zeros(shape, options),
            _ => Tensor::ones(shape, options),
        };
    };
    let unit = (1.0 / inputs as f64).sqrt();
    let spread = match name {
        // The residual stream starts at about unit size, and its branches small.
        _ if name.contains("embed") => 0.5,
        _ if name.contains("o_proj") || name.contains("down_proj") => {
            unit / (2.0 * layers as f64).sqrt()
        }
        _ if name.contains("lm_head") => 0.5 * unit,
        _ => unit,
    };
    let values = normal(&format!("policy/{seed}/{name}"), shape) * spread;
    if name.contains("embed") || name.contains("lm_head") {
        let vision = &config.vision;
        let codes = grid(vision.levels, vision.sizes.embed_dim);
        let actions = model.ids.last_action_token_id - model.ids.eov_token_id;
        let starts =
            [(model.ids.bov_token_id, codes), (model.ids.eov_token_id + 1, waves(actions))];
        for (first, features) in starts {
            let size = features.square().sum(Kind::Float) / features.size()[0];
            let features = features * (ALIKE / size).sqrt();
            let directions = [features.size()[1], inputs];
            let directions = normal(&format!("policy/{seed}/{name}/{first}"), &directions) * spread;
            let mut rows = values.narrow(0, first, features.size()[0]);
            let noise = &rows * (1.0 - ALIKE).sqrt();
            rows.copy_(&(features.matmul(&directions) + noise));
        }
    }
    values
}

/// Sines and cosines of 1, 2, 4 and 8 half turns from the first of `count` to the last: `[count, 8]`.
fn waves(count: i64) -> Tensor {
    let places = Tensor::arange(count, (Kind::Float, Device::Cpu)) / (count - 1).max(1) as f64;
    let turns = Tensor::from_slice(&[1_f32, 2.0, 4.0, 8.0]) * std::f64::consts::PI;
    let angles = places.unsqueeze(1) * turns;
    Tensor::cat(&[angles.sin(), angles.cos()], 1)
}

/// The language model with these weights.
pub(super) fn transformer(
    config: &ModelConfig,
    tensors: &HashMap<String, Tensor>,
) -> Result<Transformer, TchError> {
    let placement = Placement { device: Device::Cpu, kind: Kind::Float };
    let mut load = |name: &str, _: &[i64]| Ok(tensors[name].shallow_clone());
    match Transformer::build(config, placement, &mut load) {
        Ok(model) => Ok(model),
        Err(CheckpointError::Torch { source, .. }) => Err(source),
        Err(other) => Err(TchError::Torch(other.to_string())),
    }
}

/// The chunk regressed from states `[b, d]`: `[b, horizon * width]`.
pub(super) fn regress(
    tensors: &HashMap<String, Tensor>,
    states: &Tensor,
) -> Result<Tensor, TchError> {
    states.f_linear(&tensors[REGRESSION[0]], Some(&tensors[REGRESSION[1]]))
}

/// Sizes of the language model for instructions of up to `longest_text` ids.
pub(super) fn model_config(
    config: &TrainingConfig,
    ids: SpecialIds,
    longest_text: usize,
) -> ModelConfig {
    let policy = &config.policy;
    let layout = &config.layout;
    let images: usize = layout.image_positions().iter().sum();
    let generated: usize = layout.generated_positions(config.target).iter().sum();
    let positions = 1 + longest_text + images + generated + layout.action_slots;
    let sizes = Sizes {
        vocab_size: ids.last_action_token_id + 1,
        hidden_size: policy.hidden_size,
        intermediate_size: policy.intermediate_size,
        num_hidden_layers: policy.layers,
        num_attention_heads: policy.heads,
        num_key_value_heads: policy.key_heads,
        rms_norm_eps: 1e-5,
        rope_theta: policy.rope_theta,
        max_position_embeddings: positions.next_multiple_of(64) as i64,
        tie_word_embeddings: false,
        qkv_bias: false,
        hidden_act: "silu".into(),
        use_blockwise_attn_mask: Some(config.attention == Attention::Released),
        use_bidirectional_attn_mask: Some(config.attention == Attention::ReleasedBidirectional),
    };
    ModelConfig { sizes, ids }
}
