//! JD3P, the joint discrete denoising of future views and actions, as the released code does it.
//!
//! Every step draws all unknown positions, ranks them by confidence plus annealed Gumbel noise,
//! and keeps the best; the schedule says how many stay MASK. After the last step the drawn ids
//! are the result, those of the position that the schedule still holds back included.
//!
//! Source: `denoise` of the released wrappers (commit 97756cc). One thing differs: there, an
//! end-of-actions in the very last slot overwrites the prompt with MASK; here it has no effect,
//! because nothing stands behind it.

use tch::{TchError, Tensor};

use super::attention::{self, Attention};
use super::config::SpecialIds;
use super::noise::Noise;
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
        let (wanted, limit) = (prompt.parts.total(), self.model.positions());
        if wanted > limit {
            return Err(DecodeError::TooLong { wanted, limit });
        }
        let cache =
            self.prefill(prompt).map_err(|source| DecodeError::Torch { step: 0, source })?;
        let mut state = Step {
            step: 0,
            sampled: block.ids.clone(),
            masked: positions_of(&block.ids, self.ids.mask_token_id),
            temperature: 1.0,
        };
        for _ in 0..self.steps {
            state = self.advance(&state, &Call { prompt, block, noise, cache: &cache })?;
            watch(&state);
        }
        Ok(state.sampled)
    }

    /// The positions whose states no step can change.
    fn prefill(&self, prompt: &Prompt) -> Result<Cache, TchError> {
        let runs = self.attention.runs(&prompt.parts, None);
        let count = attention::frozen(&runs, prompt.ids.len());
        let frozen: Vec<_> = runs
            .iter()
            .filter(|run| run.start < count)
            .map(|run| attention::Run { end: run.end.min(count), ..*run })
            .collect();
        Ok(self.model.forward(&prompt.ids[..count], &frozen, None)?.1)
    }

    fn advance(&self, before: &Step, call: &Call) -> Result<Step, DecodeError> {
        let step = before.step + 1;
        let temperature = before.temperature * (1.0 - f64::from(step) / f64::from(self.steps));
        if before.masked.is_empty() {
            return Ok(Step { step, temperature, ..before.clone() });
        }
        let mut known = before.sampled.clone();
        before.masked.iter().for_each(|&position| known[position] = self.ids.mask_token_id);
        let drawn = self
            .draw(&known, &before.masked, step, call)
            .map_err(|source| DecodeError::Torch { step, source })?
            .ok_or(DecodeError::NotFinite { step })?;
        let mut sampled = known;
        for (&position, &id) in before.masked.iter().zip(&drawn.ids) {
            sampled[position] = id;
        }
        let count = still_masked(step, self.steps, sampled.len(), before.masked.len());
        let noise = call.noise.gumbel(step - 1, sampled.len());
        let ranks =
            before.masked.iter().zip(&drawn.probabilities).map(|(&position, &confidence)| {
                confidence.max(1e-20).ln() + temperature * noise[position]
            });
        let masked = lowest(&before.masked, &ranks.collect::<Vec<_>>(), count);
        Ok(Step { step, sampled, masked, temperature })
    }

    /// One id and its probability for each unknown position of the block, in order.
    fn draw(
        &self,
        known: &[i64],
        unknown: &[usize],
        step: u16,
        call: &Call,
    ) -> Result<Option<Drawn>, TchError> {
        let (prompt, image) = (&call.prompt.ids, call.block.image);
        let end = known.iter().position(|&id| id == self.ids.eoa_token_id);
        let mut input = known.to_vec();
        if let Some(end) = end {
            input[end + 1..].fill(self.ids.mask_token_id);
        }
        let first = call.cache.positions();
        let ids = [&prompt[first..], &input].concat();
        let runs = self.attention.runs(&call.prompt.parts, end.map(|at| prompt.len() + at));
        let runs = attention::from_position(&runs, first);
        let (states, _) = self.model.forward(&ids, &runs, Some(call.cache))?;
        let uniforms = call.noise.sample_uniforms(step - 1, known.len());
        let split = unknown.partition_point(|&position| position < image);
        let mut all = Drawn { ids: vec![], probabilities: vec![] };
        for (allowed, part) in [(self.image, &unknown[..split]), (self.action, &unknown[split..])] {
            if part.is_empty() {
                continue;
            }
            // The states at a position predict the next one; block position 0 is always given.
            let rows = part.iter().map(|&position| (prompt.len() + position - 1 - first) as i64);
            let rows = Tensor::f_from_slice(&rows.collect::<Vec<_>>())?;
            let rows = states.f_index_select(0, &rows.f_to_device(states.device())?)?;
            let uniforms: Vec<f64> = part.iter().map(|&position| uniforms[position]).collect();
            let Some(drawn) = allowed.draw(&rows, &uniforms)? else { return Ok(None) };
            all.ids.extend(drawn.ids);
            all.probabilities.extend(drawn.probabilities);
        }
        Ok(Some(all))
    }
}

/// What stays the same through one decoding.
struct Call<'a> {
    prompt: &'a Prompt,
    block: &'a Block,
    noise: &'a dyn Noise,
    cache: &'a Cache,
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
    use tch::{Device, Kind};

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
