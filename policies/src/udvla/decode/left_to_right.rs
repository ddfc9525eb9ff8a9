//! What autoregressive and Jacobi decoding share: greedy prediction under the causal mask.
//!
//! Both take the argmax of every position, restricted to the ids of the position's part: images
//! (including their marks), then the begin-of-actions mark, which is given, then actions up to the
//! first end mark.
//!
//! Source: `generate_jacobi_kv` of the released model code and its callers. The released
//! autoregressive run restricts nothing, and the released Jacobi run not its first position; here
//! both restrict everything, so that their ids can be compared.

use tch::{TchError, Tensor};

use super::generator::Generator;
use super::request::DecodeError;
use crate::udvla::checkpoint::Attention;
use crate::udvla::model::Cache;
use crate::udvla::model::mask::{Parts, from_position};
use crate::udvla::prompt::{Block, Prompt};

/// Greedy decoding of one block.
pub(super) struct Greedy<'a> {
    pub generator: &'a Generator<'a>,
    pub block: &'a Block,
}

/// The sequence so far: the cache and the next id, which is not yet in it.
pub(super) struct Progress {
    pub cache: Cache,
    pub next: i64,
}

impl Greedy<'_> {
    /// Runs the prompt and predicts the first id.
    pub fn begin(&self, prompt: &Prompt) -> Result<Progress, DecodeError> {
        let length = prompt.ids.len() + self.block.ids.len();
        let limit = self.generator.model.max_positions();
        if length > limit {
            return Err(DecodeError::TooLong { length, limit });
        }
        let (hidden, cache) = self.forward(&prompt.ids, None)?;
        let last = hidden.f_narrow(0, hidden.size()[0] - 1, 1).map_err(torch)?;
        let next = self.predict(&last, 0)?[0];
        Ok(Progress { cache, next })
    }

    /// Runs ids that continue `cache`.
    pub fn forward(
        &self,
        ids: &[i64],
        cache: Option<&Cache>,
    ) -> Result<(Tensor, Cache), DecodeError> {
        let first = cache.map_or(0, Cache::positions);
        let parts = Parts::of_text(first + ids.len());
        let runs = from_position(&Attention::Causal.runs(&parts, None), first);
        self.generator.model.forward(ids, &runs, cache).map_err(torch)
    }

    /// Argmax of the block positions from `first` on, one per row of `hidden`.
    pub fn predict(
        &self,
        hidden: &Tensor, // [n, d]
        first: usize,
    ) -> Result<Vec<i64>, DecodeError> {
        let rows = hidden.size()[0];
        let images = (self.block.image_positions.saturating_sub(first) as i64).min(rows);
        let mut ids = vec![];
        for (head, start, length) in
            [(self.generator.image, 0, images), (self.generator.action, images, rows - images)]
        {
            if length > 0 {
                let part = hidden.f_narrow(0, start, length).map_err(torch)?;
                let best = head.argmax(&part).map_err(torch)?;
                ids.extend(best.ok_or(DecodeError::NotFinite { step: 0 })?);
            }
        }
        Ok(ids)
    }

    /// The given id of a position: the begin-of-actions mark.
    pub fn given(&self, position: usize) -> Option<i64> {
        (position == self.block.image_positions).then_some(self.generator.ids.boa_token_id)
    }

    /// Whether `id` is the end of actions.
    pub fn is_end(&self, id: i64) -> bool {
        id == self.generator.ids.eoa_token_id
    }
}

fn torch(source: TchError) -> DecodeError {
    DecodeError::Torch { step: 0, source }
}

#[cfg(test)]
#[path = "left_to_right_tests.rs"]
mod tests;
