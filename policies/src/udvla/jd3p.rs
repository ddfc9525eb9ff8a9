//! JD3P, the joint discrete denoising of future views and actions.
//!
//! Every step draws all unknown positions, ranks them and keeps the best; a schedule says how many
//! stay MASK. The released sampler ranks by confidence plus annealed Gumbel noise and holds one
//! position back to the end, so the ids drawn last are the result. The paper's sampler
//! ([`super::sampler`]) fixes everything in its last step.
//!
//! Source: `denoise` of the released wrappers (commit 97756cc). One thing differs: there, an
//! end-of-actions in the very last slot overwrites the prompt with MASK; here it has no effect,
//! because nothing stands behind it.

use super::attention::Attention;
use super::config::SpecialIds;
use super::noise::Noise;
use super::passes::{Passes, Pending};
use super::prompt::{Block, Prompt};
use super::sampler::{BehindEnd, Rules, Sampler, committed, least_confident, lowest, still_masked};
use super::sampling::{Allowed, DecodeError, Drawn};
use super::transformer::{Cache, Transformer};

/// What one decoding needs besides its prompt and its noise.
#[derive(Debug, Clone, Copy)]
pub struct Jd3p<'a> {
    /// The language model.
    pub model: &'a Transformer,
    /// Ids with a meaning.
    pub ids: &'a SpecialIds,
    /// What image positions may become.
    pub image: &'a Allowed,
    /// What action positions may become.
    pub action: &'a Allowed,
    /// Which positions see one another.
    pub attention: Attention,
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
        let limit = self.model.positions();
        let lengths = requests.iter().map(|request| request.prompt.parts.total());
        if let Some(wanted) = lengths.max().filter(|&wanted| wanted > limit) {
            return Err(DecodeError::TooLong { wanted, limit });
        }
        let prompts: Vec<&Prompt> = requests.iter().map(|request| request.prompt).collect();
        let caches = self.passes().prefill(&prompts);
        caches.map_err(|source| DecodeError::Torch { step: 0, source })
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
            masked: positions_of(&request.block.ids, self.ids.mask_token_id),
            temperature: self.rules.temperature,
        };
        let mut states: Vec<Step> = requests.iter().map(start).collect();
        for step in 1..=self.steps {
            self.advance(step, &mut states, requests, caches)?;
            states.iter().enumerate().for_each(|(row, state)| watch(row, state));
        }
        Ok(states.into_iter().map(|state| state.sampled).collect())
    }

    fn passes(&self) -> Passes<'_> {
        let Self { model, ids, image, action, attention, .. } = *self;
        Passes { model, ids, image, action, attention, sampler: self.rules.sampler }
    }

    /// Takes the state of every row through step `step`.
    fn advance(
        &self,
        step: u16,
        states: &mut [Step],
        requests: &[Request],
        caches: &[Cache],
    ) -> Result<(), DecodeError> {
        let mask = self.ids.mask_token_id;
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
            false => self.passes().draw(&pending),
        };
        let drawn = drawn.map_err(|source| DecodeError::Torch { step, source })?;
        let mut drawn = drawn.ok_or(DecodeError::NotFinite { step })?.into_iter();
        for (state, request) in states.iter_mut().zip(requests) {
            state.step = step;
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
        let Step { sampled, masked, .. } = state;
        let is_end = |&at: &usize| {
            sampled[at] == self.ids.eoa_token_id && masked.binary_search(&at).is_err()
        };
        match (0..sampled.len()).find(is_end) {
            Some(end) if self.rules.behind_end == BehindEnd::Leave => {
                masked.partition_point(|&position| position <= end)
            }
            Some(_) | None => masked.len(),
        }
    }

    /// Puts what was drawn into the state and masks the least confident again.
    fn settle(&self, state: &mut Step, drawn: &Drawn, noise: &dyn Noise) {
        let left = state.masked.split_off(drawn.ids.len());
        for (&position, &id) in state.masked.iter().zip(&drawn.ids) {
            state.sampled[position] = id;
        }
        let (step, positions, open) = (state.step, state.sampled.len(), state.masked.len());
        state.masked = match self.rules.sampler {
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
        state.masked.extend(left);
    }
}

fn positions_of(ids: &[i64], wanted: i64) -> Vec<usize> {
    (0..ids.len()).filter(|&position| ids[position] == wanted).collect()
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor};

    use super::super::attention::Parts;
    use super::super::config::ModelConfig;
    use super::super::noise::GoldenNoise;
    use super::super::weights::Placement;
    use super::*;
    use crate::golden;

    /// A model of 64 ids and what it may fill in: image ids 0 to 9, action ids 10 to 19 and 21.
    fn tiny() -> (Transformer, SpecialIds) {
        let ids = SpecialIds {
            boi_token_id: 30,
            eoi_token_id: 31,
            boa_token_id: 20,
            eoa_token_id: 21,
            mask_token_id: 22,
            ..SpecialIds::default()
        };
        let text = r#"{"vocab_size": 64, "hidden_size": 32, "intermediate_size": 48,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
            "rms_norm_eps": 1e-5, "rope_theta": 1e6, "max_position_embeddings": 64}"#;
        let sizes = serde_json::from_str(text).unwrap();
        let placement = Placement { device: Device::Cpu, kind: Kind::Float };
        let mut get = |name: &str, shape: &[i64]| {
            let weight = golden::language_weight(name, shape);
            Ok(Tensor::from_slice(&weight).view(shape).to_kind(Kind::Float))
        };
        let config = ModelConfig { sizes, ids: ids.clone() };
        (Transformer::build(&config, placement, &mut get).unwrap(), ids)
    }

    /// The released code turns the whole prompt to MASK when EOA stands in the last slot.
    #[test]
    fn an_end_of_actions_in_the_last_slot_changes_nothing_else() {
        let (model, ids) = tiny();
        let image = Allowed::new(&model, &(0..10).collect::<Vec<_>>()).unwrap();
        let action = Allowed::new(&model, &[10, 11, 12, 13, 21]).unwrap();
        let prompt = Prompt {
            ids: vec![1, 2, 3, 30, 5, 6, 31],
            parts: Parts { text: 3, views: vec![4], actions: 5 },
        };
        let mut block = Block::new(&ids, &[4], 5);
        *block.ids.last_mut().unwrap() = ids.eoa_token_id;
        for attention in Attention::ALL {
            let (model, ids) = (&model, &ids);
            let (image, action) = (&image, &action);
            let rules = Rules::default();
            let decoding = Jd3p { model, ids, image, action, attention, steps: 4, rules };
            let filled = decoding.decode(&prompt, &block, &GoldenNoise, &mut |_| {}).unwrap();
            assert_eq!((filled[0], filled[3], filled[4], filled[8]), (30, 31, 20, 21));
            assert!(filled[1..3].iter().all(|id| (0..10).contains(id)), "{filled:?}");
            assert!(filled[5..8].iter().all(|id| [10, 11, 12, 13, 21].contains(id)), "{filled:?}");
        }
    }

    #[test]
    fn one_step_fills_everything_and_a_full_block_stays_as_it_is() {
        let (model, ids) = tiny();
        let allowed = Allowed::new(&model, &[10, 11]).unwrap();
        let prompt = Prompt {
            ids: vec![1, 30, 5, 31],
            parts: Parts { text: 1, views: vec![3], actions: 3 },
        };
        let (model, ids, attention) = (&model, &ids, Attention::Released);
        let (image, action) = (&allowed, &allowed);
        let rules = Rules::default();
        let decoding = Jd3p { model, ids, image, action, attention, steps: 1, rules };
        let block = Block::new(ids, &[3], 3);
        let mut seen = 0;
        let filled = decoding.decode(&prompt, &block, &GoldenNoise, &mut |_| seen += 1).unwrap();
        assert!(!filled.contains(&ids.mask_token_id));
        assert_eq!(seen, 1);
        let full = Block { ids: filled.clone(), ..block };
        assert_eq!(decoding.decode(&prompt, &full, &GoldenNoise, &mut |_| {}).unwrap(), filled);
    }
}
