//! The language model: a Llama-shaped decoder whose attention mask is given as runs.
//!
//! The rows of a batch lie one behind the other: every projection is one product over all of
//! them, and each row attends for itself, so that rows of different text lengths need no mask.
//! What a row becomes does not depend on its neighbours (see [`packing`](super::packing)).
//!
//! Source: `Emu3MoE` of the released code (without the flow-matching parts, which no published
//! configuration creates); weight names and mathematics are Llama's.

use std::ops::Range;

use tch::{Device, Kind, TchError, Tensor};

use super::attention::Run;
use super::config::ModelConfig;
use super::error::CheckpointError;
use super::layers::{Context, Get, Layer, Norm, RowContext, linear, loading};
use super::packing::Packing;
use super::self_attention::{KeysValues, Wanted};
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
    layers: Vec<KeysValues>,
}

/// What one row of a batch puts into the model.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// Ids that continue the positions of `cache`.
    pub ids: &'a [i64],
    /// What they see; covers exactly them.
    pub runs: &'a [Run],
    /// The positions before them.
    pub cache: Option<&'a Cache>,
}

/// The states behind the final norm of some places of the rows of a batch.
#[derive(Debug)]
pub struct States {
    all: Tensor, // [n, d]
    packing: Packing,
}

impl States {
    /// The states of some stretches one behind the other, `[n, d]` in the model's number format,
    /// and where each stretch lies among them.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn stretches(&self, stretches: Range<usize>) -> Result<(Tensor, Packing), TchError> {
        let (range, packing) = self.packing.part(stretches);
        Ok((self.all.f_narrow(0, range.start as i64, range.len() as i64)?, packing))
    }
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
        let packing = Packing::new([ids.len()]);
        let (all, mut caches) = self.pass(&[Row { ids, runs, cache }], &packing, None)?;
        Ok((packing.cut(&all, 0, 0)?, caches.remove(0)))
    }

    /// As [`Transformer::forward`], for several rows at once and only for the places that are
    /// `wanted`: stretches of ascending places among the ids of a row, with the row's number. A
    /// row may have several or none. The last layer does not work out the others' states.
    ///
    /// # Errors
    /// As [`Transformer::forward`].
    ///
    /// # Panics
    /// As [`Transformer::forward`], and if a stretch names a row or place that is not there.
    pub fn forward_batch(
        &self,
        rows: &[Row],
        wanted: &[(usize, Vec<usize>)],
    ) -> Result<(States, Vec<Cache>), TchError> {
        let wanted_packing = Packing::new(wanted.iter().map(|(_, places)| places.len()));
        if rows.is_empty() {
            let all = self.embedding.f_narrow(0, 0, 0)?;
            return Ok((States { all, packing: wanted_packing }, vec![]));
        }
        let packing = Packing::new(rows.iter().map(|row| row.ids.len()));
        let numbers = |of: &dyn Fn(usize) -> usize| {
            let stretch = |(row, places): &(usize, Vec<usize>)| {
                places.iter().map(|place| (of(*row) + place) as i64).collect::<Vec<_>>()
            };
            let numbers: Vec<Vec<i64>> = wanted.iter().map(stretch).collect();
            wanted_packing.pack(numbers.iter().map(Vec::as_slice), self.placement.device)
        };
        let wanted = Wanted {
            stretches: wanted,
            packing: &wanted_packing,
            index: &numbers(&|row| packing.row(row).start)?,
            positions: &numbers(&|row| rows[row].positions().start)?,
        };
        let (all, caches) = self.pass(rows, &packing, Some(&wanted))?;
        Ok((States { all, packing: wanted_packing }, caches))
    }

    /// The states of all positions of the rows, `[t, d]`, or of the wanted ones, `[n, d]`.
    fn pass(
        &self,
        rows: &[Row],
        packing: &Packing,
        wanted: Option<&Wanted>,
    ) -> Result<(Tensor, Vec<Cache>), TchError> {
        let rotary = self.rotary_of(rows, packing)?;
        let ids = packing.pack(rows.iter().map(|row| row.ids), self.placement.device)?;
        let mut x = self.embedding.f_index_select(0, &ids)?; // [t, d]
        let ends = rows.iter().map(|row| row.positions().end);
        let mut caches: Vec<Cache> =
            ends.map(|positions| Cache { positions, layers: vec![] }).collect();
        for (index, layer) in self.layers.iter().enumerate() {
            let own = rows.iter().map(|row| RowContext {
                runs: row.runs,
                past: row.cache.map(|cache| &cache.layers[index]),
            });
            let own: Vec<RowContext<'_>> = own.collect();
            let context = Context { packing, rotary: &rotary, rows: &own };
            let (y, keys_values) = match wanted {
                Some(wanted) if index + 1 == self.layers.len() => {
                    layer.forward_wanted(&x, &context, wanted)?
                }
                Some(_) | None => layer.forward(&x, &context)?,
            };
            x = y;
            caches.iter_mut().zip(keys_values).for_each(|(cache, kv)| cache.layers.push(kv));
        }
        Ok((self.norm.forward(&x)?, caches))
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

    /// Cosine and sine of the rows' positions, `[t, head]` each.
    fn rotary_of(&self, rows: &[Row], packing: &Packing) -> Result<[Tensor; 2], TchError> {
        let positions = |row: &Row| {
            let positions = row.positions();
            assert_covered(row.runs, positions.clone());
            let fits = positions.end <= self.positions();
            assert!(fits, "{positions:?} is longer than the rotary table");
            positions.map(|position| position as i64).collect::<Vec<_>>()
        };
        let positions: Vec<Vec<i64>> = rows.iter().map(positions).collect();
        let device = self.placement.device;
        let index = packing.pack(positions.iter().map(Vec::as_slice), device)?;
        let [cos, sin] = &self.rotary;
        Ok([cos.f_index_select(0, &index)?, sin.f_index_select(0, &index)?])
    }
}

impl Row<'_> {
    /// Where its ids stand in their sequence.
    fn positions(&self) -> Range<usize> {
        let first = self.cache.map_or(0, Cache::positions);
        first..first + self.ids.len()
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
#[path = "transformer_tests.rs"]
mod tests;
