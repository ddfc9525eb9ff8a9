//! The two kinds of forward pass of a decoding, each for a whole batch: what is computed once,
//! and the block with what is known of it, in every step.

use tch::TchError;

use super::attention::{self, Run};
use super::generator::PrefixCache;
use super::jd3p::Jd3p;
use super::prompt::Prompt;
use super::sampler::Sampler;
use super::sampling::Drawn;
use super::transformer::{Cache, Row, States};

/// A block whose unknown positions are to be drawn.
#[derive(Debug)]
pub(super) struct Pending<'a> {
    pub prompt: &'a Prompt,
    pub cache: &'a Cache,
    /// The block's ids, MASK where they are unknown.
    pub known: Vec<i64>,
    /// The unknown positions, ascending.
    pub unknown: &'a [usize],
    /// One number in [0, 1) per position of the block.
    pub uniforms: Vec<f64>,
    /// Positions of the views; the action part is the rest.
    pub image: usize,
}

impl Pending<'_> {
    /// The unknown positions of the views and of the actions.
    fn parts(&self) -> [&[usize]; 2] {
        let split = self.unknown.partition_point(|&position| position < self.image);
        let (image, action) = self.unknown.split_at(split);
        [image, action]
    }
}

impl Jd3p<'_> {
    /// The positions of each prompt that no step computes again.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub(super) fn freeze(&self, prompts: &[&Prompt]) -> Result<Vec<Cache>, TchError> {
        let frozen = |prompt: &&Prompt| {
            let runs = self.attention.runs(&prompt.parts, None);
            let count = match self.prefix_cache {
                PrefixCache::Exact => attention::frozen(&runs, prompt.ids.len()),
                PrefixCache::Approximate => prompt.ids.len(),
            };
            (count, attention::before(&runs, count))
        };
        let frozen: Vec<(usize, Vec<Run>)> = prompts.iter().map(frozen).collect();
        let rows = prompts.iter().zip(&frozen).map(|(prompt, (count, runs))| Row {
            ids: &prompt.ids[..*count],
            runs,
            cache: None,
        });
        let rows: Vec<Row> = rows.collect();
        Ok(self.generator.model.forward_batch(&rows, &[])?.1)
    }

    /// One id and its probability for each unknown position of each block, in order; nothing
    /// when a logit is not finite.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub(super) fn draw(&self, blocks: &[Pending]) -> Result<Option<Vec<Drawn>>, TchError> {
        let inputs: Vec<_> = blocks.iter().map(|block| self.input(block)).collect();
        let rows = blocks.iter().zip(&inputs).map(|(block, (ids, runs))| Row {
            ids,
            runs,
            cache: Some(block.cache),
        });
        let rows: Vec<Row> = rows.collect();
        // The states at a position predict the next one; block position 0 is always given.
        let places = |(row, block): (usize, &Pending), part: usize| {
            let before = block.prompt.ids.len() - block.cache.positions();
            (row, block.parts()[part].iter().map(|&position| before + position - 1).collect())
        };
        let stretches = [0, 1]
            .into_iter()
            .flat_map(|part| blocks.iter().enumerate().map(move |numbered| places(numbered, part)));
        let (states, _) =
            self.generator.model.forward_batch(&rows, &stretches.collect::<Vec<_>>())?;
        let image = self.part(0, blocks, &states)?;
        let action = self.part(1, blocks, &states)?;
        let (Some(image), Some(action)) = (image, action) else { return Ok(None) };
        let joined = image.into_iter().zip(action).map(|(mut drawn, action)| {
            drawn.ids.extend(action.ids);
            drawn.probabilities.extend(action.probabilities);
            drawn
        });
        Ok(Some(joined.collect()))
    }

    /// The ids of a block's pass with what they see: the prompt behind its cache, then the block,
    /// MASK behind an end of actions.
    fn input(&self, block: &Pending) -> (Vec<i64>, Vec<Run>) {
        let prompt = &block.prompt.ids;
        let first = block.cache.positions();
        let special = self.generator.ids;
        let end = block.known.iter().position(|&id| id == special.eoa_token_id);
        let mut ids = [&prompt[first..], &block.known].concat();
        if let Some(end) = end {
            ids[prompt.len() - first + end + 1..].fill(special.mask_token_id);
        }
        let runs = self.attention.runs(&block.prompt.parts, end.map(|at| prompt.len() + at));
        let runs = match self.prefix_cache {
            PrefixCache::Exact => attention::from_position(&runs, first),
            PrefixCache::Approximate => attention::behind(&runs, first),
        };
        (ids, runs)
    }

    /// Draws the unknown positions of a part, views (0) or actions (1), from one product with the
    /// head's rows.
    fn part(
        &self,
        part: usize,
        blocks: &[Pending],
        states: &States,
    ) -> Result<Option<Vec<Drawn>>, TchError> {
        let allowed = [self.generator.image, self.generator.action][part];
        let first = part * blocks.len();
        let (states, packing) = states.stretches(first..first + blocks.len())?;
        let logits = allowed.logits(&states)?;
        let mut all = vec![];
        for (index, block) in blocks.iter().enumerate() {
            let positions = block.parts()[part];
            let uniforms: Vec<f64> = positions.iter().map(|&at| block.uniforms[at]).collect();
            if uniforms.is_empty() {
                all.push(Drawn { ids: vec![], probabilities: vec![] });
                continue;
            }
            let logits = packing.cut(&logits, 0, index)?;
            let drawn = match self.rules.sampler {
                Sampler::Released => allowed.draw_from(&logits, &uniforms)?,
                Sampler::Paper { temperature } => {
                    allowed.draw_tempered(&logits, &uniforms, temperature)?
                }
            };
            match drawn {
                Some(drawn) => all.push(drawn),
                None => return Ok(None),
            }
        }
        Ok(Some(all))
    }
}
