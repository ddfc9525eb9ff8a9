//! One block of the language model: norm, self-attention, norm, feed-forward.

use std::cell::Cell;

use tch::{Kind, TchError, Tensor};

use super::attention::Run;
use super::config::ModelConfig;
use super::error::CheckpointError;
use super::packing::Packing;
use super::self_attention::{KeysValues, SelfAttention, Wanted};

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
    pub past: Option<&'a KeysValues>,
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
    ) -> Result<(Tensor, Vec<KeysValues>), TchError> {
        let y = self.before_attention.forward(x)?;
        let (seen, keys_values) = self.attention.forward(&y, context)?;
        Ok((self.feed(&x.f_add(&seen)?)?, keys_values))
    }

    /// As [`Layer::forward`], the wanted positions alone: `[n, d]`. Keys and values are of all.
    pub fn forward_wanted(
        &self,
        x: &Tensor,
        context: &Context,
        wanted: &Wanted,
    ) -> Result<(Tensor, Vec<KeysValues>), TchError> {
        let y = self.before_attention.forward(x)?;
        let (seen, keys_values) = self.attention.forward_wanted(&y, context, wanted)?;
        if wanted.packing.total() == 0 {
            return Ok((seen, keys_values));
        }
        let x = x.f_index_select(0, wanted.index)?;
        Ok((self.feed(&x.f_add(&seen)?)?, keys_values))
    }

    /// The second half of the layer.
    fn feed(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let y = self.feed_forward.forward(&self.before_feed_forward.forward(x)?)?;
        x.f_add(&y)
    }
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

/// `x [n, in]` times the transpose of `weight [out, in]`.
pub(super) fn linear(x: &Tensor, weight: &Tensor) -> Result<Tensor, TchError> {
    PRODUCTS.set(PRODUCTS.get() + 1);
    x.f_linear(weight, None::<Tensor>)
}

thread_local! {
    static PRODUCTS: Cell<u64> = const { Cell::new(0) };
}

/// How many products of states with weights this thread has asked for since it began, however
/// many rows share them: four per layer and forward pass; five in a last layer that works out
/// only what is wanted, or one where nothing is; and one per part of the output head.
pub fn products() -> u64 {
    PRODUCTS.get()
}

/// Names what was being loaded when libtorch failed.
pub(super) fn loading(what: &'static str) -> impl Fn(TchError) -> CheckpointError {
    move |source| CheckpointError::Torch { what: what.into(), source }
}
