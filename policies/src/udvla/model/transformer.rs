//! The language model: a Llama-shaped decoder with attention masks given as runs.
//!
//! The sequences of a batch are packed: each projection is one product over all positions, and
//! attention runs per sequence, so that sequences of different lengths need no mask. A
//! sequence's result does not depend on its neighbors (see [`packing`](super::packing)).
//!
//! Source: `Emu3MoE` of the released code (without the flow-matching parts, which no published
//! configuration creates); weight names and mathematics are Llama's.

use std::ops::Range;

use tch::{Device, Kind, TchError, Tensor};

use super::context::{Context, KeysValues, Selection, SequenceContext, linear};
use super::layers::{Layer, Norm, TensorLoader, loading};
use super::mask::Run;
use super::packing::Packing;
use super::transfer::{Place, Upload, Uploaded};
use crate::udvla::checkpoint::{CheckpointError, ModelConfig, Placement, WeightSource};

/// The language model on a device.
#[derive(Debug)]
pub struct Transformer {
    embedding: Tensor, // [vocab, d]
    layers: Vec<Layer>,
    norm: Norm,
    head: Tensor,        // [vocab, d]
    rotary: [Tensor; 2], // cos, sin: [positions, head]
    placement: Placement,
}

/// Keys and values of a sequence's leading positions.
#[derive(Debug)]
pub struct Cache {
    positions: usize,
    layers: Vec<KeysValues>,
}

/// Input of one sequence.
#[derive(Debug, Clone, Copy)]
pub struct Sequence<'a> {
    /// Ids that continue the positions of `cache`.
    pub ids: &'a [i64],
    /// Attention mask; covers exactly `ids`.
    pub runs: &'a [Run],
    /// Earlier positions.
    pub cache: Option<&'a Cache>,
}

/// Sequence of a batch, and offsets among its new ids, ascending.
pub type Span = (usize, Vec<usize>);

/// Final hidden states of the requested spans, packed.
#[derive(Debug)]
pub struct HiddenStates {
    all: Tensor, // [n, d]
    packing: Packing,
    /// The numbers that were sent along with the pass's own: `[k]` f64.
    pub extra: Tensor,
}

/// What a pass takes to the device.
struct Inputs {
    ids: Tensor,       // [t] i64
    positions: Tensor, // [t] i64
}

impl HiddenStates {
    /// Hidden states of consecutive spans, `[n, d]` in the model's number format, and their
    /// packing.
    pub fn spans(&self, spans: Range<usize>) -> Result<(Tensor, Packing), TchError> {
        let (range, packing) = self.packing.subset(spans);
        Ok((self.all.f_narrow(0, range.start as i64, range.len() as i64)?, packing))
    }
}

impl Cache {
    /// Number of positions.
    pub fn positions(&self) -> usize {
        self.positions
    }
}

impl Transformer {
    /// Loads the model.
    ///
    /// # Errors
    /// A missing tensor, another shape or number format, or a tensor of a layer that the
    /// configuration does not have.
    pub fn load(
        config: &ModelConfig,
        weights: &WeightSource,
        placement: Placement,
    ) -> Result<Self, CheckpointError> {
        if let WeightSource::Files(weights) = weights {
            let layers = config.sizes.num_hidden_layers;
            let surplus = weights.names().find(|(name, _)| layer_of(name) >= Some(layers));
            if let Some((tensor, file)) = surplus {
                let (tensor, file) = (tensor.to_owned(), file.to_owned());
                return Err(CheckpointError::SurplusTensor { file, tensor });
            }
        }
        Self::build(config, placement, &mut |name, shape| weights.tensor(name, shape, placement))
    }

    /// Builds the model from `load`, which returns the tensor of a name and shape on its device.
    ///
    /// # Errors
    /// Errors of `load`, and whatever libtorch refuses.
    pub fn build(
        config: &ModelConfig,
        placement: Placement,
        load: &mut TensorLoader<'_>,
    ) -> Result<Self, CheckpointError> {
        let sizes = &config.sizes;
        let table = [sizes.vocab_size, sizes.hidden_size];
        let epsilon = sizes.rms_norm_eps;
        let layers = 0..sizes.num_hidden_layers;
        Ok(Self {
            embedding: load("model.embed_tokens.weight", &table)?,
            layers: layers
                .map(|index| Layer::build(config, index, load))
                .collect::<Result<_, _>>()?,
            norm: Norm { weight: load("model.norm.weight", &[sizes.hidden_size])?, epsilon },
            head: load("lm_head.weight", &table)?,
            rotary: rotary_table(config, placement).map_err(loading("the rotary table"))?,
            placement,
        })
    }

    /// Names and shapes of all weights.
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

    /// Final hidden states of one sequence's `ids`, `[ids, d]` in the model's number format, and
    /// the cache extended by them.
    ///
    /// `ids` continue the positions of `cache`; `runs` cover exactly them.
    ///
    /// # Errors
    /// Whatever libtorch refuses, for example for lack of memory.
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
        let sequences = [Sequence { ids, runs, cache }];
        let mut upload = Upload::default();
        let places = self.place_inputs(&sequences, &packing, &mut upload);
        let inputs = Inputs::of(&places, &upload.send(self.placement.device)?)?;
        let (all, mut caches) = self.pass(&sequences, &packing, &inputs, None)?;
        Ok((packing.slice(&all, 0, 0)?, caches.remove(0)))
    }

    /// As [`Transformer::forward`], for a batch, and hidden states of `spans` only, which the last
    /// layer does not compute for other positions. A sequence may have any number of spans. `extra`
    /// numbers go to the device with those of the pass, in one block ([`HiddenStates::extra`]).
    ///
    /// # Panics
    /// As [`Transformer::forward`], and if a span's sequence or offset does not exist.
    pub fn forward_batch(
        &self,
        sequences: &[Sequence],
        spans: &[Span],
        extra: &[f64],
    ) -> Result<(HiddenStates, Vec<Cache>), TchError> {
        let mut upload = Upload::default();
        let extra = upload.reals(extra);
        let span_packing = Packing::new(spans.iter().map(|(_, offsets)| offsets.len()));
        if sequences.is_empty() {
            let all = self.embedding.f_narrow(0, 0, 0)?;
            let extra = upload.send(self.placement.device)?.reals(&extra)?;
            return Ok((HiddenStates { all, packing: span_packing, extra }, vec![]));
        }
        let packing = Packing::new(sequences.iter().map(|sequence| sequence.ids.len()));
        let pack_from = |start_of: &dyn Fn(usize) -> usize| {
            let shift = |(sequence, offsets): &Span| {
                offsets.iter().map(|at| (start_of(*sequence) + at) as i64).collect::<Vec<_>>()
            };
            let numbers: Vec<Vec<i64>> = spans.iter().map(shift).collect();
            span_packing.pack(numbers.iter().map(Vec::as_slice))
        };
        let index = upload.integers(pack_from(&|sequence| packing.range(sequence).start));
        let start_of = |sequence: usize| sequences[sequence].positions().start;
        let positions = upload.integers(pack_from(&start_of));
        let places = self.place_inputs(sequences, &packing, &mut upload);
        let there = upload.send(self.placement.device)?;
        let selection = Selection {
            spans,
            packing: &span_packing,
            index: &there.integers(&index)?,
            positions: &there.integers(&positions)?,
        };
        let inputs = Inputs::of(&places, &there)?;
        let (all, caches) = self.pass(sequences, &packing, &inputs, Some(&selection))?;
        Ok((HiddenStates { all, packing: span_packing, extra: there.reals(&extra)? }, caches))
    }

    /// Final hidden states of all positions, `[t, d]`, or of the selected ones, `[n, d]`.
    fn pass(
        &self,
        sequences: &[Sequence],
        packing: &Packing,
        inputs: &Inputs,
        selection: Option<&Selection>,
    ) -> Result<(Tensor, Vec<Cache>), TchError> {
        let [cos, sin] = &self.rotary;
        let rotary =
            [cos.f_index_select(0, &inputs.positions)?, sin.f_index_select(0, &inputs.positions)?];
        let mut x = self.embedding.f_index_select(0, &inputs.ids)?; // [t, d]
        let ends = sequences.iter().map(|sequence| sequence.positions().end);
        let mut caches: Vec<Cache> =
            ends.map(|positions| Cache { positions, layers: vec![] }).collect();
        for (index, layer) in self.layers.iter().enumerate() {
            let contexts: Vec<SequenceContext<'_>> = sequences
                .iter()
                .map(|sequence| SequenceContext {
                    runs: sequence.runs,
                    past: sequence.cache.map(|cache| &cache.layers[index]),
                })
                .collect();
            let context = Context { packing, rotary: &rotary, sequences: &contexts };
            let (y, keys_values) = match selection {
                Some(selection) if index + 1 == self.layers.len() => {
                    layer.forward_selected(&x, &context, selection)?
                }
                Some(_) | None => layer.forward(&x, &context)?,
            };
            x = y;
            caches.iter_mut().zip(keys_values).for_each(|(cache, kv)| cache.layers.push(kv));
        }
        Ok((self.norm.forward(&x)?, caches))
    }

    /// Rows of the output head for `ids`, in order: `[ids, d]`.
    pub fn head_rows(&self, ids: &[i64]) -> Result<Tensor, TchError> {
        let index = Tensor::f_from_slice(ids)?.f_to_device(self.placement.device)?;
        self.head.f_index_select(0, &index)
    }

    /// Logits of the whole vocabulary for hidden states `[n, d]`: `[n, vocab]` f32.
    pub fn logits(&self, hidden: &Tensor) -> Result<Tensor, TchError> {
        linear(hidden, &self.head)?.f_to_kind(Kind::Float)
    }

    /// Length of the longest sequence that it can run.
    pub fn max_positions(&self) -> usize {
        self.rotary[0].size()[0] as usize
    }

    /// Device and number format.
    pub fn placement(&self) -> Placement {
        self.placement
    }

    /// Puts ids and positions of the sequences into an upload.
    fn place_inputs(
        &self,
        sequences: &[Sequence],
        packing: &Packing,
        upload: &mut Upload,
    ) -> [Place; 2] {
        let positions = |sequence: &Sequence| {
            let positions = sequence.positions();
            assert_covered(sequence.runs, positions.clone());
            let fits = positions.end <= self.max_positions();
            assert!(fits, "{positions:?} is longer than the rotary table");
            positions.map(|position| position as i64).collect::<Vec<_>>()
        };
        let positions: Vec<Vec<i64>> = sequences.iter().map(positions).collect();
        let ids = packing.pack(sequences.iter().map(|sequence| sequence.ids));
        let positions = packing.pack(positions.iter().map(Vec::as_slice));
        [ids, positions].map(|numbers| upload.integers(numbers))
    }
}

impl Inputs {
    fn of([ids, positions]: &[Place; 2], there: &Uploaded) -> Result<Self, TchError> {
        Ok(Self { ids: there.integers(ids)?, positions: there.integers(positions)? })
    }
}

impl Sequence<'_> {
    /// Positions of the new ids.
    fn positions(&self) -> Range<usize> {
        let first = self.cache.map_or(0, Cache::positions);
        first..first + self.ids.len()
    }
}

/// Cosine and sine of every position's angles, `[positions, head]` each.
///
/// Computed in f32 and rounded to the model's number format before use, as in the released code.
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

/// Number of the layer that a tensor belongs to.
fn layer_of(tensor: &str) -> Option<i64> {
    tensor.strip_prefix("model.layers.")?.split('.').next()?.parse().ok()
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
