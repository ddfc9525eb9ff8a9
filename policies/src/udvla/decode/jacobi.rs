//! Jacobi decoding: the ids of autoregressive decoding by parallel iteration.
//!
//! A whole span is guessed, and every guess is replaced by what the ids before it predict, until
//! nothing changes. That fixed point is what autoregressive decoding gives.

use udvla_sims::identity::Subject;

use super::decoder::{Decoder, Observer};
use super::generator::Generator;
use super::left_to_right::{Greedy, Progress};
use super::options::{DecoderKind, DecodingDefaults, DecodingOptions};
use super::request::{DecodeError, Generated, Request};
use crate::policy::Remark;

/// Jacobi decoding by name.
pub(super) const KIND: DecoderKind = DecoderKind {
    name: "jacobi",
    summary: "The ids of `ar` by parallel iteration",
    left_to_right: true,
    approximate_cache: false,
    options: &["cap of iterations"],
};

/// Jacobi decoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jacobi {
    /// Positions per span, at least 1.
    pub span: u16,
    /// Iterations after which a span is accepted before its fixed point; `None` for no limit. The
    /// released cap is the span's length, which a causal model never reaches.
    pub cap: Option<u16>,
}

impl Default for Jacobi {
    /// The released script: spans of 64, to the fixed point.
    fn default() -> Self {
        Self { span: 64, cap: None }
    }
}

pub(super) fn open(
    options: &DecodingOptions,
    _: &DecodingDefaults,
    subject: &mut Subject,
) -> Result<Box<dyn Decoder>, String> {
    if options.jacobi_cap == Some(0) {
        return Err("a cap of 0 iterations".into());
    }
    let decoder = Jacobi { cap: options.jacobi_cap, ..Jacobi::default() };
    subject.jacobi_stretch = Some(decoder.span);
    subject.jacobi_cap = decoder.cap;
    Ok(Box::new(decoder))
}

impl Decoder for Jacobi {
    fn decode(
        &self,
        generator: &Generator,
        requests: &[Request],
        _: &mut dyn Observer,
    ) -> Result<Vec<Generated>, DecodeError> {
        let decode_one = |request| Ok(self.decode_one(generator, request)?.into_generated());
        requests.iter().map(decode_one).collect()
    }
}

/// Result of Jacobi decoding.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Iterated {
    /// The block up to the end of actions.
    pub ids: Vec<i64>,
    /// Forward passes over spans.
    pub passes: usize,
    /// Spans that the cap stopped before their fixed point.
    pub stopped: usize,
}

impl Iterated {
    fn into_generated(self) -> Generated {
        let stopped = (self.stopped > 0).then(|| Remark {
            kind: "jacobi-stopped",
            text: format!("the cap stopped {} stretches before their fixed point", self.stopped),
        });
        Generated { ids: self.ids, remarks: stopped.into_iter().collect() }
    }
}

impl Jacobi {
    /// Fills a block span by span. First guesses are random ids of the prompt; the fixed point
    /// does not depend on them.
    pub(super) fn decode_one(
        &self,
        generator: &Generator,
        request: &Request,
    ) -> Result<Iterated, DecodeError> {
        let Request { prompt, block, noise } = *request;
        let greedy = Greedy { generator, block };
        let mut progress = greedy.begin(prompt)?;
        let mut result = Iterated::default();
        let uniforms = noise.sample_uniforms(0, block.ids.len());
        let guess = |at: usize| {
            let index = (uniforms[at] * prompt.ids.len() as f64) as usize;
            prompt.ids[index.min(prompt.ids.len() - 1)]
        };
        while result.ids.len() < block.ids.len() {
            let start = result.ids.len();
            let in_images = start < block.image_positions;
            let part_end = if in_images { block.image_positions } else { block.ids.len() };
            let end = (start + usize::from(self.span.max(1))).min(part_end);
            let first = greedy.given(start).unwrap_or(progress.next);
            let guesses = [first].into_iter().chain((start + 1..end).map(guess)).collect();
            let (span, next) = self.iterate(&greedy, guesses, &progress, &mut result)?;
            progress = next;
            let end_of_actions =
                span.iter().position(|&id| !in_images && greedy.is_end(id)).map(|at| at + 1);
            result.ids.extend(&span[..end_of_actions.unwrap_or(span.len())]);
            if end_of_actions.is_some() {
                break;
            }
        }
        Ok(result)
    }

    /// Iterates one span, which continues `result.ids` and whose first id is final.
    fn iterate(
        &self,
        greedy: &Greedy,
        mut span: Vec<i64>,
        progress: &Progress,
        result: &mut Iterated,
    ) -> Result<(Vec<i64>, Progress), DecodeError> {
        let start = result.ids.len();
        let mut iterations = 0;
        loop {
            let (hidden, cache) = greedy.forward(&span, Some(&progress.cache))?;
            result.passes += 1;
            iterations += 1;
            let mut predicted = greedy.predict(&hidden, start + 1)?;
            let next = predicted.pop().expect("a span has a position");
            predicted.insert(0, span[0]);
            let is_fixed_point = predicted == span;
            let is_capped = !is_fixed_point && self.cap.is_some_and(|cap| iterations >= cap);
            span = predicted;
            result.stopped += usize::from(is_capped);
            if is_fixed_point || is_capped {
                return Ok((span, Progress { cache, next }));
            }
        }
    }
}
