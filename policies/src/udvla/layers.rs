//! One block of the language model: norm, self-attention over runs, norm, feed-forward.

use std::cell::Cell;

use tch::{Kind, TchError, Tensor};

use super::attention::{Order, Run};
use super::config::ModelConfig;
use super::error::CheckpointError;
use super::packing::Packing;

/// One block.
#[derive(Debug)]
pub(super) struct Layer {
    before_attention: Norm,
    attention: SelfAttention,
    before_feed_forward: Norm,
    feed_forward: FeedForward,
}

/// Root-mean-square norm over the last axis.
#[derive(Debug)]
pub(super) struct Norm {
    /// Multiplies the normalised states.
    pub weight: Tensor, // [d]
    /// Added to the mean square.
    pub epsilon: f64,
}

/// What a layer needs to know of the sequences of a batch.
pub(super) struct Context<'a> {
    /// Where the new positions of each row lie among the `t` of all.
    pub packing: &'a Packing,
    /// Cosine and sine of the new positions: `[t, head]` each.
    pub rotary: &'a [Tensor; 2],
    /// Each row's own.
    pub rows: &'a [RowContext<'a>],
}

/// What a layer needs to know of one row's sequence.
pub(super) struct RowContext<'a> {
    /// What the new positions see.
    pub runs: &'a [Run],
    /// Keys and values of the positions before: `[1, key heads, p, head]` each.
    pub past: Option<&'a [Tensor; 2]>,
}

#[derive(Debug)]
struct SelfAttention {
    query_key_value: Tensor, // [(heads + 2 * key heads) * head, d]
    output: Tensor,          // [d, heads * head]
    heads: i64,
    key_heads: i64,
    head: i64,
}

#[derive(Debug)]
struct FeedForward {
    gate_up: Tensor, // [2 * inner, d]
    down: Tensor,    // [d, inner]
}

/// Gives the weight of a name in a shape.
pub type Get<'a> = dyn FnMut(&str, &[i64]) -> Result<Tensor, CheckpointError> + 'a;

impl Layer {
    /// Layer number `index` of a configured model, from `get`.
    pub fn build(
        config: &ModelConfig,
        index: i64,
        get: &mut Get<'_>,
    ) -> Result<Self, CheckpointError> {
        let sizes = &config.sizes;
        let (d, inner, head) = (sizes.hidden_size, sizes.intermediate_size, config.head_size());
        let (heads, key_heads) = (sizes.num_attention_heads, sizes.num_key_value_heads);
        let epsilon = sizes.rms_norm_eps;
        let mut weight =
            |part: &str, shape: &[i64]| get(&format!("model.layers.{index}.{part}.weight"), shape);
        let query_key_value = [
            weight("self_attn.q_proj", &[heads * head, d])?,
            weight("self_attn.k_proj", &[key_heads * head, d])?,
            weight("self_attn.v_proj", &[key_heads * head, d])?,
        ];
        let gate_up = [weight("mlp.gate_proj", &[inner, d])?, weight("mlp.up_proj", &[inner, d])?];
        let join = |parts: &[Tensor]| Tensor::f_cat(parts, 0).map_err(loading("a layer"));
        Ok(Self {
            before_attention: Norm { weight: weight("input_layernorm", &[d])?, epsilon },
            attention: SelfAttention {
                query_key_value: join(&query_key_value)?,
                output: weight("self_attn.o_proj", &[d, heads * head])?,
                heads,
                key_heads,
                head,
            },
            before_feed_forward: Norm {
                weight: weight("post_attention_layernorm", &[d])?,
                epsilon,
            },
            feed_forward: FeedForward {
                gate_up: join(&gate_up)?,
                down: weight("mlp.down_proj", &[d, inner])?,
            },
        })
    }

    /// `x [t, d]` behind this layer, and keys and values of all positions so far of each row.
    pub fn forward(
        &self,
        x: &Tensor,
        context: &Context,
    ) -> Result<(Tensor, Vec<[Tensor; 2]>), TchError> {
        let (y, keys_values) =
            self.attention.forward(&self.before_attention.forward(x)?, context)?;
        let x = x.f_add(&y)?;
        let y = self.feed_forward.forward(&self.before_feed_forward.forward(&x)?)?;
        Ok((x.f_add(&y)?, keys_values))
    }
}

impl SelfAttention {
    /// The projections are products over the whole batch; each row attends for itself.
    fn forward(
        &self,
        x: &Tensor,
        context: &Context,
    ) -> Result<(Tensor, Vec<[Tensor; 2]>), TchError> {
        let parts = [self.heads, self.key_heads, self.key_heads].map(|heads| heads * self.head);
        let projected = linear(x, &self.query_key_value)?.f_split_with_sizes(parts, 1)?;
        let by_head = |part: &Tensor, heads: i64| {
            part.f_reshape([1, -1, heads, self.head])?.f_transpose(1, 2) // [1, heads, t, head]
        };
        let queries = rotate(&by_head(&projected[0], self.heads)?, context.rotary)?;
        let keys = rotate(&by_head(&projected[1], self.key_heads)?, context.rotary)?;
        let values = by_head(&projected[2], self.key_heads)?;
        let (mut seen, mut cache) = (vec![], vec![]);
        for (index, row) in context.rows.iter().enumerate() {
            let cut = |x: &Tensor| context.packing.cut(x, 2, index);
            let (queries, new) = (cut(&queries)?, [cut(&keys)?, cut(&values)?]);
            let [keys, values] = behind(row.past, new)?;
            seen.extend(by_runs(&queries, &keys, &values, row.runs)?);
            let filling = [1, self.heads, context.packing.filling(index) as i64, self.head];
            seen.push(Tensor::f_zeros(filling, (queries.kind(), queries.device()))?);
            cache.push([keys, values]);
        }
        let joined = Tensor::f_cat(&seen, 2)?; // [1, heads, t, head]
        let joined = joined.f_transpose(1, 2)?.f_reshape([-1, self.heads * self.head])?;
        Ok((linear(&joined, &self.output)?, cache))
    }
}

/// Keys and values with those of the positions before in front of them.
fn behind(
    past: Option<&[Tensor; 2]>,
    [keys, values]: [Tensor; 2],
) -> Result<[Tensor; 2], TchError> {
    match past {
        None => Ok([keys.f_contiguous()?, values.f_contiguous()?]),
        Some([before, before_values]) => {
            Ok([Tensor::f_cat(&[before, &keys], 2)?, Tensor::f_cat(&[before_values, &values], 2)?])
        }
    }
}

/// What the queries `[1, heads, t, head]` read, run by run.
fn by_runs(
    queries: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    runs: &[Run],
) -> Result<Vec<Tensor>, TchError> {
    let first = runs.first().map_or(0, |run| run.start);
    let one = |run: &Run| {
        let (start, length) = ((run.start - first) as i64, (run.end - run.start) as i64);
        attend(&queries.f_narrow(2, start, length)?, keys, values, *run)
    };
    runs.iter().map(one).collect()
}

impl FeedForward {
    /// `down(silu(gate(x)) * up(x))`, `[t, d] -> [t, d]`.
    fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let halves = linear(x, &self.gate_up)?.f_chunk(2, 1)?; // 2 x [t, inner]
        linear(&halves[0].f_silu()?.f_mul(&halves[1])?, &self.down)
    }
}

impl Norm {
    /// `x [t, d]` with unit mean square, times the weight. Always in f32, an f64 model included,
    /// and cast back before the weight is multiplied, as the released code does it.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let kind = x.kind();
        let x = x.f_to_kind(Kind::Float)?;
        let square = x.f_square()?.f_mean_dim([-1].as_slice(), true, Kind::Float)?; // [t, 1]
        let scale = square.f_add_scalar(self.epsilon)?.f_rsqrt()?;
        x.f_mul(&scale)?.f_to_kind(kind)?.f_mul(&self.weight)
    }
}

/// What the queries of one run, `[1, heads, run, head]`, read from the keys before its end.
fn attend(queries: &Tensor, keys: &Tensor, values: &Tensor, run: Run) -> Result<Tensor, TchError> {
    let keys = keys.f_narrow(2, 0, run.end as i64)?;
    let values = values.f_narrow(2, 0, run.end as i64)?;
    let triangle = run.order == Order::Causal;
    let square = triangle && run.start == 0;
    let mask = (triangle && !square).then(|| {
        let ones = [(run.end - run.start) as i64, run.end as i64];
        // Query i of the run is position `start + i` and sees the keys up to itself.
        Tensor::f_ones(ones, (Kind::Bool, queries.device()))?.f_tril(run.start as i64)
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

/// `x [n, in]` times the transpose of `weight [out, in]`.
pub(super) fn linear(x: &Tensor, weight: &Tensor) -> Result<Tensor, TchError> {
    PRODUCTS.set(PRODUCTS.get() + 1);
    x.f_linear(weight, None::<Tensor>)
}

thread_local! {
    static PRODUCTS: Cell<u64> = const { Cell::new(0) };
}

/// How many products of states with weights this thread has asked for since it began: four per
/// layer and forward pass, and one per part of the output head, however many rows share them.
pub fn products() -> u64 {
    PRODUCTS.get()
}

/// Names what was being loaded when libtorch failed.
pub(super) fn loading(what: &'static str) -> impl Fn(TchError) -> CheckpointError {
    move |source| CheckpointError::Torch { what: what.into(), source }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::super::attention::{Attention, Parts};
    use super::*;

    /// Each run's own attention, maskless where it can be, is the attention under one mask.
    #[test]
    fn attention_by_runs_is_attention_under_the_whole_mask() {
        let parts = Parts { text: 5, views: vec![7, 4], actions: 6 };
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
                    attend(&queries.narrow(2, start, length), &keys, &values, *run).unwrap()
                });
                let joined = Tensor::cat(&by_run.collect::<Vec<_>>(), 2);
                let apart = (joined - whole).abs().max().double_value(&[]);
                assert!(apart < 1e-14, "{attention} {end:?}: {apart:e}");
            }
        }
    }
}
