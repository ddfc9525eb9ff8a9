//! UD-VLA as a policy: images and instruction in, an action chunk out.

use std::fmt;
use std::sync::Arc;

use super::checkpoint::{Attention, SpecialIds};
use super::decode::{
    Decoder, Generated, Generator, KeyedNoise, Observer, PrefixCache, Request, RestrictedHead, Step,
};
use super::model::Transformer;
use super::prompt::{ActionDecoder, Block, ImageDecoder, ObservationEncoder, Prompt};
use super::timing::{Phases, Reading, Stopwatch};
use crate::policy::{Answer, Decision, Policy, PolicyError, PolicyInput, PolicySpec, with_causes};

/// The model under test; opened by [`UdVla::open`].
///
/// ```no_run
/// use std::path::Path;
///
/// use udvla_policies::Policy;
/// use udvla_policies::udvla::{Target, UdVla, UdVlaOptions, make_checkpoint};
///
/// let dir = Path::new("checkpoints/nano");
/// make_checkpoint("nano", 0, Target::Future, dir)?;
/// let options = UdVlaOptions {
///     benchmark: "calvin".into(),
///     device: "cpu".into(),
///     ..UdVlaOptions::default()
/// };
/// let policy = UdVla::open(dir, &options)?;
/// assert_eq!(policy.spec().chunk, 10);
/// # Ok::<(), udvla_policies::udvla::CheckpointError>(())
/// ```
pub struct UdVla {
    pub(super) spec: PolicySpec,
    pub(super) encoder: ObservationEncoder,
    pub(super) model: Transformer,
    pub(super) ids: SpecialIds,
    /// Ids that image positions may take, ascending.
    pub(super) image_ids: Vec<i64>,
    pub(super) image_head: RestrictedHead,
    pub(super) action_head: RestrictedHead,
    pub(super) attention: Attention,
    pub(super) prefix_cache: PrefixCache,
    pub(super) decoder: Arc<dyn Decoder>,
    pub(super) actions: ActionDecoder,
    /// Set if decisions include the generated images.
    pub(super) futures: Option<ImageDecoder>,
}

impl UdVla {
    /// Positions of the generated block.
    pub fn block_positions(&self) -> usize {
        self.encoder.block().ids.len()
    }

    /// Positions of the block's action part, including its begin mark.
    pub fn action_positions(&self) -> usize {
        let block = self.encoder.block();
        block.ids.len() - block.image_positions
    }

    /// As [`Policy::infer`]; `watch` sees every denoising step with the index of its input.
    pub fn infer_watched(
        &self,
        batch: &[PolicyInput],
        watch: &mut dyn FnMut(usize, &Step),
    ) -> Result<Vec<Answer>, PolicyError> {
        Ok(self.infer_timed(batch, watch, &Reading::default)?.0)
    }

    /// As [`UdVla::infer_watched`], with the time of each phase as measured by `clock`.
    pub fn infer_timed(
        &self,
        batch: &[PolicyInput],
        watch: &mut dyn FnMut(usize, &Step),
        clock: &dyn Fn() -> Reading,
    ) -> Result<(Vec<Answer>, Phases), PolicyError> {
        batch.iter().try_for_each(|input| self.encoder.check(input))?;
        tch::no_grad(|| {
            let mut stopwatch = Stopwatch::start(self.model.placement().device, clock);
            let prompts = self.encoder.encode(batch).map_err(|error| failed(&error))?;
            let encode = stopwatch.lap();
            let block = self.encoder.block();
            let mut timed = Timed { stopwatch, prefill: None, watch };
            let generated = self.decode(batch, &prompts, &block, &mut timed)?;
            let Timed { mut stopwatch, prefill, .. } = timed;
            let denoise = stopwatch.lap();
            let answers = generated.into_iter().map(|generated| self.answer(generated, &block));
            let answers = answers.collect::<Result<_, _>>()?;
            let prefill = prefill.unwrap_or_default();
            Ok((answers, Phases { encode, prefill, denoise, decode: stopwatch.lap() }))
        })
    }

    /// The generated block of each input; left-to-right decoders stop after the end of actions.
    pub fn generate(&self, batch: &[PolicyInput]) -> Result<Vec<Vec<i64>>, PolicyError> {
        batch.iter().try_for_each(|input| self.encoder.check(input))?;
        tch::no_grad(|| {
            let prompts = self.encoder.encode(batch).map_err(|error| failed(&error))?;
            let block = self.encoder.block();
            let generated = self.decode(batch, &prompts, &block, &mut |_: usize, _: &Step| {})?;
            Ok(generated.into_iter().map(|generated| generated.ids).collect())
        })
    }

    fn decode(
        &self,
        batch: &[PolicyInput],
        prompts: &[Prompt],
        block: &Block,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Generated>, PolicyError> {
        let noises: Vec<KeyedNoise> = batch
            .iter()
            .map(|input| KeyedNoise::new(input.seed, &input.key.to_string(), input.call))
            .collect();
        let requests: Vec<Request> = prompts
            .iter()
            .zip(&noises)
            .map(|(prompt, noise)| Request { prompt, block, noise })
            .collect();
        let generator = Generator {
            model: &self.model,
            ids: &self.ids,
            image: &self.image_head,
            action: &self.action_head,
            attention: self.attention,
            prefix_cache: self.prefix_cache,
        };
        self.decoder.decode(&generator, &requests, observer).map_err(|error| failed(&error))
    }

    fn answer(&self, generated: Generated, block: &Block) -> Result<Answer, PolicyError> {
        let Generated { ids, mut remarks } = generated;
        remarks.extend(self.actions.remarks(&ids, block.image_positions));
        let future = match &self.futures {
            Some(decoder) => decoder.decode(&ids, &[]).map_err(|error| failed(&error))?,
            None => vec![],
        };
        let actions = self.actions.decode(&ids, block.image_positions);
        Ok(Answer::Chunk(Decision { actions, future, remarks }))
    }
}

/// Measures the prefill and passes steps on.
struct Timed<'a> {
    stopwatch: Stopwatch<'a>,
    prefill: Option<Reading>,
    watch: &'a mut dyn FnMut(usize, &Step),
}

impl Observer for Timed<'_> {
    fn prefilled(&mut self) {
        // A second stage's prefill counts as denoising.
        if self.prefill.is_none() {
            self.prefill = Some(self.stopwatch.lap());
        }
    }

    fn step(&mut self, sequence: usize, step: &Step) {
        (self.watch)(sequence, step);
    }
}

impl fmt::Debug for UdVla {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdVla").field("spec", &self.spec).finish_non_exhaustive()
    }
}

impl Policy for UdVla {
    fn spec(&self) -> &PolicySpec {
        &self.spec
    }

    fn longest_instruction(&self) -> Option<usize> {
        Some(self.model.max_positions().saturating_sub(self.encoder.positions_without_text()))
    }

    fn infer(&mut self, batch: &[PolicyInput]) -> Result<Vec<Answer>, PolicyError> {
        self.infer_watched(batch, &mut |_, _| {})
    }
}

pub(super) fn failed(error: &dyn std::error::Error) -> PolicyError {
    PolicyError::Model(with_causes(error))
}
