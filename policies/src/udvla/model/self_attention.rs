//! Self-attention by runs: each sequence separately, without a mask tensor where possible.

use tch::{Kind, TchError, Tensor};

use super::context::{Context, KeysValues, Selection, linear};
use super::mask::{Order, Run};
use super::packing::Packing;

/// Self-attention of one layer. Query, key and value are one product.
#[derive(Debug)]
pub(super) struct SelfAttention {
    pub query_key_value: Tensor, // [(heads + 2 * key heads) * head, d]
    pub output: Tensor,          // [d, heads * head]
    pub heads: i64,
    pub key_heads: i64,
    /// Width of a head.
    pub head: i64,
}

impl SelfAttention {
    /// Attention output of all positions, `[t, d] -> [t, d]`, and each sequence's keys and values.
    pub fn forward(
        &self,
        x: &Tensor,
        context: &Context,
    ) -> Result<(Tensor, Vec<KeysValues>), TchError> {
        let heads = [self.heads, self.key_heads, self.key_heads];
        let projected = linear(x, &self.query_key_value)?;
        let projected = projected.f_split_with_sizes(heads.map(|heads| heads * self.head), 1)?;
        let queries = rotate(&self.by_head(&projected[0])?, context.rotary)?;
        let all = self.keys_values(&projected[1], &projected[2], context)?;
        let counts = context.sequences.iter().map(|sequence| {
            sequence.runs.iter().map(|run| run.end - run.start).collect::<Vec<_>>()
        });
        let counts: Vec<_> = counts.collect();
        let mut parts = by_run(&queries, &counts, context.packing)?.into_iter();
        let mut outputs = vec![];
        for (index, (sequence, keys_values)) in context.sequences.iter().zip(&all).enumerate() {
            for (run, queries) in sequence.runs.iter().zip(parts.by_ref()) {
                let (start, end) = (run.start as i64, run.end as i64);
                let integers = (Kind::Int64, x.device());
                let positions = || Tensor::f_arange_start(start, end, integers);
                outputs.push(attend(&queries, keys_values, *run, &positions)?);
            }
            parts.next();
            outputs.push(self.padding(context.packing.padding(index), &queries)?);
        }
        Ok((self.project(&outputs)?, all))
    }

    /// As [`SelfAttention::forward`], output of the selected positions only: `[t, d] -> [n, d]`.
    pub fn forward_selected(
        &self,
        x: &Tensor,
        context: &Context,
        selection: &Selection,
    ) -> Result<(Tensor, Vec<KeysValues>), TchError> {
        let (queries, others) = (self.heads * self.head, 2 * self.key_heads * self.head);
        let projected = linear(x, &self.query_key_value.f_narrow(0, queries, others)?)?;
        let projected = projected.f_chunk(2, 1)?;
        let all = self.keys_values(&projected[0], &projected[1], context)?;
        if selection.packing.total() == 0 {
            return Ok((x.f_narrow(0, 0, 0)?, all));
        }
        let selected = x.f_index_select(0, selection.index)?;
        let queries = linear(&selected, &self.query_key_value.f_narrow(0, 0, queries)?)?;
        let [cos, sin] = context.rotary;
        let rotary =
            [cos.f_index_select(0, selection.index)?, sin.f_index_select(0, selection.index)?];
        let queries = rotate(&self.by_head(&queries)?, &rotary)?;
        let counts = selection.spans.iter().map(|(sequence, offsets)| {
            let runs = context.sequences[*sequence].runs;
            let first = runs.first().map_or(0, |run| run.start);
            let before = |position: usize| offsets.partition_point(|at| at + first < position);
            runs.iter().map(|run| before(run.end) - before(run.start)).collect::<Vec<_>>()
        });
        let counts: Vec<_> = counts.collect();
        let mut parts = by_run(&queries, &counts, selection.packing)?.into_iter();
        let mut outputs = vec![];
        for (index, (sequence, _)) in selection.spans.iter().enumerate() {
            let mut at = selection.packing.range(index).start as i64;
            for (run, queries) in context.sequences[*sequence].runs.iter().zip(parts.by_ref()) {
                let length = queries.size()[2];
                if length > 0 {
                    let positions = || selection.positions.f_narrow(0, at, length);
                    outputs.push(attend(&queries, &all[*sequence], *run, &positions)?);
                }
                at += length;
            }
            parts.next();
            outputs.push(self.padding(selection.packing.padding(index), &queries)?);
        }
        Ok((self.project(&outputs)?, all))
    }

    /// Each sequence's rotated keys, and values, appended to those of earlier positions.
    fn keys_values(
        &self,
        keys: &Tensor,
        values: &Tensor,
        context: &Context,
    ) -> Result<Vec<KeysValues>, TchError> {
        let keys = rotate(&self.by_head(keys)?, context.rotary)?;
        let values = self.by_head(values)?;
        let (keys, values) = (context.packing.split(&keys, 2)?, context.packing.split(&values, 2)?);
        let sequences = context.sequences.iter().zip(keys).zip(values);
        sequences.map(|((sequence, keys), values)| append(sequence.past, [keys, values])).collect()
    }

    /// `[t, heads * head] -> [1, heads, t, head]`.
    fn by_head(&self, projected: &Tensor) -> Result<Tensor, TchError> {
        let heads = projected.size()[1] / self.head;
        projected.f_reshape([1, -1, heads, self.head])?.f_transpose(1, 2)
    }

    /// Zeros between two sequences.
    fn padding(&self, length: usize, like: &Tensor) -> Result<Tensor, TchError> {
        let shape = [1, self.heads, length as i64, self.head];
        Tensor::f_zeros(shape, (like.kind(), like.device()))
    }

    /// Output projection of concatenated attention outputs: `[t, d]`.
    fn project(&self, outputs: &[Tensor]) -> Result<Tensor, TchError> {
        let joined = Tensor::f_cat(outputs, 2)?; // [1, heads, t, head]
        linear(&joined.f_transpose(1, 2)?.f_reshape([-1, self.heads * self.head])?, &self.output)
    }
}

/// The queries `[1, heads, t, head]` of each run, and after those of a sequence its padding. `counts`
/// gives how many there are in each run of each sequence.
///
/// They are split once: the gradient of a part that is taken by itself is as large as the whole.
fn by_run(
    queries: &Tensor,
    counts: &[Vec<usize>],
    packing: &Packing,
) -> Result<Vec<Tensor>, TchError> {
    let lengths = counts.iter().enumerate().flat_map(|(index, counts)| {
        counts.iter().copied().chain([packing.padding(index)]).map(|length| length as i64)
    });
    queries.f_split_with_sizes(&lengths.collect::<Vec<_>>()[..], 2)
}

/// Keys and values appended to those of earlier positions.
fn append(past: Option<&KeysValues>, [keys, values]: KeysValues) -> Result<KeysValues, TchError> {
    match past {
        None => Ok([keys.f_contiguous()?, values.f_contiguous()?]),
        Some([past_keys, past_values]) => {
            Ok([Tensor::f_cat(&[past_keys, &keys], 2)?, Tensor::f_cat(&[past_values, &values], 2)?])
        }
    }
}

/// Attention of queries `[1, heads, n, head]` of one run to the keys before the run's end.
/// `positions` gives the queries' positions, `[n]` i64; only some causal runs need them.
fn attend(
    queries: &Tensor,
    [keys, values]: &KeysValues,
    run: Run,
    positions: &dyn Fn() -> Result<Tensor, TchError>,
) -> Result<Tensor, TchError> {
    let end = run.end as i64;
    let (keys, values) = (keys.f_narrow(2, 0, end)?, values.f_narrow(2, 0, end)?);
    // A run of one position attends to everything before it, in either order.
    let causal = run.order == Order::Causal && run.end - run.start > 1;
    let square = causal && queries.size()[2] == end;
    let mask = (causal && !square).then(|| {
        let keys = Tensor::f_arange(end, (Kind::Int64, queries.device()))?;
        keys.f_unsqueeze(0)?.f_le_tensor(&positions()?.f_unsqueeze(1)?) // [n, end]
    });
    let mask = mask.transpose()?;
    Tensor::f_scaled_dot_product_attention(queries, &keys, &values, mask, 0.0, square, None, true)
}

/// Rotates the two halves of each head against one another by its position.
fn rotate(x: &Tensor, [cos, sin]: &[Tensor; 2]) -> Result<Tensor, TchError> {
    let halves = x.f_chunk(2, -1)?;
    let turned = Tensor::f_cat(&[halves[1].f_neg()?, halves[0].shallow_clone()], -1)?;
    x.f_mul(cos)?.f_add(&turned.f_mul(sin)?)
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::super::mask::Parts;
    use super::*;
    use crate::udvla::checkpoint::Attention;

    /// Attention run by run, mostly without masks, equals attention under one whole mask.
    #[test]
    fn attention_by_runs_is_attention_under_the_whole_mask() {
        let parts = Parts::new(5, vec![7, 4], 6);
        let total = parts.total();
        let options = (Kind::Double, Device::Cpu);
        tch::manual_seed(0);
        let queries = Tensor::randn([1, 4, total as i64, 8], options);
        let keys = Tensor::randn([1, 2, total as i64, 8], options);
        let values = Tensor::randn([1, 2, total as i64, 8], options);
        for attention in Attention::ALL {
            for end in [None, Some(total - 4), Some(total - 1)] {
                let runs = attention.runs(&parts, end);
                let mask: Vec<bool> = runs
                    .iter()
                    .flat_map(|run| (run.start..run.end).map(move |query| (run, query)))
                    .flat_map(|(run, query)| (0..total).map(move |key| run.attends(query, key)))
                    .collect();
                let mask = Tensor::from_slice(&mask).view([total as i64, total as i64]);
                let whole = Tensor::scaled_dot_product_attention(
                    &queries,
                    &keys,
                    &values,
                    Some(mask),
                    0.0,
                    false,
                    None,
                    true,
                );
                let by_run = runs.iter().map(|run| {
                    let (start, length) = (run.start as i64, (run.end - run.start) as i64);
                    let positions = || {
                        Tensor::f_arange_start(start, start + length, (Kind::Int64, Device::Cpu))
                    };
                    let keys_values = [keys.shallow_clone(), values.shallow_clone()];
                    attend(&queries.narrow(2, start, length), &keys_values, *run, &positions)
                        .unwrap()
                });
                let joined = Tensor::cat(&by_run.collect::<Vec<_>>(), 2);
                let apart = (joined - whole).abs().max().double_value(&[]);
                assert!(apart < 1e-14, "{attention} {end:?}: {apart:e}");
            }
        }
    }
}
