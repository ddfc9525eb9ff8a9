//! JD3P, the joint discrete denoising of future views and actions, as the released code does it.
//!
//! Every step draws all unknown positions, ranks them by confidence plus annealed Gumbel noise,
//! and keeps the best; the schedule says how many stay MASK. After the last step the drawn ids
//! are the result, those of the position that the schedule still holds back included.
//!
//! Source: `denoise` of the released wrappers (commit 97756cc). One thing differs: there, an
//! end-of-actions in the very last slot overwrites the prompt with MASK; here it has no effect,
//! because nothing stands behind it.

use super::attention::Attention;
use super::config::SpecialIds;
use super::noise::Noise;
use super::passes::{Passes, Pending};
use super::prompt::{Block, Prompt};
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
    /// The temperature that this step's ranking noise had.
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
            temperature: 1.0,
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
        Passes { model, ids, image, action, attention }
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
        let open = rows.filter(|((state, _), _)| !state.masked.is_empty());
        let pending = open.map(|((state, request), cache)| {
            let mut known = state.sampled.clone();
            state.masked.iter().for_each(|&position| known[position] = mask);
            let uniforms = request.noise.sample_uniforms(step - 1, known.len());
            let (prompt, image) = (request.prompt, request.block.image);
            Pending { prompt, cache, known, unknown: &state.masked, uniforms, image }
        });
        let pending: Vec<Pending> = pending.collect();
        let drawn = self.passes().draw(&pending);
        let drawn = drawn.map_err(|source| DecodeError::Torch { step, source })?;
        let mut drawn = drawn.ok_or(DecodeError::NotFinite { step })?.into_iter();
        for (state, request) in states.iter_mut().zip(requests) {
            state.step = step;
            state.temperature *= 1.0 - f64::from(step) / f64::from(self.steps);
            if !state.masked.is_empty() {
                let drawn = drawn.next().expect("every open row was drawn");
                self.settle(state, &drawn, request.noise);
            }
        }
        Ok(())
    }

    /// Puts what was drawn into the state and masks the least confident again.
    fn settle(&self, state: &mut Step, drawn: &Drawn, noise: &dyn Noise) {
        for (&position, &id) in state.masked.iter().zip(&drawn.ids) {
            state.sampled[position] = id;
        }
        let (step, positions) = (state.step, state.sampled.len());
        let count = still_masked(step, self.steps, positions, state.masked.len());
        let noise = noise.gumbel(step - 1, positions);
        let rank = |(&position, &confidence): (&usize, &f64)| {
            confidence.max(1e-20).ln() + state.temperature * noise[position]
        };
        let ranks: Vec<f64> = state.masked.iter().zip(&drawn.probabilities).map(rank).collect();
        state.masked = lowest(&state.masked, &ranks, count);
    }
}

/// How many of `tokens` positions stay masked after step `step` of `steps` (counted from 1).
///
/// Cosine schedule: few positions are fixed in early steps, most in late ones. `tokens` counts
/// the whole block, given positions included. At least one position stays masked even after the
/// last step; the caller fills it from that step's samples.
///
/// Source: paper section 3.3; the rounding and both bounds follow the released sampler.
///
/// # Panics
/// If `step` is not in `1..=steps`.
pub fn still_masked(step: u16, steps: u16, tokens: usize, masked_now: usize) -> usize {
    assert!((1..=steps).contains(&step), "step {step} of {steps}");
    // In f32 like the released code: 708 tokens at 2/3 leave 353, not 354.
    let progress = (f64::from(step) / f64::from(steps)) as f32;
    let share = (progress * std::f32::consts::PI * 0.5).cos();
    let scheduled = (tokens as f32 * share) as usize;
    scheduled.min(masked_now.saturating_sub(1)).max(1)
}

/// The `positions` whose rank lies strictly below the rank of number `count` (from 0) in
/// ascending order; all of them when there are no more than `count`.
///
/// The released code ranks given positions too, far above what any unknown one can reach, so
/// that they never count here.
fn lowest(positions: &[usize], ranks: &[f64], count: usize) -> Vec<usize> {
    let mut sorted = ranks.to_vec();
    sorted.sort_by(f64::total_cmp);
    let cut = sorted.get(count).copied().unwrap_or(f64::INFINITY);
    positions.iter().zip(ranks).filter(|(_, rank)| **rank < cut).map(|(&at, _)| at).collect()
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

    /// What is left masked after each step while no two ranks are equal.
    fn schedule(steps: u16, tokens: usize, unknown: usize) -> Vec<usize> {
        let mut masked = unknown;
        (1..=steps)
            .map(|step| {
                masked = still_masked(step, steps, tokens, masked);
                masked
            })
            .collect()
    }

    #[test]
    fn the_schedule_of_two_views_in_72_steps_is_the_released_one() {
        let masked = schedule(72, 817, 812);
        let facts = [9, 24, 36, 48, 60, 71, 72].map(|step| masked[step - 1]);
        assert_eq!(facts, [801, 707, 577, 408, 211, 17, 1]);
        assert_eq!(masked[..8], [811, 810, 809, 808, 807, 806, 805, 804]);
        let committed: Vec<usize> = masked.windows(2).map(|pair| pair[0] - pair[1]).collect();
        assert_eq!(committed[7..9], [3, 4]);
        assert_eq!(committed.iter().max(), Some(&18));
    }

    #[test]
    fn other_schedules_of_the_released_sampler() {
        assert_eq!(schedule(10, 181, 178), [177, 172, 161, 146, 127, 106, 82, 55, 28, 1]);
        // In f64 the second number would be 354.
        assert_eq!(schedule(3, 708, 705), [613, 353, 1]);
        let slow = schedule(128, 708, 705);
        assert!(slow[..20].windows(2).all(|pair| pair[0] - pair[1] == 1), "{:?}", &slow[..24]);
        assert_eq!(slow[127], 1);
    }

    #[test]
    fn the_schedule_never_rises_and_ends_at_one() {
        for (steps, tokens, unknown) in [(1, 817, 812), (5, 20, 3), (200, 817, 812), (72, 8, 1)] {
            let masked = schedule(steps, tokens, unknown);
            assert!(masked.windows(2).all(|pair| pair[1] <= pair[0]), "{masked:?}");
            assert_eq!(masked.last(), Some(&1));
        }
    }

    #[test]
    fn ties_at_the_cut_are_kept() {
        assert_eq!(lowest(&[4, 5, 6], &[2.0, 1.0, 3.0], 1), [5]);
        assert_eq!(lowest(&[4, 5, 6], &[1.0, 1.0, 3.0], 1), [0_usize; 0]);
        assert_eq!(lowest(&[4], &[-9.0], 1), [4]);
    }

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
            let decoding = Jd3p { model, ids, image, action, attention, steps: 4 };
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
        let decoding = Jd3p { model, ids, image, action, attention, steps: 1 };
        let block = Block::new(ids, &[3], 3);
        let mut seen = 0;
        let filled = decoding.decode(&prompt, &block, &GoldenNoise, &mut |_| seen += 1).unwrap();
        assert!(!filled.contains(&ids.mask_token_id));
        assert_eq!(seen, 1);
        let full = Block { ids: filled.clone(), ..block };
        assert_eq!(decoding.decode(&prompt, &full, &GoldenNoise, &mut |_| {}).unwrap(), filled);
    }
}
