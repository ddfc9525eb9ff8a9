//! JD3P, the joint discrete denoising of future images and actions.
//!
//! Every step samples all masked positions, ranks them and keeps the best; a schedule determines
//! how many stay masked. The released sampler ranks by confidence plus annealed Gumbel noise and
//! keeps one position masked to the end, so the last sampled ids are the result. The paper's
//! sampler fixes everything in its last step.
//!
//! Source: `denoise` of the released wrappers (commit 97756cc). One deviation: there, an
//! end-of-actions in the very last slot overwrites the prompt with MASK; here it has no effect,
//! because nothing follows it, and the step reports it ([`Step::guarded`]).

use udvla_sims::identity::Subject;

use super::decoder::{Decoder, Fixed, Observer, Step};
use super::generator::{Generator, MaskedBlock};
use super::noise::Noise;
use super::options::{DecoderKind, DecodingDefaults, DecodingOptions};
use super::request::{DecodeError, Generated, Request};
use super::restricted_head::Draws;
use super::sampler::{
    AfterEnd, Rules, Sampler, least_confident, lowest, newly_fixed, still_masked,
};
use crate::policy::Remark;
use crate::udvla::checkpoint::SpecialIds;
use crate::udvla::model::Cache;

/// Joint decoding by name.
pub(super) const KIND: DecoderKind = DecoderKind {
    name: "jd3p",
    summary: "Future images and actions denoised together",
    left_to_right: false,
    approximate_cache: true,
    options: &["denoising steps", "sampler", "temperature"],
};

/// Joint decoding; also each stage of independent diffusion.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Jd3p {
    /// Denoising steps, at least 1.
    pub steps: u16,
    /// Sampling parameters.
    pub rules: Rules,
}

pub(super) fn open(
    options: &DecodingOptions,
    defaults: &DecodingDefaults,
    subject: &mut Subject,
) -> Result<Box<dyn Decoder>, String> {
    let suggested = defaults.benchmark.temperature.map_or(Sampler::Released, |_| Sampler::Paper);
    let sampler = options.sampler.unwrap_or(suggested);
    let temperature = match sampler {
        Sampler::Paper => options.temperature.or(defaults.benchmark.temperature),
        Sampler::Released => options.temperature,
    };
    let rules = match (sampler, temperature) {
        (Sampler::Released, None) => Rules::default(),
        (Sampler::Released, Some(_)) => return Err("sampler `released` has no temperature".into()),
        (Sampler::Paper, None) => return Err("sampler `paper` needs a temperature".into()),
        (Sampler::Paper, Some(t)) if t.is_finite() && t >= 0.0 => Rules::paper(t),
        (Sampler::Paper, Some(t)) => {
            return Err(format!("a sampling temperature of {t} is not a number from 0 on"));
        }
    };
    let steps = options.denoise_steps.unwrap_or(defaults.benchmark.denoise_steps);
    subject.denoise_steps = Some(steps);
    subject.sampler = Some(sampler.to_string());
    subject.temperature = temperature;
    Ok(Box::new(Jd3p { steps, rules }))
}

impl Decoder for Jd3p {
    fn decode(
        &self,
        generator: &Generator,
        requests: &[Request],
        observer: &mut dyn Observer,
    ) -> Result<Vec<Generated>, DecodeError> {
        let caches = generator.prefill(requests)?;
        observer.prefilled();
        let denoised = self.denoise(generator, requests, &caches, observer)?;
        Ok(denoised.into_iter().map(Denoised::into_generated).collect())
    }
}

/// Result of a denoising stage.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Denoised {
    pub ids: Vec<i64>,
    /// As [`Step::temperature`] of the last step.
    pub temperature: f64,
    /// Number of steps with [`Step::guarded`].
    pub guarded_steps: u16,
}

impl Denoised {
    /// The generated block with remarks.
    pub fn into_generated(self) -> Generated {
        let guarded = (self.guarded_steps > 0).then(|| Remark {
            kind: "last-slot-end",
            text: format!(
                "the end of actions stood in the last slot for {} steps; the released code would \
                 have lost the prompt there",
                self.guarded_steps
            ),
        });
        Generated { ids: self.ids, remarks: guarded.into_iter().collect() }
    }
}

impl Jd3p {
    /// All steps, given the caches of [`Generator::prefill`] for the same requests.
    pub(super) fn denoise(
        &self,
        generator: &Generator,
        requests: &[Request],
        caches: &[Cache],
        observer: &mut dyn Observer,
    ) -> Result<Vec<Denoised>, DecodeError> {
        let mut states: Vec<State> =
            requests.iter().map(|request| State::new(self, generator.ids, request)).collect();
        let mut guarded_steps = vec![0; states.len()];
        for number in 1..=self.steps {
            self.advance(number, generator, &mut states, caches)?;
            for (index, State { step, .. }) in states.iter().enumerate() {
                guarded_steps[index] += u16::from(step.guarded);
                observer.step(index, step);
            }
        }
        let denoised = |(state, guarded_steps): (State, u16)| Denoised {
            ids: state.step.sampled,
            temperature: state.step.temperature,
            guarded_steps,
        };
        Ok(states.into_iter().zip(guarded_steps).map(denoised).collect())
    }

    /// Takes every sequence through step `number`. Sequences without masked positions are kept.
    fn advance(
        &self,
        number: u16,
        generator: &Generator,
        states: &mut [State],
        caches: &[Cache],
    ) -> Result<(), DecodeError> {
        let blocks: Vec<MaskedBlock> = states
            .iter()
            .zip(caches)
            .filter(|(state, _)| state.open_positions() > 0)
            .map(|(state, cache)| state.masked_block(number, cache))
            .collect();
        let draws = generator
            .draw(&blocks, &self.rules)
            .map_err(|source| DecodeError::Torch { step: number, source })?
            .ok_or(DecodeError::NotFinite { step: number })?;
        let mut draws = draws.into_iter();
        for state in states {
            let open = state.begin(number);
            if open > 0 {
                state.settle(draws.next().expect("every open sequence was drawn"));
            }
        }
        Ok(())
    }
}

/// A sequence between two steps.
struct State<'a> {
    decoder: &'a Jd3p,
    ids: &'a SpecialIds,
    request: &'a Request<'a>,
    step: Step,
}

impl<'a> State<'a> {
    fn new(decoder: &'a Jd3p, ids: &'a SpecialIds, request: &'a Request<'a>) -> Self {
        let sampled = request.block.ids.clone();
        let masked = (0..sampled.len()).filter(|&at| sampled[at] == ids.mask_token_id).collect();
        let temperature = decoder.rules.temperature;
        let step = Step { step: 0, sampled, masked, temperature, fixed: vec![], guarded: false };
        Self { decoder, ids, request, step }
    }

    /// The block as input of step `number`.
    fn masked_block(&'a self, number: u16, cache: &'a Cache) -> MaskedBlock<'a> {
        let mut ids = self.step.sampled.clone();
        self.step.masked.iter().for_each(|&position| ids[position] = self.ids.mask_token_id);
        MaskedBlock {
            prompt: self.request.prompt,
            cache,
            uniforms: self.request.noise.sample_uniforms(number - 1, ids.len()),
            ids,
            masked: &self.step.masked[..self.open_positions()],
            image_positions: self.request.block.image_positions,
        }
    }

    /// Number of masked positions, from the first on, that the next step samples.
    fn open_positions(&self) -> usize {
        let masked = &self.step.masked;
        match self.first_end() {
            Some(end) if self.decoder.rules.after_end == AfterEnd::KeepMask => {
                masked.partition_point(|&position| position <= end)
            }
            Some(_) | None => masked.len(),
        }
    }

    /// Position of the first fixed end of actions.
    fn first_end(&self) -> Option<usize> {
        let Step { sampled, masked, .. } = &self.step;
        (0..sampled.len())
            .find(|at| sampled[*at] == self.ids.eoa_token_id && masked.binary_search(at).is_err())
    }

    /// Starts step `number`; returns the number of positions that it samples.
    fn begin(&mut self, number: u16) -> usize {
        let open = self.open_positions();
        let last_slot = self.step.sampled.len().checked_sub(1);
        let released = self.decoder.rules.sampler == Sampler::Released;
        let guarded = released && open > 0 && self.first_end() == last_slot;
        let step = &mut self.step;
        (step.step, step.guarded) = (number, guarded);
        step.fixed.clear();
        if released {
            step.temperature *= 1.0 - f64::from(number) / f64::from(self.decoder.steps);
        }
        for &position in &step.masked[open..] {
            step.sampled[position] = self.ids.mask_token_id;
        }
        open
    }

    /// Stores the drawn ids and masks the least confident positions again.
    fn settle(&mut self, draws: Draws) {
        let (decoder, noise) = (self.decoder, self.request.noise);
        let step = &mut self.step;
        let kept_masked = step.masked.split_off(draws.ids.len());
        for (&position, &id) in step.masked.iter().zip(&draws.ids) {
            step.sampled[position] = id;
        }
        let masked_again = decoder.masked_again(step, &draws.confidences, noise);
        step.fixed = step
            .masked
            .iter()
            .zip(draws.ids.into_iter().zip(draws.confidences))
            .filter(|(position, _)| masked_again.binary_search(position).is_err())
            .map(|(&position, (id, confidence))| Fixed { position, id, confidence })
            .collect();
        step.masked = masked_again;
        step.masked.extend(kept_masked);
    }
}

impl Jd3p {
    /// The sampled positions of `step` that become MASK again.
    fn masked_again(&self, step: &Step, confidences: &[f64], noise: &dyn Noise) -> Vec<usize> {
        let (number, block, sampled) = (step.step, step.sampled.len(), step.masked.len());
        match self.rules.sampler {
            Sampler::Released => {
                let count = still_masked(number, self.steps, block, sampled);
                let gumbel = noise.gumbel(number - 1, block);
                let rank = |(&position, confidence): (&usize, &f64)| {
                    confidence.max(1e-20).ln() + step.temperature * gumbel[position]
                };
                let ranks: Vec<f64> = step.masked.iter().zip(confidences).map(rank).collect();
                lowest(&step.masked, &ranks, count)
            }
            Sampler::Paper => {
                let count = newly_fixed(number, self.steps, sampled);
                least_confident(&step.masked, confidences, count)
            }
        }
    }
}

#[cfg(test)]
#[path = "jd3p_tests.rs"]
mod tests;
