//! Self-attention over runs: each row of a batch for itself, without a mask where a run needs none.

use tch::{Kind, TchError, Tensor};

use super::attention::{Order, Run};
use super::layers::{Context, linear};
use super::packing::Packing;

/// The attention of one block. Query, key and value are one product.
#[derive(Debug)]
pub(super) struct SelfAttention {
    /// The three projections' weights one below the other.
    pub query_key_value: Tensor, // [(heads + 2 * key heads) * head, d]
    /// The projection behind the attention.
    pub output: Tensor, // [d, heads * head]
    /// Query heads.
    pub heads: i64,
    /// Heads of keys and values.
    pub key_heads: i64,
    /// Width of a head.
    pub head: i64,
}

/// Places of the rows of a batch whose states are wanted behind the last layer. A row may have
/// several stretches of places or none.
pub(super) struct Wanted<'a> {
    /// The row of each stretch, and its places among the row's ids, ascending.
    pub stretches: &'a [(usize, Vec<usize>)],
    /// Where each stretch lies among the `n` of all.
    pub packing: &'a Packing,
    /// Where the wanted places lie among the positions of all rows: `[n]` i64.
    pub index: &'a Tensor,
    /// Where they stand in their sequences: `[n]` i64.
    pub positions: &'a Tensor,
}

/// Keys and values of a row's positions so far: `[1, key heads, positions, head]` each.
pub(super) type KeysValues = [Tensor; 2];

impl SelfAttention {
    /// What all positions read, `[t, d] -> [t, d]`, and each row's keys and values.
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
        let mut seen = vec![];
        for (index, (row, keys_values)) in context.rows.iter().zip(&all).enumerate() {
            let first = row.runs.first().map_or(0, |run| run.start);
            for run in row.runs {
                let (start, end) = (run.start as i64, run.end as i64);
                let at = (context.packing.row(index).start + run.start - first) as i64;
                let integers = (Kind::Int64, x.device());
                let positions = || Tensor::f_arange_start(start, end, integers);
                let queries = queries.f_narrow(2, at, end - start)?;
                seen.push(attend(&queries, keys_values, *run, &positions)?);
            }
            seen.push(self.filling(context.packing.filling(index), &queries)?);
        }
        Ok((self.join(&seen)?, all))
    }

    /// As [`SelfAttention::forward`], what the wanted positions alone read: `[t, d] -> [n, d]`.
    pub fn forward_wanted(
        &self,
        x: &Tensor,
        context: &Context,
        wanted: &Wanted,
    ) -> Result<(Tensor, Vec<KeysValues>), TchError> {
        let (queries, rest) = (self.heads * self.head, 2 * self.key_heads * self.head);
        let projected = linear(x, &self.query_key_value.f_narrow(0, queries, rest)?)?;
        let projected = projected.f_chunk(2, 1)?;
        let all = self.keys_values(&projected[0], &projected[1], context)?;
        if wanted.packing.total() == 0 {
            return Ok((x.f_narrow(0, 0, 0)?, all));
        }
        let own = x.f_index_select(0, wanted.index)?;
        let queries = linear(&own, &self.query_key_value.f_narrow(0, 0, queries)?)?;
        let [cos, sin] = context.rotary;
        let rotary = [cos.f_index_select(0, wanted.index)?, sin.f_index_select(0, wanted.index)?];
        let queries = rotate(&self.by_head(&queries)?, &rotary)?;
        let mut seen = vec![];
        for (index, (row, places)) in wanted.stretches.iter().enumerate() {
            let runs = context.rows[*row].runs;
            let first = runs.first().map_or(0, |run| run.start);
            let behind = |position: usize| places.partition_point(|place| place + first < position);
            for run in runs {
                let (start, end) = (behind(run.start), behind(run.end));
                if start < end {
                    let at = (wanted.packing.row(index).start + start) as i64;
                    let length = (end - start) as i64;
                    let positions = || wanted.positions.f_narrow(0, at, length);
                    let queries = queries.f_narrow(2, at, length)?;
                    seen.push(attend(&queries, &all[*row], *run, &positions)?);
                }
            }
            seen.push(self.filling(wanted.packing.filling(index), &queries)?);
        }
        Ok((self.join(&seen)?, all))
    }

    /// Each row's keys, rotated, and values, behind those of the positions before.
    fn keys_values(
        &self,
        keys: &Tensor,
        values: &Tensor,
        context: &Context,
    ) -> Result<Vec<KeysValues>, TchError> {
        let keys = rotate(&self.by_head(keys)?, context.rotary)?;
        let values = self.by_head(values)?;
        let of_row = |(index, row): (usize, &super::layers::RowContext)| {
            let cut = |x: &Tensor| context.packing.cut(x, 2, index);
            behind(row.past, [cut(&keys)?, cut(&values)?])
        };
        context.rows.iter().enumerate().map(of_row).collect()
    }

    /// `[t, heads * head] -> [1, heads, t, head]`.
    fn by_head(&self, projected: &Tensor) -> Result<Tensor, TchError> {
        let heads = projected.size()[1] / self.head;
        projected.f_reshape([1, -1, heads, self.head])?.f_transpose(1, 2)
    }

    /// What stands between two rows.
    fn filling(&self, length: usize, like: &Tensor) -> Result<Tensor, TchError> {
        let shape = [1, self.heads, length as i64, self.head];
        Tensor::f_zeros(shape, (like.kind(), like.device()))
    }

    /// The output projection of what was read, piece behind piece: `[t, d]`.
    fn join(&self, seen: &[Tensor]) -> Result<Tensor, TchError> {
        let joined = Tensor::f_cat(seen, 2)?; // [1, heads, t, head]
        linear(&joined.f_transpose(1, 2)?.f_reshape([-1, self.heads * self.head])?, &self.output)
    }
}

/// Keys and values with those of the positions before in front of them.
fn behind(past: Option<&KeysValues>, [keys, values]: KeysValues) -> Result<KeysValues, TchError> {
    match past {
        None => Ok([keys.f_contiguous()?, values.f_contiguous()?]),
        Some([before, before_values]) => {
            Ok([Tensor::f_cat(&[before, &keys], 2)?, Tensor::f_cat(&[before_values, &values], 2)?])
        }
    }
}

/// What queries `[1, heads, n, head]` of one run read from the keys before its end. `positions`
/// tells where they stand, `[n]` i64; only some causal runs ask.
fn attend(
    queries: &Tensor,
    [keys, values]: &KeysValues,
    run: Run,
    positions: &dyn Fn() -> Result<Tensor, TchError>,
) -> Result<Tensor, TchError> {
    let end = run.end as i64;
    let (keys, values) = (keys.f_narrow(2, 0, end)?, values.f_narrow(2, 0, end)?);
    // A run of one position sees all before it, in either order.
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

    use super::super::attention::{Attention, Parts};
    use super::*;

    /// Each run's own attention, maskless where it can be, is the attention under one mask.
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
                    .flat_map(|(run, query)| (0..total).map(move |key| run.sees(query, key)))
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
