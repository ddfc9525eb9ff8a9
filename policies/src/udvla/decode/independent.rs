//! Independent diffusion: future images denoised alone, then the actions.
//!
//! Both stages are [`Jd3p`] over a part of the block. The second stage sees the images as last
//! sampled, and continues the noise and the ranking temperature of the first, which a whole stage
//! brings to exactly 0.
//!
//! Source: `denoise_image` and `denoise_action` of the released two-stage wrapper.

use udvla_sims::identity::Subject;

use super::decoder::{Decoder, Observer};
use super::generator::Generator;
use super::jd3p::{Denoised, Jd3p};
use super::noise::Noise;
use super::options::{DecoderKind, DecodingDefaults, DecodingOptions};
use super::request::{DecodeError, Generated, Request};
use super::sampler::{AfterEnd, Rules, Sampler};
use crate::udvla::model::mask::Parts;
use crate::udvla::prompt::{Block, Prompt};

/// Independent diffusion by name.
pub(super) const KIND: DecoderKind = DecoderKind {
    name: "id",
    summary: "Future images denoised first, then actions",
    left_to_right: false,
    approximate_cache: false,
    options: &["denoising steps", "sampler", "action steps"],
};

/// Steps of the released script: image stage, action stage.
const RELEASED_STEPS: [u16; 2] = [64, 28];

/// Independent diffusion with the released sampler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Independent {
    /// Steps of the image stage, at least 1.
    pub image_steps: u16,
    /// Steps of the action stage, at least 1.
    pub action_steps: u16,
}

pub(super) fn open(
    options: &DecodingOptions,
    defaults: &DecodingDefaults,
    subject: &mut Subject,
) -> Result<Box<dyn Decoder>, String> {
    let target = defaults.target;
    if options.denoise_steps.is_some() && !target.has_images() {
        return Err(format!(
            "with target `{target}` there is no image stage for denoising steps; action steps are \
             those of the action stage"
        ));
    }
    if options.sampler == Some(Sampler::Paper) {
        return Err("decoding `id` has the released sampler only".into());
    }
    if options.action_steps == Some(0) {
        return Err("action steps of 0".into());
    }
    let image_steps = options.denoise_steps.unwrap_or(RELEASED_STEPS[0]);
    let action_steps = options.action_steps.unwrap_or(RELEASED_STEPS[1]);
    subject.denoise_steps = target.has_images().then_some(image_steps);
    subject.action_steps = Some(action_steps);
    subject.sampler = Some(Sampler::Released.to_string());
    Ok(Box::new(Independent { image_steps, action_steps }))
}

impl Decoder for Independent {
    /// Blocks without images have the action stage only.
    fn decode(
        &self,
        generator: &Generator,
        requests: &[Request],
        observer: &mut dyn Observer,
    ) -> Result<Vec<Generated>, DecodeError> {
        let rules = Rules::default();
        let skipped = Denoised { ids: vec![], temperature: rules.temperature, guarded_steps: 0 };
        let mut images = vec![skipped; requests.len()];
        let mut first_step = 0;
        if requests.iter().any(|request| request.block.image_positions > 0) {
            let inputs: Vec<_> = requests.iter().map(StageInput::images).collect();
            images = run(&Jd3p { steps: self.image_steps, rules }, generator, &inputs, observer)?;
            first_step = self.image_steps;
        }
        let inputs: Vec<_> = requests
            .iter()
            .zip(&images)
            .map(|(request, images)| StageInput::actions(request, &images.ids, first_step))
            .collect();
        // The temperature follows the steps only, so that all sequences have the same.
        let temperature = images.first().map_or(rules.temperature, |stage| stage.temperature);
        let rules = Rules { temperature, after_end: AfterEnd::KeepMask, ..rules };
        let actions = run(&Jd3p { steps: self.action_steps, rules }, generator, &inputs, observer)?;
        let join = |(images, actions): (Denoised, Denoised)| Denoised {
            ids: [images.ids, actions.ids].concat(),
            temperature: actions.temperature,
            guarded_steps: images.guarded_steps + actions.guarded_steps,
        };
        Ok(images.into_iter().zip(actions).map(join).map(Denoised::into_generated).collect())
    }
}

/// Runs one stage for the whole batch.
fn run(
    stage: &Jd3p,
    generator: &Generator,
    inputs: &[StageInput],
    observer: &mut dyn Observer,
) -> Result<Vec<Denoised>, DecodeError> {
    let requests: Vec<Request> = inputs.iter().map(StageInput::request).collect();
    let caches = generator.prefill(&requests)?;
    observer.prefilled();
    stage.denoise(generator, &requests, &caches, observer)
}

/// One sequence's part of a stage.
struct StageInput<'a> {
    prompt: Prompt,
    block: Block,
    noise: LaterNoise<'a>,
}

impl<'a> StageInput<'a> {
    /// The images of the block, without actions.
    fn images(request: &Request<'a>) -> Self {
        let Request { prompt, block, noise } = *request;
        let image_positions = block.image_positions;
        Self {
            prompt: Prompt {
                ids: prompt.ids.clone(),
                parts: Parts { actions: 0, ..prompt.parts.clone() },
            },
            block: Block { ids: block.ids[..image_positions].to_vec(), image_positions },
            noise: LaterNoise { noise, first_step: 0 },
        }
    }

    /// The actions of the block, after generated images.
    fn actions(request: &Request<'a>, images: &[i64], first_step: u16) -> Self {
        let Request { prompt, block, noise } = *request;
        Self {
            prompt: Prompt { ids: [&prompt.ids[..], images].concat(), parts: prompt.parts.clone() },
            block: Block { ids: block.ids[block.image_positions..].to_vec(), image_positions: 0 },
            noise: LaterNoise { noise, first_step },
        }
    }

    fn request(&self) -> Request<'_> {
        Request { prompt: &self.prompt, block: &self.block, noise: &self.noise }
    }
}

/// Noise of the steps from `first_step` on.
struct LaterNoise<'a> {
    noise: &'a dyn Noise,
    first_step: u16,
}

impl Noise for LaterNoise<'_> {
    fn sample_uniforms(&self, step: u16, positions: usize) -> Vec<f64> {
        self.noise.sample_uniforms(self.first_step + step, positions)
    }

    fn gumbel(&self, step: u16, positions: usize) -> Vec<f64> {
        self.noise.gumbel(self.first_step + step, positions)
    }
}
