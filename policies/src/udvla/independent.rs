//! Independent diffusion: the future views denoised alone, then the actions behind them.
//!
//! Both stages are [`Jd3p`] over a part of the block. Three things bind them: the ids drawn last
//! for the views stay as they are, noise goes on where the first stage stopped, and so does the
//! ranking temperature, which a whole stage brings to exactly 0.
//!
//! Source: `denoise_image` and `denoise_action` of the released two-stage wrapper.

use super::attention::Parts;
use super::jd3p::{Jd3p, Step};
use super::noise::Noise;
use super::prompt::{Block, Prompt};
use super::sampler::{BehindEnd, Rules};
use super::sampling::DecodeError;

/// Steps of the released script: image stage, action stage.
pub const RELEASED_STEPS: [u16; 2] = [64, 28];

/// One of the two stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The future views.
    Image,
    /// The actions.
    Action,
}

/// What one decoding needs besides its prompt and its noise.
#[derive(Debug, Clone, Copy)]
pub struct Independent<'a> {
    /// Model, ids, attention; its steps are those of the image stage, its rules the sampler's.
    pub image: Jd3p<'a>,
    /// Steps of the action stage, at least 1.
    pub action_steps: u16,
}

impl Independent<'_> {
    /// Fills `block` behind `prompt`; of a block without views the action stage is all there is,
    /// with noise and temperature from their beginning. Calls `watch` after every step of either stage, with
    /// positions that count from the stage's own first.
    ///
    /// # Errors
    /// As [`Jd3p::decode`].
    pub fn decode(
        &self,
        prompt: &Prompt,
        block: &Block,
        noise: &dyn Noise,
        watch: &mut dyn FnMut(Stage, &Step),
    ) -> Result<Vec<i64>, DecodeError> {
        let mut temperature = self.image.rules.temperature;
        let views =
            Prompt { ids: prompt.ids.clone(), parts: Parts { actions: 0, ..prompt.parts.clone() } };
        let unknown = Block { ids: block.ids[..block.image].to_vec(), image: block.image };
        let mut generated = vec![];
        let mut noise = Later { noise, steps: 0 };
        if block.image > 0 {
            generated = self.image.decode(&views, &unknown, &noise, &mut |step| {
                temperature = step.temperature;
                watch(Stage::Image, step);
            })?;
            noise.steps = self.image.steps;
        }
        let rules = Rules { temperature, behind_end: BehindEnd::Leave, ..self.image.rules };
        let action = Jd3p { steps: self.action_steps, rules, ..self.image };
        let seen =
            Prompt { ids: [&prompt.ids[..], &generated].concat(), parts: prompt.parts.clone() };
        let unknown = Block { ids: block.ids[block.image..].to_vec(), image: 0 };
        generated.extend(
            action.decode(&seen, &unknown, &noise, &mut |step| watch(Stage::Action, step))?,
        );
        Ok(generated)
    }
}

/// The noise of the steps behind the first `steps`.
struct Later<'a> {
    noise: &'a dyn Noise,
    steps: u16,
}

impl Noise for Later<'_> {
    fn sample_uniforms(&self, step: u16, positions: usize) -> Vec<f64> {
        self.noise.sample_uniforms(self.steps + step, positions)
    }

    fn gumbel(&self, step: u16, positions: usize) -> Vec<f64> {
        self.noise.gumbel(self.steps + step, positions)
    }
}
