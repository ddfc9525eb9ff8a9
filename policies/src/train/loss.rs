//! The loss of a step, shard by shard.

use std::collections::HashMap;

use tch::{Kind, TchError, Tensor};

use super::Figures;
use super::config::{Loss, Objective, TrainingConfig};
use super::network::{regress, transformer};
use crate::udvla::checkpoint::ModelConfig;
use crate::udvla::model::mask::{self, Run};
use crate::udvla::model::training::{self, Blur, Corrupted, Targets, UNSCORED, VisionWeight};
use crate::udvla::model::{Cache, Sequence, Span, Transformer};
use crate::udvla::prompt::Prompt;

/// Windows whose gradient one thread computes at a time.
pub(super) const SHARD: usize = 8;

/// A part of a step's windows.
pub(super) struct Shard {
    pub prompts: Vec<Prompt>,
    /// Their chunks, `[b, horizon * width]`.
    pub chunks: Vec<f32>,
    /// Share of the step's windows.
    pub share: f64,
    /// Masked copies of each window's block.
    pub blocks: Vec<Vec<Corrupted>>,
    /// What the losses of the whole step's masked positions are divided by.
    pub total: f64,
}

/// What a loss needs beside the weights.
pub(super) struct Method {
    pub config: TrainingConfig,
    pub model: ModelConfig,
}

impl Loss {
    /// What a position with this label adds to the divisor.
    pub(super) fn share(self, weight: &VisionWeight, label: i64) -> f64 {
        match self {
            Self::Released if weight.codes.contains(&label) => weight.weight,
            Self::Released | Self::Paper => 1.0,
        }
    }
}

impl Method {
    /// A shard's part of the step's loss, with its parts.
    pub fn loss(
        &self,
        Shard { prompts, chunks, share, blocks, total }: &Shard,
        objective: Objective,
        tensors: &HashMap<String, Tensor>,
    ) -> Result<(Tensor, Figures), TchError> {
        let settings = &self.config.policy;
        let model = transformer(&self.model, tensors)?;
        let regresses = objective == Objective::Regression
            || objective == Objective::Joint && settings.regression_weight > 0.0;
        let attention = self.config.attention;
        // Positions that no generated one changes; all copies of a block share them.
        let shared: Vec<usize> = (prompts.iter())
            .map(|prompt| mask::cacheable(&attention.runs(&prompt.parts, None), prompt.ids.len()))
            .collect();
        let runs: Vec<_> = (prompts.iter().zip(&shared))
            .map(|(prompt, &count)| mask::before(&attention.runs(&prompt.parts, None), count))
            .collect();
        let sequences: Vec<Sequence> = (prompts.iter().zip(&runs).zip(&shared))
            .map(|((prompt, runs), &count)| Sequence {
                ids: &prompt.ids[..count],
                runs,
                cache: None,
            })
            .collect();
        let last = |(at, prompt): (usize, &Prompt)| (at, vec![prompt.ids.len() - 1]);
        let spans: Vec<Span> = match regresses {
            true => prompts.iter().enumerate().map(last).collect(),
            false => vec![],
        };
        let (hidden, caches) = model.forward_batch(&sequences, &spans, &[])?;
        let mut figures = vec![];
        let mut loss = Tensor::from(0_f32);
        if regresses {
            let (states, packing) = hidden.spans(0..spans.len())?;
            let rows: Vec<i64> =
                (0..spans.len()).map(|at| packing.range(at).start as i64).collect();
            let states = states.f_index_select(0, &Tensor::f_from_slice(&rows)?)?; // [b, d]
            let predicted = regress(tensors, &states)?;
            let wanted = Tensor::f_from_slice(chunks)?.f_view(&predicted.size()[..])?;
            let apart = (predicted - wanted).f_abs()?.f_mean(Kind::Float)? * *share;
            figures.push(("regression", apart.double_value(&[])));
            let weight = match objective {
                Objective::Regression => 1.0,
                _ => settings.regression_weight,
            };
            loss += apart * weight;
        }
        if objective == Objective::Regression {
            return Ok((loss, figures));
        }
        let mut blocks: Vec<(usize, Corrupted)> = (blocks.iter().enumerate())
            .flat_map(|(at, copies)| copies.iter().map(move |block| (at, block.clone())))
            .collect();
        if objective == Objective::Joint && settings.own_copies > 0 {
            let first: Vec<&Corrupted> =
                blocks.iter().step_by(settings.copies).map(|(_, block)| block).collect();
            let own = self.own_actions(&model, prompts, &shared, &caches, &first)?;
            let is_own = |copy: &usize| copy % settings.copies < settings.own_copies;
            for copy in (0..blocks.len()).filter(is_own) {
                let (at, block) = &mut blocks[copy];
                for (slot, id) in &own[*at] {
                    if block.ids[*slot] != self.model.ids.mask_token_id {
                        block.ids[*slot] = *id;
                    }
                }
            }
        }
        let inputs: Vec<(Vec<i64>, Vec<Run>)> = (blocks.iter())
            .map(|(at, block)| {
                let prompt = &prompts[*at];
                let end = block.ids.iter().position(|&id| id == self.model.ids.eoa_token_id);
                let runs = attention.runs(&prompt.parts, end.map(|end| prompt.ids.len() + end));
                let ids = [&prompt.ids[shared[*at]..], &block.ids].concat();
                (ids, mask::from_position(&runs, shared[*at]))
            })
            .collect();
        let sequences: Vec<Sequence> = (blocks.iter().zip(&inputs))
            .map(|((at, _), (ids, runs))| Sequence { ids, runs, cache: Some(&caches[*at]) })
            .collect();
        let targets: Vec<Targets> =
            blocks.iter().map(|(_, block)| Targets::from_labels(&block.labels)).collect();
        let spans: Vec<Span> = (targets.iter().zip(&blocks).enumerate())
            .map(|(copy, (targets, (at, _)))| {
                let before = prompts[*at].ids.len() - shared[*at];
                (copy, targets.rows.iter().map(|&row| before + row as usize).collect())
            })
            .collect();
        let (hidden, _) = model.forward_batch(&sequences, &spans, &[])?;
        let (states, packing) = hidden.spans(0..spans.len())?;
        let rows: Vec<i64> =
            (0..spans.len()).flat_map(|at| packing.range(at)).map(|row| row as i64).collect();
        let ids: Vec<i64> = targets.into_iter().flat_map(|targets| targets.ids).collect();
        let logits = model.logits(&states.f_index_select(0, &Tensor::f_from_slice(&rows)?)?)?;
        let weight = VisionWeight::new(settings.image_weight, &self.model.ids);
        let blur = self.blur();
        let masked = match settings.loss {
            Loss::Released => training::released(&logits, &ids, &weight, blur.as_ref())?,
            Loss::Paper => training::paper(&logits, &ids, &weight, blur.as_ref())?,
        };
        let own: f64 = ids.iter().map(|&id| settings.loss.share(&weight, id)).sum();
        for (name, value) in self.parts(&logits, &ids)? {
            figures.push((name, value * *share));
        }
        Ok((loss + masked * (own / *total), figures))
    }

    /// The blur of the actions' targets, if any.
    pub fn blur(&self) -> Option<Blur> {
        let deviation = self.config.policy.action_blur;
        // The first id of the released range stands for no action.
        let ids = self.model.ids.eov_token_id + 2..=self.model.ids.last_action_token_id;
        (deviation > 0.0).then_some(Blur { ids, deviation })
    }

    /// The most probable actions per window when nothing of its block is known, by slot of the block.
    fn own_actions(
        &self,
        model: &Transformer,
        prompts: &[Prompt],
        shared: &[usize],
        caches: &[Cache],
        blocks: &[&Corrupted],
    ) -> Result<Vec<Vec<(usize, i64)>>, TchError> {
        let _guard = tch::no_grad_guard();
        let special = &self.model.ids;
        let codes = special.bov_token_id..=special.eov_token_id;
        let actions = special.eov_token_id + 1..=special.last_action_token_id;
        let (mut inputs, mut slots) = (vec![], vec![]);
        for ((block, prompt), &count) in blocks.iter().zip(prompts).zip(shared) {
            let whole = block.ids.iter().zip(&block.labels);
            let whole = whole.map(|(&id, &label)| if label == UNSCORED { id } else { label });
            let whole: Vec<i64> = whole.collect();
            let unknown = whole.iter().map(|&id| {
                let is_generated =
                    codes.contains(&id) || actions.contains(&id) || id == special.eoa_token_id;
                if is_generated { special.mask_token_id } else { id }
            });
            let ids = [&prompt.ids[count..], &unknown.collect::<Vec<_>>()].concat();
            let runs = self.config.attention.runs(&prompt.parts, None);
            inputs.push((ids, mask::from_position(&runs, count)));
            let is_action = |at: &usize| actions.contains(&whole[*at]);
            slots.push((0..whole.len()).filter(is_action).collect::<Vec<_>>());
        }
        let sequences: Vec<Sequence> = (inputs.iter().zip(caches))
            .map(|((ids, runs), cache)| Sequence { ids, runs, cache: Some(cache) })
            .collect();
        // A position is predicted by the one before it.
        let spans: Vec<Span> = (slots.iter().zip(prompts).zip(shared).enumerate())
            .map(|(at, ((slots, prompt), &count))| {
                let before = prompt.ids.len() - count;
                (at, slots.iter().map(|slot| before + slot - 1).collect())
            })
            .collect();
        let (hidden, _) = model.forward_batch(&sequences, &spans, &[])?;
        let (states, packing) = hidden.spans(0..spans.len())?;
        let rows: Vec<i64> =
            (0..spans.len()).flat_map(|at| packing.range(at)).map(|row| row as i64).collect();
        let logits = model.logits(&states.f_index_select(0, &Tensor::f_from_slice(&rows)?)?)?;
        let logits = logits.f_narrow(1, *actions.start(), actions.end() - actions.start() + 1)?;
        let best: Vec<i64> = Vec::try_from(logits.f_argmax(1, false)?)?;
        let mut best = best.into_iter().map(|action| actions.start() + action);
        let ids = |slots: Vec<usize>| slots.into_iter().zip(best.by_ref()).collect();
        Ok(slots.into_iter().map(ids).collect())
    }

    /// Cross-entropies of codes and of actions at single ids, without blur and gradients.
    fn parts(&self, logits: &Tensor, ids: &[i64]) -> Result<Figures, TchError> {
        let _guard = tch::no_grad_guard();
        let special = &self.model.ids;
        let mut figures = vec![];
        for (name, range) in [
            ("images", special.bov_token_id..=special.eov_token_id),
            ("actions", special.eov_token_id + 1..=special.last_action_token_id),
        ] {
            let rows: Vec<i64> =
                (0..ids.len()).filter(|&at| range.contains(&ids[at])).map(|at| at as i64).collect();
            if rows.is_empty() {
                continue;
            }
            let wanted: Vec<i64> = rows.iter().map(|&row| ids[row as usize]).collect();
            let logits = logits.f_detach()?.f_index_select(0, &Tensor::f_from_slice(&rows)?)?;
            figures.push((name, training::next_token(&logits, &wanted)?.double_value(&[])));
        }
        Ok(figures)
    }
}
