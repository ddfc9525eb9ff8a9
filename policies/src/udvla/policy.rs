//! UD-VLA as a policy: a row's pictures and instruction in, an action chunk out.

use std::error::Error;
use std::fmt;

use udvla_sims::observation::Image;

use super::attention::Attention;
use super::decoding::Decoding;
use super::generator::{Generator, PrefixCache};
use super::imagination::Imagination;
use super::jd3p::{Jd3p, Request, Step};
use super::noise::KeyedNoise;
use super::phases::{Phases, Reading, Stopwatch};
use super::prompt::{Block, Prompt};
use super::sampling::{Allowed, DecodeError};
use super::transformer::Transformer;
use super::translator::Translator;
use crate::policy::{Answer, Decision, Policy, PolicyError, PolicyInput, PolicySpec, Remark};

/// The model under test, ready to answer; made by [`UdVla::open`].
pub struct UdVla {
    pub(super) spec: PolicySpec,
    pub(super) translator: Translator,
    pub(super) model: Transformer,
    pub(super) image: Allowed,
    pub(super) action: Allowed,
    pub(super) attention: Attention,
    pub(super) prefix_cache: PrefixCache,
    pub(super) decoding: Decoding,
    /// Meaningless where the decoding takes none.
    pub(super) steps: u16,
    /// What draws the generated views, where that was asked for.
    pub(super) futures: Option<Imagination>,
}

impl UdVla {
    /// Positions of the block that an answer is generated in.
    pub fn block_positions(&self) -> usize {
        self.translator.block().ids.len()
    }

    /// Those of them that become actions, the begin mark included.
    pub fn action_positions(&self) -> usize {
        let block = self.translator.block();
        block.ids.len() - block.image
    }

    /// As [`Policy::infer`]; `watch` sees every denoising step with the number of its row.
    ///
    /// # Errors
    /// As [`Policy::infer`].
    pub fn infer_watched(
        &self,
        batch: &[PolicyInput],
        watch: &mut dyn FnMut(usize, &Step),
    ) -> Result<Vec<Answer>, PolicyError> {
        Ok(self.infer_timed(batch, watch, &Reading::default)?.0)
    }

    /// As [`UdVla::infer_watched`], with the time by `clock` that each phase took.
    ///
    /// # Errors
    /// As [`Policy::infer`].
    pub fn infer_timed(
        &self,
        batch: &[PolicyInput],
        watch: &mut dyn FnMut(usize, &Step),
        clock: &dyn Fn() -> Reading,
    ) -> Result<(Vec<Answer>, Phases), PolicyError> {
        batch.iter().try_for_each(|row| self.translator.check(row))?;
        tch::no_grad(|| {
            let stopwatch = Stopwatch::start(self.model.placement().device, clock);
            let prompts = self.translator.prompts(batch).map_err(|error| failed(&error))?;
            self.answers(batch, &prompts, watch, stopwatch)
        })
    }

    fn answers(
        &self,
        batch: &[PolicyInput],
        prompts: &[Prompt],
        watch: &mut dyn FnMut(usize, &Step),
        mut stopwatch: Stopwatch,
    ) -> Result<(Vec<Answer>, Phases), PolicyError> {
        let encode = stopwatch.lap();
        let block = self.translator.block();
        let noises: Vec<KeyedNoise> = batch.iter().map(noise_of).collect();
        let requests = prompts.iter().zip(&noises);
        let requests = requests.map(|(prompt, noise)| Request { prompt, block: &block, noise });
        let requests: Vec<Request> = requests.collect();
        let parts = self.parts();
        let joint = matches!(self.decoding, Decoding::Jd3p { .. });
        let caches = if joint { parts.prefill(&requests) } else { Ok(vec![]) };
        let caches = caches.map_err(|error| failed(&error))?;
        let prefill = stopwatch.lap();
        let mut unusual = vec![Unusual::default(); batch.len()];
        let mut watch = |row: usize, step: &Step| {
            unusual[row].guarded += u16::from(step.guarded);
            watch(row, step);
        };
        let generated = match joint {
            true => parts.denoise(&requests, &caches, &mut watch),
            false => {
                let decoded = self.one_by_one(&parts, &requests, &mut watch);
                decoded.map(|(ids, stopped)| {
                    unusual.iter_mut().zip(stopped).for_each(|(row, count)| row.stopped = count);
                    ids
                })
            }
        };
        let generated = generated.map_err(|error| failed(&error))?;
        let denoise = stopwatch.lap();
        let answers = generated.iter().zip(unusual);
        let answers = answers.map(|(ids, unusual)| self.answer(ids, &block, unusual));
        let answers = answers.collect::<Result<_, _>>()?;
        Ok((answers, Phases { encode, prefill, denoise, decode: stopwatch.lap() }))
    }

    /// The model with everything that decoding takes.
    pub(super) fn parts(&self) -> Jd3p<'_> {
        Jd3p {
            generator: Generator {
                model: &self.model,
                ids: &self.translator.ids,
                image: &self.image,
                action: &self.action,
            },
            attention: self.attention,
            prefix_cache: self.prefix_cache,
            steps: self.steps,
            rules: self.decoding.rules(),
        }
    }

    /// The blocks of decoders that take a row at a time, and how many stretches of each a cap
    /// stopped.
    pub(super) fn one_by_one(
        &self,
        parts: &Jd3p<'_>,
        requests: &[Request],
        watch: &mut dyn FnMut(usize, &Step),
    ) -> Result<(Vec<Vec<i64>>, Vec<usize>), DecodeError> {
        let decode = |(row, request): (usize, &Request)| {
            let task = (request.prompt, request.block);
            let watch = &mut |step: &Step| watch(row, step);
            let decoded = self.decoding.decode(parts, task, request.noise, watch)?;
            Ok((decoded.ids, decoded.stopped))
        };
        let decoded = requests.iter().enumerate().map(decode).collect::<Result<Vec<_>, _>>();
        Ok(decoded?.into_iter().unzip())
    }

    fn answer(&self, ids: &[i64], block: &Block, unusual: Unusual) -> Result<Answer, PolicyError> {
        let mut remarks = unusual.remarks();
        remarks.extend(self.translator.remarks(ids, block.image));
        let future = self.futures.as_ref().map_or(Ok(vec![]), |drawer| drawer.views(ids, &[]));
        let future: Vec<Image> = future.map_err(|error| failed(&error))?;
        let actions = self.translator.chunk(ids, block.image);
        Ok(Answer::Chunk(Decision { actions, future, remarks }))
    }
}

/// What happened to a row while it was generated.
#[derive(Debug, Clone, Copy, Default)]
struct Unusual {
    /// Steps in which the released code would have lost the prompt.
    guarded: u16,
    /// Stretches that a cap stopped.
    stopped: usize,
}

impl Unusual {
    fn remarks(self) -> Vec<Remark> {
        let guarded = (self.guarded > 0).then(|| Remark {
            kind: "last-slot-end",
            text: format!(
                "the end of actions stood in the last slot for {} steps; the released code would \
                 have lost the prompt there",
                self.guarded
            ),
        });
        let stopped = (self.stopped > 0).then(|| Remark {
            kind: "jacobi-stopped",
            text: format!("the cap stopped {} stretches before their fixed point", self.stopped),
        });
        guarded.into_iter().chain(stopped).collect()
    }
}

impl fmt::Debug for UdVla {
    /// What it is; its weights would fill pages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdVla").field("spec", &self.spec).finish_non_exhaustive()
    }
}

impl Policy for UdVla {
    fn spec(&self) -> &PolicySpec {
        &self.spec
    }

    fn infer(&mut self, batch: &[PolicyInput]) -> Result<Vec<Answer>, PolicyError> {
        self.infer_watched(batch, &mut |_, _| {})
    }
}

/// The random numbers of a row's call.
pub(super) fn noise_of(row: &PolicyInput) -> KeyedNoise {
    KeyedNoise::new(row.seed, &row.key.to_string(), row.call)
}

/// The error with all its causes, in one line.
pub(super) fn failed(error: &dyn Error) -> PolicyError {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    PolicyError::Model(text)
}
