//! JD3P, the joint discrete denoising of future views and actions.
//!
//! Every step draws all unknown positions, ranks them and keeps the best; a schedule says how many
//! stay MASK. The released sampler ranks by confidence plus annealed Gumbel noise and holds one
//! position back to the end, so the ids drawn last are the result. The paper's sampler
//! ([`super::sampler`]) fixes everything in its last step.
//!
//! Source: `denoise` of the released wrappers (commit 97756cc). One thing differs: there, an
//! end-of-actions in the very last slot overwrites the prompt with MASK; here it has no effect,
//! because nothing stands behind it, and the step says so ([`Step::guarded`]).

use super::attention::Attention;
use super::generator::{Generator, PrefixCache};
use super::noise::Noise;
use super::passes::Pending;
use super::prompt::{Block, Prompt};
use super::sampler::{BehindEnd, Rules, Sampler, committed, least_confident, lowest, still_masked};
use super::sampling::{DecodeError, Drawn};
use super::transformer::Cache;

/// What one decoding needs besides its prompt and its noise.
#[derive(Debug, Clone, Copy)]
pub struct Jd3p<'a> {
    /// The model and what it may fill in.
    pub generator: Generator<'a>,
    /// Which positions see one another.
    pub attention: Attention,
    /// What of the prompt is computed once.
    pub prefix_cache: PrefixCache,
    /// Denoising steps, at least 1.
    pub steps: u16,
    /// How ids are drawn and kept.
    pub rules: Rules,
}

/// One row of a batch.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// What stands before the block.
    pub prompt: &'a Prompt,
    /// The block before its first step.
    pub block: &'a Block,
    /// The row's own random numbers.
    pub noise: &'a dyn Noise,
}

/// The state behind one step, for those who watch.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The step, from 1.
    pub step: u16,
    /// All ids of the block: drawn where they were unknown, kept elsewhere.
    pub sampled: Vec<i64>,
    /// Block positions that are MASK again, ascending.
    pub masked: Vec<usize>,
    /// The temperature that this step's ranking noise had; of the paper's sampler the one that
    /// ids are drawn at.
    pub temperature: f64,
    /// The positions that this step fixed, ascending.
    pub fixed: Vec<Fixed>,
    /// Whether the released code would have turned the whole prompt to MASK in this step, because
    /// the first end of actions stood in the very last slot. Always false of the paper's sampler.
    pub guarded: bool,
}

/// A position that a step fixed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fixed {
    /// Where in the block, from 0.
    pub position: usize,
    /// The id that stays there.
    pub id: i64,
    /// How sure the model was, 0 to 1: the probability of the id (released sampler), the largest
    /// probability of the position (paper's).
    pub confidence: f64,
}

impl Jd3p<'_> {
    /// Fills `block` behind `prompt`; calls `watch` after every step.
    ///
    /// # Errors
    /// Logits that are not finite, a sequence that is too long, whatever libtorch refuses.
    pub fn decode(
        &self,
        prompt: &Prompt,
        block: &Block,
        noise: &dyn Noise,
        watch: &mut dyn FnMut(&Step),
    ) -> Result<Vec<i64>, DecodeError> {
        let request = Request { prompt, block, noise };
        let mut generated = self.decode_batch(&[request], &mut |_, step| watch(step))?;
        Ok(generated.remove(0))
    }

    /// As [`Jd3p::decode`], for several rows at once: every row gets the ids that it gets alone.
    /// `watch` sees each step of each row with the row's number.
    ///
    /// # Errors
    /// As [`Jd3p::decode`]; what fails one row fails the batch.
    pub fn decode_batch(
        &self,
        requests: &[Request],
        watch: &mut dyn FnMut(usize, &Step),
    ) -> Result<Vec<Vec<i64>>, DecodeError> {
        let caches = self.prefill(requests)?;
        self.denoise(requests, &caches, watch)
    }

    /// The first half of [`Jd3p::decode_batch`]: what no step can change of each row.
    ///
    /// # Errors
    /// As [`Jd3p::decode`].
    pub fn prefill(&self, requests: &[Request]) -> Result<Vec<Cache>, DecodeError> {
        let limit = self.generator.model.positions();
        let lengths = requests.iter().map(|request| request.prompt.parts.total());
        if let Some(wanted) = lengths.max().filter(|&wanted| wanted > limit) {
            return Err(DecodeError::TooLong { wanted, limit });
        }
        let prompts: Vec<&Prompt> = requests.iter().map(|request| request.prompt).collect();
        self.freeze(&prompts).map_err(|source| DecodeError::Torch { step: 0, source })
    }

    /// The second half of [`Jd3p::decode_batch`]: all steps, behind what
    /// [`prefill`](Self::prefill) gave for the same requests.
    ///
    /// # Errors
    /// As [`Jd3p::decode`].
    pub fn denoise(
        &self,
        requests: &[Request],
        caches: &[Cache],
        watch: &mut dyn FnMut(usize, &Step),
    ) -> Result<Vec<Vec<i64>>, DecodeError> {
        let start = |request: &Request| Step {
            step: 0,
            sampled: request.block.ids.clone(),
            masked: positions_of(&request.block.ids, self.generator.ids.mask_token_id),
            temperature: self.rules.temperature,
            fixed: vec![],
            guarded: false,
        };
        let mut states: Vec<Step> = requests.iter().map(start).collect();
        for step in 1..=self.steps {
            self.advance(step, &mut states, requests, caches)?;
            states.iter().enumerate().for_each(|(row, state)| watch(row, state));
        }
        Ok(states.into_iter().map(|state| state.sampled).collect())
    }

    /// Takes the state of every row through step `step`.
    fn advance(
        &self,
        step: u16,
        states: &mut [Step],
        requests: &[Request],
        caches: &[Cache],
    ) -> Result<(), DecodeError> {
        let mask = self.generator.ids.mask_token_id;
        let rows = states.iter().zip(requests).zip(caches);
        // A row whose block is full stays as it is.
        let open = rows.filter(|((state, _), _)| self.open(state) > 0);
        let pending = open.map(|((state, request), cache)| {
            let mut known = state.sampled.clone();
            state.masked.iter().for_each(|&position| known[position] = mask);
            let uniforms = request.noise.sample_uniforms(step - 1, known.len());
            let (prompt, image) = (request.prompt, request.block.image);
            let unknown = &state.masked[..self.open(state)];
            Pending { prompt, cache, known, unknown, uniforms, image }
        });
        let pending: Vec<Pending> = pending.collect();
        let drawn = match pending.is_empty() {
            true => Ok(Some(vec![])),
            false => self.draw(&pending),
        };
        let drawn = drawn.map_err(|source| DecodeError::Torch { step, source })?;
        let mut drawn = drawn.ok_or(DecodeError::NotFinite { step })?.into_iter();
        for (state, request) in states.iter_mut().zip(requests) {
            state.step = step;
            state.guarded = self.ends_in_the_last_slot(state);
            state.fixed.clear();
            match self.rules.sampler {
                Sampler::Released => {
                    state.temperature *= 1.0 - f64::from(step) / f64::from(self.steps);
                }
                Sampler::Paper { temperature } => state.temperature = temperature,
            }
            let open = self.open(state);
            state.masked[open..].iter().for_each(|&position| state.sampled[position] = mask);
            if open > 0 {
                let drawn = drawn.next().expect("every open row was drawn");
                self.settle(state, &drawn, request.noise);
            }
        }
        Ok(())
    }

    /// How many of the masked positions, from the first on, are drawn in the next step.
    fn open(&self, state: &Step) -> usize {
        let masked = &state.masked;
        match self.first_end(state) {
            Some(end) if self.rules.behind_end == BehindEnd::Leave => {
                masked.partition_point(|&position| position <= end)
            }
            Some(_) | None => masked.len(),
        }
    }

    /// Where the first end of actions is fixed.
    fn first_end(&self, state: &Step) -> Option<usize> {
        let Step { sampled, masked, .. } = state;
        let end = self.generator.ids.eoa_token_id;
        let is_end = |&at: &usize| sampled[at] == end && masked.binary_search(&at).is_err();
        (0..sampled.len()).find(is_end)
    }

    fn ends_in_the_last_slot(&self, state: &Step) -> bool {
        let last = state.sampled.len().checked_sub(1);
        self.rules.sampler == Sampler::Released
            && self.open(state) > 0
            && self.first_end(state) == last
    }

    /// Puts what was drawn into the state and masks the least confident again.
    fn settle(&self, state: &mut Step, drawn: &Drawn, noise: &dyn Noise) {
        let left = state.masked.split_off(drawn.ids.len());
        for (&position, &id) in state.masked.iter().zip(&drawn.ids) {
            state.sampled[position] = id;
        }
        let (step, positions, open) = (state.step, state.sampled.len(), state.masked.len());
        let again = match self.rules.sampler {
            Sampler::Released => {
                let count = still_masked(step, self.steps, positions, open);
                let noise = noise.gumbel(step - 1, positions);
                let rank = |(&position, &confidence): (&usize, &f64)| {
                    confidence.max(1e-20).ln() + state.temperature * noise[position]
                };
                let ranks = state.masked.iter().zip(&drawn.probabilities).map(rank);
                lowest(&state.masked, &ranks.collect::<Vec<f64>>(), count)
            }
            Sampler::Paper { .. } => {
                let count = committed(step, self.steps, open);
                least_confident(&state.masked, &drawn.probabilities, count)
            }
        };
        let all = state.masked.iter().zip(drawn.ids.iter().zip(&drawn.probabilities));
        let fixed = all.filter(|(position, _)| again.binary_search(position).is_err());
        let fixed = fixed.map(|(&position, (&id, &confidence))| Fixed { position, id, confidence });
        state.fixed = fixed.collect();
        state.masked = again;
        state.masked.extend(left);
    }
}

fn positions_of(ids: &[i64], wanted: i64) -> Vec<usize> {
    (0..ids.len()).filter(|&position| ids[position] == wanted).collect()
}

#[cfg(test)]
#[path = "jd3p_tests.rs"]
mod tests;
