//! Forward passes of a decoding, each for a whole batch: prompts into caches, and one step of
//! masked blocks.

use serde::{Deserialize, Serialize};
use tch::TchError;

use super::request::{DecodeError, Request};
use super::restricted_head::{Drawn, Draws, RestrictedHead};
use super::sampler::Rules;
use crate::udvla::checkpoint::{Attention, SpecialIds};
use crate::udvla::model::mask::{self, Run};
use crate::udvla::model::{Cache, HiddenStates, Sequence, Span, Transformer};
use crate::udvla::prompt::Prompt;

/// The language model with the ids that it may generate.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the types say what the fields are")]
pub struct Generator<'a> {
    pub model: &'a Transformer,
    pub ids: &'a SpecialIds,
    /// Head for image positions; for left-to-right decoders including begin and end marks.
    pub image: &'a RestrictedHead,
    /// Head for action positions.
    pub action: &'a RestrictedHead,
    pub attention: Attention,
    pub prefix_cache: PrefixCache,
}

/// Which part of the prompt is computed once per block instead of in every step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum PrefixCache {
    /// Positions that attend to nothing that changes: same ids as without a cache.
    ///
    /// The text under attention `released`, the whole prompt under `hybrid` and `causal`.
    #[default]
    Exact,
    /// The whole prompt, computed alone: changes results under `released`.
    ///
    /// The current images then do not attend to the generated block. Source: the bytecode of a
    /// cached wrapper in the release, whose source is not published.
    Approximate,
}

/// A block whose masked positions are to be drawn.
#[derive(Debug)]
pub(super) struct MaskedBlock<'a> {
    pub prompt: &'a Prompt,
    pub cache: &'a Cache,
    /// Ids of the block; MASK where they are not fixed.
    pub ids: Vec<i64>,
    /// Positions to draw, ascending.
    pub masked: &'a [usize],
    /// One number in [0, 1) per position of the block.
    pub uniforms: Vec<f64>,
    /// Number of image positions; the action part follows.
    pub image_positions: usize,
}

/// The two parts of a block, each with a head of its own.
#[derive(Clone, Copy)]
enum Part {
    Image,
    Action,
}

impl MaskedBlock<'_> {
    /// The numbers of a part's masked positions.
    fn uniforms_of(&self, part: Part) -> impl Iterator<Item = f64> {
        self.masked_of(part).iter().map(|&position| self.uniforms[position])
    }

    /// Masked positions of a part.
    fn masked_of(&self, part: Part) -> &[usize] {
        let split = self.masked.partition_point(|&position| position < self.image_positions);
        match part {
            Part::Image => &self.masked[..split],
            Part::Action => &self.masked[split..],
        }
    }
}

impl Generator<'_> {
    /// Caches of each prompt's positions that no step computes again.
    pub(super) fn prefill(&self, requests: &[Request]) -> Result<Vec<Cache>, DecodeError> {
        let limit = self.model.max_positions();
        let longest = requests.iter().map(|request| request.prompt.parts.total()).max();
        if let Some(length) = longest.filter(|&length| length > limit) {
            return Err(DecodeError::TooLong { length, limit });
        }
        let cached: Vec<(usize, Vec<Run>)> =
            requests.iter().map(|request| self.cached_positions(request.prompt)).collect();
        let sequences: Vec<Sequence> = requests
            .iter()
            .zip(&cached)
            .map(|(request, (count, runs))| Sequence {
                ids: &request.prompt.ids[..*count],
                runs,
                cache: None,
            })
            .collect();
        let (_, caches) = self
            .model
            .forward_batch(&sequences, &[], &[])
            .map_err(|source| DecodeError::Torch { step: 0, source })?;
        Ok(caches)
    }

    fn cached_positions(&self, prompt: &Prompt) -> (usize, Vec<Run>) {
        let runs = self.attention.runs(&prompt.parts, None);
        let count = match self.prefix_cache {
            PrefixCache::Exact => mask::cacheable(&runs, prompt.ids.len()),
            PrefixCache::Approximate => prompt.ids.len(),
        };
        (count, mask::before(&runs, count))
    }

    /// Draws an id, with its confidence, for each masked position of each block, in order; `None`
    /// if a logit is not finite.
    pub(super) fn draw(
        &self,
        blocks: &[MaskedBlock],
        rules: &Rules,
    ) -> Result<Option<Vec<Draws>>, TchError> {
        if blocks.is_empty() {
            return Ok(Some(vec![]));
        }
        let inputs: Vec<_> = blocks.iter().map(|block| self.input(block)).collect();
        let sequences: Vec<Sequence> = blocks
            .iter()
            .zip(&inputs)
            .map(|(block, (ids, runs))| Sequence { ids, runs, cache: Some(block.cache) })
            .collect();
        let spans: Vec<Span> = [Part::Image, Part::Action]
            .into_iter()
            .flat_map(|part| blocks.iter().enumerate().map(move |(i, block)| (i, block, part)))
            .map(|(index, block, part)| (index, predicting_offsets(block, part)))
            .collect();
        let uniforms: Vec<f64> = [Part::Image, Part::Action]
            .into_iter()
            .flat_map(|part| blocks.iter().flat_map(move |block| block.uniforms_of(part)))
            .collect();
        let (hidden, _) = self.model.forward_batch(&sequences, &spans, &uniforms)?;
        let mut drawn = self.draw_part(Part::Image, blocks, &hidden, 0, rules)?;
        let images = blocks.iter().map(|block| block.masked_of(Part::Image).len()).sum();
        drawn.extend(self.draw_part(Part::Action, blocks, &hidden, images, rules)?);
        let Some(all) = Drawn::read(&drawn)? else { return Ok(None) };
        let mut all = all.into_iter();
        let mut draws = vec![Draws::default(); blocks.len()];
        for part in [Part::Image, Part::Action] {
            for (block, draws) in blocks.iter().zip(&mut draws) {
                if !block.masked_of(part).is_empty() {
                    let Draws { ids, confidences } = all.next().expect("every part was drawn");
                    draws.ids.extend(ids);
                    draws.confidences.extend(confidences);
                }
            }
        }
        Ok(Some(draws))
    }

    /// Ids and mask of a block's pass: the uncached prompt, then the block, with MASK after an end
    /// of actions.
    fn input(&self, block: &MaskedBlock) -> (Vec<i64>, Vec<Run>) {
        let prompt = &block.prompt.ids;
        let first = block.cache.positions();
        let end = block.ids.iter().position(|&id| id == self.ids.eoa_token_id);
        let mut ids = [&prompt[first..], &block.ids].concat();
        if let Some(end) = end {
            ids[prompt.len() - first + end + 1..].fill(self.ids.mask_token_id);
        }
        let runs = self.attention.runs(&block.prompt.parts, end.map(|at| prompt.len() + at));
        let runs = match self.prefix_cache {
            PrefixCache::Exact => mask::from_position(&runs, first),
            PrefixCache::Approximate => mask::after(&runs, first),
        };
        (ids, runs)
    }

    /// Draws the masked positions of one part of all blocks that have some, from one product with the
    /// part's head. Their numbers begin with number `at` of those that were sent along.
    fn draw_part(
        &self,
        part: Part,
        blocks: &[MaskedBlock],
        hidden: &HiddenStates,
        at: usize,
        rules: &Rules,
    ) -> Result<Vec<Drawn>, TchError> {
        let (head, first) = match part {
            Part::Image => (self.image, 0),
            Part::Action => (self.action, blocks.len()),
        };
        let uniforms = &hidden.extra;
        let (hidden, packing) = hidden.spans(first..first + blocks.len())?;
        let logits = head.logits(&hidden)?;
        let (mut all, mut at) = (vec![], at as i64);
        for (index, block) in blocks.iter().enumerate() {
            let rows = block.masked_of(part).len() as i64;
            if rows > 0 {
                let uniforms = uniforms.f_narrow(0, at, rows)?;
                all.push(head.draw(&packing.slice(&logits, 0, index)?, &uniforms, rules)?);
            }
            at += rows;
        }
        Ok(all)
    }
}

/// Offsets, among the ids of a block's pass, of the hidden states that predict the masked positions
/// of a part: each predicts the next position. The block's first position is always given.
fn predicting_offsets(block: &MaskedBlock, part: Part) -> Vec<usize> {
    let uncached = block.prompt.ids.len() - block.cache.positions();
    block.masked_of(part).iter().map(|&position| uncached + position - 1).collect()
}
