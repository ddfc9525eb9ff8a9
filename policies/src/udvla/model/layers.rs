//! A transformer layer: norm, self-attention, norm, feed-forward.

use tch::{Kind, TchError, Tensor};

use super::context::{Context, KeysValues, Selection, linear};
use super::self_attention::SelfAttention;
use crate::udvla::checkpoint::{CheckpointError, ModelConfig};

/// One transformer layer.
#[derive(Debug)]
pub(super) struct Layer {
    attention_norm: Norm,
    attention: SelfAttention,
    feed_forward_norm: Norm,
    feed_forward: FeedForward,
}

/// Root-mean-square norm over the last axis.
#[derive(Debug)]
pub(super) struct Norm {
    pub weight: Tensor, // [d]
    pub epsilon: f64,
}

#[derive(Debug)]
struct FeedForward {
    gate_up: Tensor, // [2 * inner, d]
    down: Tensor,    // [d, inner]
}

/// Returns the weight of a name and shape.
pub type TensorLoader<'a> = dyn FnMut(&str, &[i64]) -> Result<Tensor, CheckpointError> + 'a;

impl Layer {
    /// Builds layer number `index`.
    pub fn build(
        config: &ModelConfig,
        index: i64,
        load: &mut TensorLoader<'_>,
    ) -> Result<Self, CheckpointError> {
        let sizes = &config.sizes;
        let (d, inner, head) = (sizes.hidden_size, sizes.intermediate_size, config.head_size());
        let (heads, key_heads) = (sizes.num_attention_heads, sizes.num_key_value_heads);
        let epsilon = sizes.rms_norm_eps;
        let mut weight =
            |part: &str, shape: &[i64]| load(&format!("model.layers.{index}.{part}.weight"), shape);
        let query_key_value = [
            weight("self_attn.q_proj", &[heads * head, d])?,
            weight("self_attn.k_proj", &[key_heads * head, d])?,
            weight("self_attn.v_proj", &[key_heads * head, d])?,
        ];
        let gate_up = [weight("mlp.gate_proj", &[inner, d])?, weight("mlp.up_proj", &[inner, d])?];
        let join = |parts: &[Tensor]| Tensor::f_cat(parts, 0).map_err(loading("a layer"));
        Ok(Self {
            attention_norm: Norm { weight: weight("input_layernorm", &[d])?, epsilon },
            attention: SelfAttention {
                query_key_value: join(&query_key_value)?,
                output: weight("self_attn.o_proj", &[d, heads * head])?,
                heads,
                key_heads,
                head,
            },
            feed_forward_norm: Norm { weight: weight("post_attention_layernorm", &[d])?, epsilon },
            feed_forward: FeedForward {
                gate_up: join(&gate_up)?,
                down: weight("mlp.down_proj", &[d, inner])?,
            },
        })
    }

    /// Output for `x [t, d]`, and each sequence's keys and values of all positions so far.
    pub fn forward(
        &self,
        x: &Tensor,
        context: &Context,
    ) -> Result<(Tensor, Vec<KeysValues>), TchError> {
        let y = self.attention_norm.forward(x)?;
        let (attended, keys_values) = self.attention.forward(&y, context)?;
        Ok((self.add_feed_forward(&x.f_add(&attended)?)?, keys_values))
    }

    /// As [`Layer::forward`], output of the selected positions only: `[n, d]`. Keys and values are
    /// those of all positions.
    pub fn forward_selected(
        &self,
        x: &Tensor,
        context: &Context,
        selection: &Selection,
    ) -> Result<(Tensor, Vec<KeysValues>), TchError> {
        let y = self.attention_norm.forward(x)?;
        let (attended, keys_values) = self.attention.forward_selected(&y, context, selection)?;
        if selection.packing.total() == 0 {
            return Ok((attended, keys_values));
        }
        let x = x.f_index_select(0, selection.index)?;
        Ok((self.add_feed_forward(&x.f_add(&attended)?)?, keys_values))
    }

    /// Second half of the layer: norm, feed-forward, residual connection.
    fn add_feed_forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let y = self.feed_forward.forward(&self.feed_forward_norm.forward(x)?)?;
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
    /// `x [t, d]` scaled to unit mean square, times the weight. Computed in f32, even for an f64
    /// model, and cast back before the multiplication, as in the released code.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let kind = x.kind();
        let x = x.f_to_kind(Kind::Float)?;
        let square = x.f_square()?.f_mean_dim([-1].as_slice(), true, Kind::Float)?; // [t, 1]
        let scale = square.f_add_scalar(self.epsilon)?.f_rsqrt()?;
        x.f_mul(&scale)?.f_to_kind(kind)?.f_mul(&self.weight)
    }
}

/// Converts a libtorch error while loading `what`.
pub(super) fn loading(what: &'static str) -> impl Fn(TchError) -> CheckpointError {
    move |source| CheckpointError::Torch { what: what.into(), source }
}
