//! The two decoders that go from left to right: autoregressive, and its parallel form by Jacobi.
//!
//! Both take the most probable id of every position, restricted to what the position's part may
//! be: views (their marks included), then the begin mark of the actions, which is given, then
//! actions up to the first end mark. Jacobi guesses a whole stretch and replaces every guess by
//! what the ids before it predict, until nothing changes; that fixed point is what
//! autoregressive decoding gives.
//!
//! Source: `generate_jacobi_kv` of the released model code and its callers. The released
//! autoregressive run restricts nothing, and the released Jacobi run not its first position; here
//! both restrict all, so that their ids can be compared.

use tch::{TchError, Tensor};

use super::attention::{Attention, Parts, from_position};
use super::generator::Generator;
use super::noise::Noise;
use super::prompt::{Block, Prompt};
use super::sampling::DecodeError;
use super::transformer::Cache;

/// Decoding from left to right. The attention is causal.
#[derive(Debug, Clone, Copy)]
pub struct Sequential<'a> {
    /// The model and what it may fill in; positions of views may become marks too.
    pub generator: Generator<'a>,
}

/// How Jacobi iterates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jacobi {
    /// Positions that are guessed at once, at least 1.
    pub stretch: usize,
    /// Iterations after which a stretch is taken as it is; without one it goes on until nothing
    /// changes. The released cap is the stretch's length, which a causal model never reaches.
    pub cap: Option<usize>,
}

impl Default for Jacobi {
    /// The released script: 64 at once, to the fixed point.
    fn default() -> Self {
        Self { stretch: 64, cap: None }
    }
}

/// What Jacobi generated and what it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Iterated {
    /// The block up to the end of actions.
    pub ids: Vec<i64>,
    /// Forward passes over stretches.
    pub passes: usize,
    /// Stretches that the cap stopped before their fixed point.
    pub stopped: usize,
}

/// The sequence so far: its cache and the ids that are predicted but not yet in it.
struct Progress {
    cache: Cache,
    /// The next id, settled but without states of its own yet.
    next: i64,
}

impl Sequential<'_> {
    /// Fills `block` behind `prompt` one id after the other, up to the first end of actions.
    ///
    /// # Errors
    /// Logits that are not finite, a sequence that is too long, whatever libtorch refuses.
    pub fn autoregressive(&self, prompt: &Prompt, block: &Block) -> Result<Vec<i64>, DecodeError> {
        let mut progress = self.begin(prompt, block)?;
        let mut ids: Vec<i64> = vec![];
        while ids.len() < block.ids.len() {
            let id = self.given(block, ids.len()).unwrap_or(progress.next);
            ids.push(id);
            if id == self.generator.ids.eoa_token_id {
                break;
            }
            let (states, cache) = self.forward(&[id], Some(&progress.cache))?;
            let next = self.predict(&states, block, ids.len())?;
            progress = Progress { cache, next: next[0] };
        }
        Ok(ids)
    }

    /// Fills `block` behind `prompt` by stretches; `noise` guesses their first ids from the
    /// prompt's own, which the fixed point does not depend on.
    ///
    /// # Errors
    /// As [`Sequential::autoregressive`].
    pub fn jacobi(
        &self,
        prompt: &Prompt,
        block: &Block,
        noise: &dyn Noise,
        jacobi: Jacobi,
    ) -> Result<Iterated, DecodeError> {
        let mut progress = self.begin(prompt, block)?;
        let mut done = Iterated { ids: vec![], passes: 0, stopped: 0 };
        let guesses = noise.sample_uniforms(0, block.ids.len());
        let guess = |at: usize| {
            let index = (guesses[at] * prompt.ids.len() as f64) as usize;
            prompt.ids[index.min(prompt.ids.len() - 1)]
        };
        while done.ids.len() < block.ids.len() {
            let start = done.ids.len();
            let part = if start < block.image { block.image } else { block.ids.len() };
            let end = (start + jacobi.stretch.max(1)).min(part);
            let first = self.given(block, start).unwrap_or(progress.next);
            let stretch = [first].into_iter().chain((start + 1..end).map(&guess)).collect();
            let (stretch, next) =
                self.settle(stretch, start, block, (&mut done, &progress, jacobi))?;
            progress = next;
            let ends = |&id: &i64| start >= block.image && id == self.generator.ids.eoa_token_id;
            let length = stretch.iter().position(&ends).map_or(stretch.len(), |at| at + 1);
            done.ids.extend(&stretch[..length]);
            if length < stretch.len() || stretch.last().is_some_and(ends) {
                break;
            }
        }
        Ok(done)
    }

    /// Iterates one stretch, block positions from `start` on, whose first id is settled.
    fn settle(
        &self,
        mut stretch: Vec<i64>,
        start: usize,
        block: &Block,
        (done, progress, jacobi): (&mut Iterated, &Progress, Jacobi),
    ) -> Result<(Vec<i64>, Progress), DecodeError> {
        let mut iterations = 0;
        loop {
            let (states, cache) = self.forward(&stretch, Some(&progress.cache))?;
            done.passes += 1;
            let mut predicted = self.predict(&states, block, start + 1)?;
            let next = predicted.pop().expect("a stretch has a position");
            predicted.insert(0, stretch[0]);
            let fixed = predicted == stretch;
            stretch = predicted;
            iterations += 1;
            let capped = !fixed && jacobi.cap.is_some_and(|cap| iterations >= cap);
            done.stopped += usize::from(capped);
            if fixed || capped {
                return Ok((stretch, Progress { cache, next }));
            }
        }
    }

    /// The prompt in the cache and the first id behind it.
    fn begin(&self, prompt: &Prompt, block: &Block) -> Result<Progress, DecodeError> {
        let wanted = prompt.ids.len() + block.ids.len();
        let limit = self.generator.model.positions();
        if wanted > limit {
            return Err(DecodeError::TooLong { wanted, limit });
        }
        let (states, cache) = self.forward(&prompt.ids, None)?;
        let rows = states.size()[0];
        let last = states.f_narrow(0, rows - 1, 1).map_err(torch)?;
        let next = self.predict(&last, block, 0)?[0];
        Ok(Progress { cache, next })
    }

    fn forward(&self, ids: &[i64], cache: Option<&Cache>) -> Result<(Tensor, Cache), DecodeError> {
        let first = cache.map_or(0, Cache::positions);
        let parts = Parts::of_text(first + ids.len());
        let runs = from_position(&Attention::Causal.runs(&parts, None), first);
        self.generator.model.forward(ids, &runs, cache).map_err(torch)
    }

    /// The most probable ids of the block positions from `first` on, one per row of `states`.
    fn predict(
        &self,
        states: &Tensor, // [n, d]
        block: &Block,
        first: usize,
    ) -> Result<Vec<i64>, DecodeError> {
        let rows = states.size()[0];
        let image = (block.image.saturating_sub(first) as i64).min(rows);
        let mut ids = vec![];
        for (allowed, start, length) in
            [(self.generator.image, 0, image), (self.generator.action, image, rows - image)]
        {
            if length > 0 {
                let part = states.f_narrow(0, start, length).map_err(torch)?;
                let best = allowed.best(&part).map_err(torch)?;
                ids.extend(best.ok_or(DecodeError::NotFinite { step: 0 })?);
            }
        }
        Ok(ids)
    }

    /// The id of a position that is not predicted: the begin mark of the actions.
    fn given(&self, block: &Block, position: usize) -> Option<i64> {
        (position == block.image).then_some(self.generator.ids.boa_token_id)
    }
}

fn torch(source: TchError) -> DecodeError {
    DecodeError::Torch { step: 0, source }
}

#[cfg(test)]
#[path = "sequential_tests.rs"]
mod tests;
