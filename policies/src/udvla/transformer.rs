//! The language model: a Llama-shaped decoder whose attention mask is given as runs.
//!
//! One row at a time: what a row becomes then cannot depend on its neighbours in a batch, not
//! even in the last bit, and rows of different text lengths need no padding.
//!
//! Source: `Emu3MoE` of the released code (without the flow-matching parts, which no published
//! configuration creates); weight names and mathematics are Llama's.

use std::ops::Range;

use tch::{Device, Kind, TchError, Tensor};

use super::attention::Run;
use super::config::ModelConfig;
use super::error::CheckpointError;
use super::layers::{Context, Get, Layer, Norm, linear, loading};
use super::weights::{Placement, Weights};

/// The language model on its device.
#[derive(Debug)]
pub struct Transformer {
    embedding: Tensor, // [vocab, d]
    layers: Vec<Layer>,
    norm: Norm,
    head: Tensor,        // [vocab, d]
    rotary: [Tensor; 2], // cos, sin: [positions, head]
    placement: Placement,
}

/// Keys and values of leading positions whose states do not change.
#[derive(Debug)]
pub struct Cache {
    positions: usize,
    layers: Vec<[Tensor; 2]>, // keys (rotated) and values: [1, key heads, positions, head]
}

impl Cache {
    /// How many positions it holds.
    pub fn positions(&self) -> usize {
        self.positions
    }
}

impl Transformer {
    /// Loads the model from its weight files.
    ///
    /// # Errors
    /// A tensor that is missing, has another shape or number format than it should, or belongs to
    /// a layer that the configuration does not have.
    pub fn load(
        config: &ModelConfig,
        weights: &Weights,
        placement: Placement,
    ) -> Result<Self, CheckpointError> {
        let sizes = &config.sizes;
        let surplus = weights.names().find(|(name, _)| {
            let layer = name.strip_prefix("model.layers.").and_then(|rest| rest.split('.').next());
            layer.and_then(|index| index.parse().ok()) >= Some(sizes.num_hidden_layers)
        });
        if let Some((tensor, file)) = surplus {
            let (tensor, file) = (tensor.to_owned(), file.to_owned());
            return Err(CheckpointError::SurplusTensor { file, tensor });
        }
        Self::build(config, placement, &mut |name, shape| weights.tensor(name, shape, placement))
    }

    /// Builds the model from `get`, which gives the tensor of a name in a shape, already placed.
    ///
    /// # Errors
    /// Whatever `get` answers, and what libtorch refuses.
    pub fn build(
        config: &ModelConfig,
        placement: Placement,
        get: &mut Get<'_>,
    ) -> Result<Self, CheckpointError> {
        let sizes = &config.sizes;
        let table = [sizes.vocab_size, sizes.hidden_size];
        let epsilon = sizes.rms_norm_eps;
        let layers = 0..sizes.num_hidden_layers;
        Ok(Self {
            embedding: get("model.embed_tokens.weight", &table)?,
            layers: layers
                .map(|index| Layer::build(config, index, get))
                .collect::<Result<_, _>>()?,
            norm: Norm { weight: get("model.norm.weight", &[sizes.hidden_size])?, epsilon },
            head: get("lm_head.weight", &table)?,
            rotary: rotary_table(config, placement).map_err(loading("the rotary table"))?,
            placement,
        })
    }

    /// Names and shapes of all its weights.
    pub fn parameters(config: &ModelConfig) -> Vec<(String, Vec<i64>)> {
        let sizes = &config.sizes;
        let (d, inner) = (sizes.hidden_size, sizes.intermediate_size);
        let keys = sizes.num_key_value_heads * config.head_size();
        let mut parameters =
            vec![("model.embed_tokens.weight".to_owned(), vec![sizes.vocab_size, d])];
        for index in 0..sizes.num_hidden_layers {
            let shapes: [(&str, &[i64]); 9] = [
                ("input_layernorm", &[d]),
                ("self_attn.q_proj", &[d, d]),
                ("self_attn.k_proj", &[keys, d]),
                ("self_attn.v_proj", &[keys, d]),
                ("self_attn.o_proj", &[d, d]),
                ("post_attention_layernorm", &[d]),
                ("mlp.gate_proj", &[inner, d]),
                ("mlp.up_proj", &[inner, d]),
                ("mlp.down_proj", &[d, inner]),
            ];
            let named = |(part, shape): (&str, &[i64])| {
                (format!("model.layers.{index}.{part}.weight"), shape.to_vec())
            };
            parameters.extend(shapes.into_iter().map(named));
        }
        parameters.push(("model.norm.weight".into(), vec![d]));
        parameters.push(("lm_head.weight".into(), vec![sizes.vocab_size, d]));
        parameters
    }

    /// The states behind the final norm of `ids`, and a cache that holds `cache` and `ids`.
    ///
    /// `ids` continue the positions of `cache`; `runs` cover exactly them. The result is
    /// `[ids, d]` in the model's number format.
    ///
    /// # Errors
    /// What libtorch refuses, for example because memory ran out.
    ///
    /// # Panics
    /// If the runs do not cover the ids, or the sequence is longer than the rotary table.
    pub fn forward(
        &self,
        ids: &[i64],
        runs: &[Run],
        cache: Option<&Cache>,
    ) -> Result<(Tensor, Cache), TchError> {
        let first = cache.map_or(0, Cache::positions);
        let total = first + ids.len();
        assert_covered(runs, first..total);
        let rotary = self.rotary_of(first..total)?;
        let ids = Tensor::f_from_slice(ids)?.f_to_device(self.placement.device)?; // [t] i64
        let mut x = self.embedding.f_index_select(0, &ids)?; // [t, d]
        let mut layers = Vec::with_capacity(self.layers.len());
        for (index, layer) in self.layers.iter().enumerate() {
            let past = cache.map(|cache| &cache.layers[index]);
            let (y, keys_values) = layer.forward(&x, &Context { rotary: &rotary, runs, past })?;
            x = y;
            layers.push(keys_values);
        }
        Ok((self.norm.forward(&x)?, Cache { positions: total, layers }))
    }

    /// The head's rows of these ids, in their order: `[ids, d]`.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn head_rows(&self, ids: &[i64]) -> Result<Tensor, TchError> {
        let index = Tensor::f_from_slice(ids)?.f_to_device(self.placement.device)?;
        self.head.f_index_select(0, &index)
    }

    /// The logits of the whole vocabulary for states `[n, d]`: `[n, vocab]` f32.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn logits(&self, states: &Tensor) -> Result<Tensor, TchError> {
        linear(states, &self.head)?.f_to_kind(Kind::Float)
    }

    /// The longest sequence it can run.
    pub fn positions(&self) -> usize {
        self.rotary[0].size()[0] as usize
    }

    /// Where it lives.
    pub fn placement(&self) -> Placement {
        self.placement
    }

    fn rotary_of(&self, positions: Range<usize>) -> Result<[Tensor; 2], TchError> {
        assert!(positions.end <= self.positions(), "{positions:?} is longer than the rotary table");
        let cut = |table: &Tensor| {
            table.f_narrow(0, positions.start as i64, positions.len() as i64) // [t, head]
        };
        Ok([cut(&self.rotary[0])?, cut(&self.rotary[1])?])
    }
}

/// Cosine and sine of every position's angles, `[positions, head]` each.
///
/// Angles are made in f32 and the results rounded to the model's format before they meet
/// queries and keys, like the released code's table.
fn rotary_table(config: &ModelConfig, placement: Placement) -> Result<[Tensor; 2], TchError> {
    let float = (Kind::Float, Device::Cpu);
    let even = Tensor::f_arange_start_step(0, config.head_size(), 2, float)?;
    let exponent = even.f_div_scalar(config.head_size())?;
    let frequency = Tensor::f_pow_scalar(config.sizes.rope_theta, &exponent)?.f_reciprocal()?;
    let position = Tensor::f_arange(config.sizes.max_position_embeddings, float)?;
    let half = position.f_outer(&frequency)?;
    let angle = Tensor::f_cat(&[&half, &half], 1)?;
    let place = |table: Tensor| table.f_to_kind(placement.kind)?.f_to_device(placement.device);
    Ok([place(angle.f_cos()?)?, place(angle.f_sin()?)?])
}

fn assert_covered(runs: &[Run], positions: Range<usize>) {
    let mut next = positions.start;
    for run in runs {
        assert_eq!(run.start, next, "the runs have a gap or overlap");
        next = run.end;
    }
    assert_eq!(next, positions.end, "the runs end elsewhere than the ids");
}

#[cfg(test)]
mod tests {
    use super::super::attention::{self, Attention, Parts};
    use super::super::config::{Sizes, SpecialIds};
    use super::*;
    use crate::golden;

    fn tiny(kind: Kind) -> Transformer {
        let sizes = Sizes {
            vocab_size: 64,
            hidden_size: 32,
            intermediate_size: 48,
            num_hidden_layers: 3,
            num_attention_heads: 4,
            num_key_value_heads: 2,
            rms_norm_eps: 1e-5,
            rope_theta: 1e6,
            max_position_embeddings: 64,
            tie_word_embeddings: false,
            qkv_bias: false,
            hidden_act: "silu".into(),
            use_blockwise_attn_mask: None,
            use_bidirectional_attn_mask: None,
        };
        let config = ModelConfig { sizes, ids: SpecialIds::default() };
        let mut get = |name: &str, shape: &[i64]| {
            let weight = golden::language_weight(name, shape);
            Ok(Tensor::from_slice(&weight).view(shape).to_kind(kind))
        };
        let placement = Placement { device: Device::Cpu, kind };
        Transformer::build(&config, placement, &mut get).unwrap()
    }

    fn sequence() -> (Vec<i64>, Parts) {
        let parts = Parts { text: 6, views: vec![8, 5], actions: 7 };
        ((0..parts.total() as i64).map(|at| at * 29 % 64).collect(), parts)
    }

    #[test]
    fn positions_behind_a_cache_have_the_states_of_the_whole_sequence() {
        let (ids, parts) = sequence();
        let model = tiny(Kind::Double);
        for attention in Attention::ALL {
            let runs = attention.runs(&parts, Some(parts.total() - 3));
            let (whole, _) = model.forward(&ids, &runs, None).unwrap();
            let count = attention::frozen(&runs, parts.prompt());
            let before: Vec<Run> = runs
                .iter()
                .filter(|run| run.start < count)
                .map(|run| Run { end: run.end.min(count), ..*run })
                .collect();
            let (head, cache) = model.forward(&ids[..count], &before, None).unwrap();
            assert_eq!(cache.positions(), count, "{attention}");
            let after = attention::from_position(&runs, count);
            let (tail, cache) = model.forward(&ids[count..], &after, Some(&cache)).unwrap();
            assert_eq!(cache.positions(), ids.len(), "{attention}");
            // The norms are f32, so the order of f64 sums shows at that size.
            let apart = (Tensor::cat(&[head, tail], 0) - whole).abs().max().double_value(&[]);
            assert!(apart < 1e-6, "{attention}: {apart:e}");
        }
    }

    #[test]
    fn nothing_behind_the_end_of_actions_changes_what_stands_before_it() {
        let (ids, parts) = sequence();
        let model = tiny(Kind::Float);
        let end = parts.total() - 3;
        for attention in [Attention::Released, Attention::ReleasedBidirectional] {
            let runs = attention.runs(&parts, Some(end));
            let (first, _) = model.forward(&ids, &runs, None).unwrap();
            let changed = [&ids[..=end], &[1, 1]].concat();
            let (second, _) = model.forward(&changed, &runs, None).unwrap();
            let cut = |states: &Tensor| states.narrow(0, 0, end as i64 + 1);
            assert_eq!(cut(&first), cut(&second), "{attention}");
            assert_ne!(first, second, "{attention}");
        }
    }

    #[test]
    fn half_precision_stays_near_single_precision() {
        let (ids, parts) = sequence();
        let runs = Attention::Released.runs(&parts, None);
        let logits = |kind| {
            let model = tiny(kind);
            model.logits(&model.forward(&ids, &runs, None).unwrap().0).unwrap()
        };
        let single = logits(Kind::Float);
        for kind in [Kind::BFloat16, Kind::Half] {
            let other = logits(kind);
            assert_eq!(other.kind(), Kind::Float);
            let apart = (&other - &single).abs().mean(Kind::Float).double_value(&[]);
            assert!(apart < 0.05, "{kind:?}: {apart}");
        }
    }

    #[test]
    fn the_listed_parameters_are_the_ones_asked_for() {
        let sizes = tiny(Kind::Float);
        assert_eq!(sizes.positions(), 64);
        let mut asked = vec![];
        let config = ModelConfig::parse(
            r#"{"vocab_size": 64, "hidden_size": 32, "intermediate_size": 48,
                "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
                "rms_norm_eps": 1e-5, "rope_theta": 1e6, "max_position_embeddings": 8,
                "pad_token_id": 1, "bos_token_id": 1, "img_token_id": 1, "boi_token_id": 1,
                "eoi_token_id": 1, "eof_token_id": 1, "boa_token_id": 1, "eoa_token_id": 1,
                "mask_token_id": 1, "bov_token_id": 1, "eov_token_id": 1,
                "last_action_token_id": 1}"#,
            std::path::Path::new("config.json"),
        )
        .unwrap();
        let mut get = |name: &str, shape: &[i64]| {
            asked.push((name.to_owned(), shape.to_vec()));
            Ok(Tensor::zeros(shape, (Kind::Float, Device::Cpu)))
        };
        let placement = Placement { device: Device::Cpu, kind: Kind::Float };
        Transformer::build(&config, placement, &mut get).unwrap();
        let mut listed = Transformer::parameters(&config);
        listed.sort();
        asked.sort();
        assert_eq!(listed, asked);
    }
}
