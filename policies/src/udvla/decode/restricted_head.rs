//! The output head restricted to allowed ids, and sampling from it.

use tch::{Kind, TchError, Tensor};

use super::sampler::{Rules, Sampler};
use crate::udvla::model::transfer::download;
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

/// The same on the device. Nothing waits for it until [`Drawn::read`] reads all of a batch at once.
#[derive(Debug)]
pub(super) struct Drawn {
    ids: Tensor,         // [r] i64
    confidences: Tensor, // [r] f64
    finite: Tensor,      // [1] bool: whether every logit is
}

impl Drawn {
    /// The values of all in one transfer; `None` if a logit is not finite.
    pub fn read(all: &[Self]) -> Result<Option<Vec<Draws>>, TchError> {
        let field =
            |of: fn(&Self) -> &Tensor| all.iter().map(move |drawn| of(drawn).shallow_clone());
        let tensors: Vec<Tensor> = field(|drawn| &drawn.finite)
            .chain(field(|drawn| &drawn.ids))
            .chain(field(|drawn| &drawn.confidences))
            .collect();
        let mut values = download(&tensors)?.into_iter();
        if values.by_ref().take(all.len()).any(|is_finite| is_finite == 0) {
            return Ok(None);
        }
        let rows: Vec<usize> = all.iter().map(|drawn| drawn.ids.size()[0] as usize).collect();
        let mut take = |rows: &usize| values.by_ref().take(*rows).collect::<Vec<i64>>();
        let ids: Vec<Vec<i64>> = rows.iter().map(&mut take).collect();
        let bits: Vec<Vec<i64>> = rows.iter().map(&mut take).collect();
        let real = |bits: i64| f64::from_bits(bits.cast_unsigned());
        let draws = ids
            .into_iter()
            .zip(bits)
            .map(|(ids, bits)| Draws { ids, confidences: bits.into_iter().map(real).collect() });
        Ok(Some(draws.collect()))
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

    /// Draws an id per row of `logits [r, n]` by `rules`, with the numbers `uniforms [r]`.
    pub(super) fn draw(
        &self,
        logits: &Tensor,
        uniforms: &Tensor,
        rules: &Rules,
    ) -> Result<Drawn, TchError> {
        let logits = logits.f_to_kind(Kind::Float)?;
        let [ids, confidences] = match rules.sampler {
            Sampler::Released => self.draw_released(&logits, uniforms)?,
            Sampler::Paper => self.draw_tempered(&logits, uniforms, rules.temperature)?,
        };
        Ok(Drawn { ids, confidences, finite: all_finite(&logits)? })
    }

    /// One id per row at temperature 1; its confidence is its probability.
    ///
    /// Row `i` gets the smallest id whose cumulative probability exceeds `uniforms[i]` times the
    /// total. Probabilities are f32 as in the released sampler; their sums are f64, because they
    /// run over tens of thousands of ids.
    fn draw_released(&self, logits: &Tensor, uniforms: &Tensor) -> Result<[Tensor; 2], TchError> {
        let probabilities = logits.f_softmax(-1, Kind::Float)?;
        let index = invert(&probabilities, uniforms)?;
        let ids = self.ids.f_index_select(0, &index.f_squeeze_dim(1)?)?;
        let chosen = probabilities.f_gather(1, &index, false)?.f_squeeze_dim(1)?;
        Ok([ids, chosen.f_to_kind(Kind::Double)?])
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
        uniforms: &Tensor,
        temperature: f64,
    ) -> Result<[Tensor; 2], TchError> {
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
        Ok([ids, largest.f_squeeze_dim(1)?.f_to_kind(Kind::Double)?])
    }

    /// Argmax per row of hidden states `[n, d]` (ties: smallest id); `None` if a logit is not
    /// finite.
    pub fn argmax(&self, hidden: &Tensor) -> Result<Option<Vec<i64>>, TchError> {
        let logits = self.logits(hidden)?.f_to_kind(Kind::Float)?;
        let best = self.ids.f_index_select(0, &logits.f_argmax(-1, false)?)?;
        let mut values = download(&[best, all_finite(&logits)?])?;
        let is_finite = values.pop() != Some(0);
        Ok(is_finite.then_some(values))
    }
}

/// Whether all logits are finite: `[1]` bool.
fn all_finite(logits: &Tensor) -> Result<Tensor, TchError> {
    logits.f_isfinite()?.f_all()?.f_view([1])
}

/// For each row of `probabilities [r, n]`, the first index whose cumulative sum, in f64, exceeds
/// `uniforms` times the total: `[r, 1]`.
fn invert(probabilities: &Tensor, uniforms: &Tensor) -> Result<Tensor, TchError> {
    let cumulative = probabilities.f_cumsum(-1, Kind::Double)?;
    let last = cumulative.size()[1] - 1;
    let thresholds = uniforms.f_unsqueeze(1)?.f_mul(&cumulative.f_narrow(1, last, 1)?)?; // [r, 1]
    thresholds.f_searchsorted(&cumulative, false, true, "right", None::<Tensor>)?.f_clamp_max(last)
}
