//! The output head restricted to allowed ids, and sampling from it.

use tch::{Kind, TchError, Tensor};

use super::sampler::{Rules, Sampler};
use crate::udvla::model::{Transformer, linear};

/// Rows of the output head for the ids that a part of the block may take.
///
/// A softmax over these rows equals one over the whole vocabulary with logit -inf for all other
/// ids, at a fraction of the work.
#[derive(Debug)]
pub struct RestrictedHead {
    ids: Tensor,  // [n] i64, ascending
    rows: Tensor, // [n, d]
}

/// One drawn id per position, with its confidence.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Draws {
    pub ids: Vec<i64>,
    pub confidences: Vec<f64>,
}

impl Draws {
    /// Adds the draws of further positions.
    pub fn append(&mut self, others: Self) {
        self.ids.extend(others.ids);
        self.confidences.extend(others.confidences);
    }
}

impl RestrictedHead {
    /// Selects the rows of `ids`, which must be ascending: sampling inverts the cumulative
    /// distribution in this order.
    pub fn new(model: &Transformer, ids: &[i64]) -> Result<Self, TchError> {
        let tensor = Tensor::f_from_slice(ids)?.f_to_device(model.placement().device)?;
        Ok(Self { ids: tensor, rows: model.head_rows(ids)? })
    }

    /// Logits of the allowed ids for hidden states `[r, d]`: `[r, n]` in the model's number format.
    pub fn logits(&self, hidden: &Tensor) -> Result<Tensor, TchError> {
        linear(hidden, &self.rows)
    }

    /// Draws an id per row of `logits [r, n]` by `rules`; `None` if a logit is not finite.
    pub(super) fn draw(
        &self,
        logits: &Tensor,
        uniforms: &[f64],
        rules: &Rules,
    ) -> Result<Option<Draws>, TchError> {
        let Some(logits) = finite(logits)? else { return Ok(None) };
        match rules.sampler {
            Sampler::Released => self.draw_released(&logits, uniforms).map(Some),
            Sampler::Paper => self.draw_tempered(&logits, uniforms, rules.temperature).map(Some),
        }
    }

    /// One id per row at temperature 1; its confidence is its probability.
    ///
    /// Row `i` gets the smallest id whose cumulative probability exceeds `uniforms[i]` times the
    /// total. Probabilities are f32 as in the released sampler; their sums are f64, because they
    /// run over tens of thousands of ids.
    fn draw_released(&self, logits: &Tensor, uniforms: &[f64]) -> Result<Draws, TchError> {
        let probabilities = logits.f_softmax(-1, Kind::Float)?;
        let index = invert(&probabilities, uniforms)?;
        let ids = self.ids.f_index_select(0, &index.f_squeeze_dim(1)?)?;
        let chosen = probabilities.f_gather(1, &index, false)?.f_squeeze_dim(1)?;
        Ok(Draws {
            ids: Vec::try_from(ids)?,
            confidences: Vec::try_from(chosen.f_to_kind(Kind::Double)?)?,
        })
    }

    /// One id per row at `temperature` (argmax at 0); its confidence is the largest probability of
    /// the row at temperature 1.
    ///
    /// The paper's Gumbel-max over `logits / temperature` samples from their softmax; inverting the
    /// cumulative sums with one number of `uniforms` per row samples from the same distribution.
    ///
    /// Source: paper Eq. 10 (confidence) and Eq. 12 (ids).
    fn draw_tempered(
        &self,
        logits: &Tensor,
        uniforms: &[f64],
        temperature: f64,
    ) -> Result<Draws, TchError> {
        let (largest, best) = logits.f_softmax(-1, Kind::Float)?.f_max_dim(-1, true)?; // [r, 1]
        let index = if temperature == 0.0 {
            best
        } else {
            // Subtracting the maximum avoids an overflow at small temperatures.
            let logits = logits.f_to_kind(Kind::Double)?;
            let logits = logits.f_sub(&logits.f_amax([-1_i64].as_slice(), true)?)?;
            invert(&logits.f_div_scalar(temperature)?.f_softmax(-1, Kind::Double)?, uniforms)?
        };
        let ids = self.ids.f_index_select(0, &index.f_squeeze_dim(1)?)?;
        let largest = largest.f_squeeze_dim(1)?.f_to_kind(Kind::Double)?;
        Ok(Draws { ids: Vec::try_from(ids)?, confidences: Vec::try_from(largest)? })
    }

    /// Argmax per row of hidden states `[n, d]` (ties: smallest id); `None` if a logit is not
    /// finite.
    pub fn argmax(&self, hidden: &Tensor) -> Result<Option<Vec<i64>>, TchError> {
        let Some(logits) = finite(&self.logits(hidden)?)? else { return Ok(None) };
        let best = self.ids.f_index_select(0, &logits.f_argmax(-1, false)?)?;
        Ok(Some(Vec::try_from(best)?))
    }
}

/// Logits in f32; `None` if one is not finite.
fn finite(logits: &Tensor) -> Result<Option<Tensor>, TchError> {
    let logits = logits.f_to_kind(Kind::Float)?;
    let finite = logits.f_isfinite()?.f_all()?.f_int64_value(&[])? != 0;
    Ok(finite.then_some(logits))
}

/// For each row of `probabilities [r, n]`, the first index whose cumulative sum, in f64, exceeds
/// `uniforms` times the total: `[r, 1]`.
fn invert(probabilities: &Tensor, uniforms: &[f64]) -> Result<Tensor, TchError> {
    let cumulative = probabilities.f_cumsum(-1, Kind::Double)?;
    let last = cumulative.size()[1] - 1;
    let uniforms = Tensor::f_from_slice(uniforms)?.f_to_device(probabilities.device())?;
    let thresholds = uniforms.f_unsqueeze(1)?.f_mul(&cumulative.f_narrow(1, last, 1)?)?; // [r, 1]
    thresholds.f_searchsorted(&cumulative, false, true, "right", None::<Tensor>)?.f_clamp_max(last)
}
