//! Draws ids from what the output head says, restricted to the ids that a part may use.

use tch::{Kind, TchError, Tensor};

use super::layers::linear;
use super::transformer::Transformer;

/// Why a block could not be decoded.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// libtorch refused, for example because memory ran out.
    #[error("libtorch failed in denoising step {step}")]
    Torch {
        /// The step, from 1; 0 is the prompt.
        step: u16,
        /// What it said.
        source: TchError,
    },
    /// The model's logits are not numbers.
    #[error("the model's logits in denoising step {step} are not finite")]
    NotFinite {
        /// The step, from 1.
        step: u16,
    },
    /// The sequence does not fit the model.
    #[error("a sequence of {wanted} positions is longer than the model's {limit}")]
    TooLong {
        /// Positions of prompt and block.
        wanted: usize,
        /// Positions that the model has angles for.
        limit: usize,
    },
}

/// The ids that a part may use, with their rows of the output head.
///
/// A softmax over these alone equals one over the whole vocabulary in which all others have
/// logit -inf, at a fraction of the work.
#[derive(Debug)]
pub struct Allowed {
    ids: Tensor,  // [n] i64, ascending
    rows: Tensor, // [n, d]
}

/// What was drawn, one entry per row.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawn {
    /// The ids.
    pub ids: Vec<i64>,
    /// Their probabilities.
    pub probabilities: Vec<f64>,
}

impl Allowed {
    /// `ids` in ascending order, as the inverse of a distribution over the vocabulary takes them.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn new(model: &Transformer, ids: &[i64]) -> Result<Self, TchError> {
        let tensor = Tensor::f_from_slice(ids)?.f_to_device(model.placement().device)?;
        Ok(Self { ids: tensor, rows: model.head_rows(ids)? })
    }

    /// One id per row of `states [n, d]`, at temperature 1, or nothing when a logit is not finite.
    ///
    /// Row `i` gets the smallest id whose cumulative probability exceeds `uniforms[i]` times the
    /// total. Probabilities are f32 as in the released sampler; their sums are f64, for they run
    /// over tens of thousands of ids.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn draw(&self, states: &Tensor, uniforms: &[f64]) -> Result<Option<Drawn>, TchError> {
        self.draw_from(&self.logits(states)?, uniforms)
    }

    /// What the output head says of these ids for states `[r, d]`: `[r, n]` in the model's
    /// number format.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn logits(&self, states: &Tensor) -> Result<Tensor, TchError> {
        linear(states, &self.rows)
    }

    /// As [`Allowed::draw`], from logits `[r, n]`.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn draw_from(&self, logits: &Tensor, uniforms: &[f64]) -> Result<Option<Drawn>, TchError> {
        let Some(logits) = finite(logits)? else { return Ok(None) };
        let probabilities = logits.f_softmax(-1, Kind::Float)?;
        let index = invert(&probabilities, uniforms)?;
        let ids = self.ids.f_index_select(0, &index.f_squeeze_dim(1)?)?;
        let chosen = probabilities.f_gather(1, &index, false)?.f_squeeze_dim(1)?;
        Ok(Some(Drawn {
            ids: Vec::try_from(ids)?,
            probabilities: Vec::try_from(chosen.f_to_kind(Kind::Double)?)?,
        }))
    }

    /// One id per row of `logits [r, n]` at `temperature`, with the largest probability of its
    /// row at temperature 1, or nothing when a logit is not finite.
    ///
    /// Adding Gumbel noise to every logit over `temperature` and taking the largest draws from
    /// the softmax of those; one number of `uniforms` per row draws from the same by inverting
    /// its cumulative sums. At temperature 0 it is the most probable id.
    ///
    /// Source: paper Eq. 10 (confidence) and Eq. 12 (ids).
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn draw_tempered(
        &self,
        logits: &Tensor,
        uniforms: &[f64],
        temperature: f64,
    ) -> Result<Option<Drawn>, TchError> {
        let Some(logits) = finite(logits)? else { return Ok(None) };
        let (largest, best) = logits.f_softmax(-1, Kind::Float)?.f_max_dim(-1, true)?; // [r, 1]
        let index = if temperature == 0.0 {
            best
        } else {
            // The largest logit is taken off first: a small temperature would overflow f32.
            let logits = logits.f_to_kind(Kind::Double)?;
            let logits = logits.f_sub(&logits.f_amax([-1_i64].as_slice(), true)?)?;
            invert(&logits.f_div_scalar(temperature)?.f_softmax(-1, Kind::Double)?, uniforms)?
        };
        let ids = self.ids.f_index_select(0, &index.f_squeeze_dim(1)?)?;
        let largest = largest.f_squeeze_dim(1)?.f_to_kind(Kind::Double)?;
        Ok(Some(Drawn { ids: Vec::try_from(ids)?, probabilities: Vec::try_from(largest)? }))
    }

    /// The most probable id per row of `states [n, d]`, of equals the smallest, or nothing when a
    /// logit is not finite.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn best(&self, states: &Tensor) -> Result<Option<Vec<i64>>, TchError> {
        let Some(logits) = finite(&self.logits(states)?)? else { return Ok(None) };
        let best = self.ids.f_index_select(0, &logits.f_argmax(-1, false)?)?;
        Ok(Some(Vec::try_from(best)?))
    }
}

/// The logits in f32, or nothing when one is not finite.
fn finite(logits: &Tensor) -> Result<Option<Tensor>, TchError> {
    let logits = logits.f_to_kind(Kind::Float)?;
    let finite = logits.f_isfinite()?.f_all()?.f_int64_value(&[])? != 0;
    Ok(finite.then_some(logits))
}

/// Per row of `probabilities [r, n]` the first index whose cumulative sum, in f64, exceeds
/// `uniforms` times the total: `[r, 1]`.
fn invert(probabilities: &Tensor, uniforms: &[f64]) -> Result<Tensor, TchError> {
    let cumulative = probabilities.f_cumsum(-1, Kind::Double)?;
    let last = cumulative.size()[1] - 1;
    let uniforms = Tensor::f_from_slice(uniforms)?.f_to_device(probabilities.device())?;
    let wanted = uniforms.f_unsqueeze(1)?.f_mul(&cumulative.f_narrow(1, last, 1)?)?; // [r, 1]
    wanted.f_searchsorted(&cumulative, false, true, "right", None::<Tensor>)?.f_clamp_max(last)
}
