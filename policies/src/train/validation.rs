//! What a policy under training predicts on windows that it was not trained on.

use std::collections::HashMap;

use tch::{TchError, Tensor};

use super::demonstrations::ACTION;
use super::error::TrainError;
use super::network::{regress, transformer};
use super::policy::{LEAST_MASKED, PolicyTrainer};
use super::windows::{Window, Windows};
use crate::formula;
use crate::tokens::FastTokenizer;
use crate::udvla::checkpoint::SpecialIds;
use crate::udvla::decode::{
    Decoder, Generator, Jd3p, KeyedNoise, PrefixCache, Request, RestrictedHead, Rules, Step,
};
use crate::udvla::model::training::{PartNoise, Targets, UNSCORED, corrupt, next_token};
use crate::udvla::model::{Sequence, Span, Transformer, mask};
use crate::udvla::prompt::{Block, Prompt, action_ids, allowed_action_ids, allowed_image_ids};

/// Windows that are decoded together.
const BATCH: usize = 16;

/// What a validation measures.
#[derive(Debug, Clone, PartialEq)]
pub struct Validation {
    /// Mean error of a decoded chunk per action dimension, as a share of half its range.
    pub errors: Vec<f64>,
    /// The same of the regression.
    pub regression: Vec<f64>,
    /// Share of the future's codes that are predicted.
    pub codes: f64,
    /// Share of the future's codes that the present image has.
    pub copied: f64,
    /// Windows.
    pub windows: usize,
}

/// Mean cross-entropy of the actions, all masked, by what the future's tokens are. Nine in ten of
/// them are shown, as few as a training ever masks; the same positions in all three.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Arms {
    /// Those of the observation after the chunk.
    pub truth: f64,
    /// Those that the model generates.
    pub generated: f64,
    /// Random codes.
    pub random: f64,
    /// Windows.
    pub windows: usize,
}

impl PolicyTrainer {
    /// Decodes `count` validation windows in `steps` steps, always the most probable ids.
    pub fn validate(
        &self,
        windows: &Windows,
        fast: &FastTokenizer,
        steps: u16,
        count: usize,
    ) -> Result<Validation, TrainError> {
        tch::no_grad(|| Measurement::new(self, windows, fast, count)?.validation(steps))
            .map_err(TrainError::torch(self.progress().0))
    }

    /// Whether the actions of `count` validation windows depend on the future's tokens.
    pub fn arms(
        &self,
        windows: &Windows,
        fast: &FastTokenizer,
        steps: u16,
        count: usize,
    ) -> Result<Arms, TrainError> {
        tch::no_grad(|| Measurement::new(self, windows, fast, count)?.arms(steps))
            .map_err(TrainError::torch(self.progress().0))
    }
}

/// A model with its moving average, and validation windows.
struct Measurement<'a> {
    trainer: &'a PolicyTrainer,
    windows: &'a Windows,
    fast: &'a FastTokenizer,
    chosen: Vec<&'a Window>,
    tensors: HashMap<String, Tensor>,
    model: Transformer,
    block: Block,
}

impl<'a> Measurement<'a> {
    fn new(
        trainer: &'a PolicyTrainer,
        windows: &'a Windows,
        fast: &'a FastTokenizer,
        count: usize,
    ) -> Result<Self, TchError> {
        let every = (windows.validation.len() / count.max(1)).max(1);
        let chosen = windows.validation.iter().step_by(every).take(count).collect();
        let tensors = trainer.parameters.averages()?;
        let model = transformer(&trainer.model, &tensors)?;
        let layout = &trainer.config.layout;
        let images = layout.generated_positions(trainer.config.target);
        let block = Block::new(&trainer.model.ids, &images, layout.action_slots);
        Ok(Self { trainer, windows, fast, chosen, tensors, model, block })
    }

    fn ids(&self) -> &SpecialIds {
        &self.trainer.model.ids
    }

    fn validation(&self, steps: u16) -> Result<Validation, TchError> {
        let ids = self.ids();
        let horizon = usize::from(self.trainer.config.layout.horizon);
        let mut all = Validation {
            errors: vec![0.0; ACTION],
            regression: vec![0.0; ACTION],
            codes: 0.0,
            copied: 0.0,
            windows: self.chosen.len(),
        };
        let per_dimension = 1.0 / (self.chosen.len() * horizon) as f64;
        for batch in self.chosen.chunks(BATCH) {
            let prompts: Vec<Prompt> = batch.iter().map(|w| self.windows.prompt(w, 0)).collect();
            let generated = self.decode(&prompts, steps)?;
            for ((window, generated), prompt) in batch.iter().zip(&generated).zip(&prompts) {
                let chunk = action_ids(ids, generated, self.block.image_positions);
                let chunk = self.fast.decode(&chunk, horizon, ACTION);
                for (at, (value, wanted)) in chunk.iter().zip(&window.chunk).enumerate() {
                    all.errors[at % ACTION] += (value - wanted).abs().min(2.0) * per_dimension;
                }
                let [future, _] = self.windows.block(window, 0);
                let present = &prompt.ids[prompt.parts.text..];
                let codes: Vec<usize> =
                    (0..future.len()).filter(|&at| is_code(ids, future[at])).collect();
                let share = 1.0 / (codes.len() * self.chosen.len()) as f64;
                for at in codes {
                    all.codes += share * f64::from(generated[at] == future[at]);
                    all.copied += share * f64::from(present[at] == future[at]);
                }
            }
            let predicted = regress(&self.tensors, &self.last_states(&prompts)?)?;
            let predicted = Vec::<f32>::try_from(predicted.f_view(-1)?)?;
            for (window, predicted) in batch.iter().zip(predicted.chunks_exact(horizon * ACTION)) {
                for (at, (value, wanted)) in predicted.iter().zip(&window.chunk).enumerate() {
                    let error = (f64::from(*value) - wanted).abs();
                    all.regression[at % ACTION] += error * per_dimension;
                }
            }
        }
        Ok(all)
    }

    fn arms(&self, steps: u16) -> Result<Arms, TchError> {
        let ids = self.ids();
        let mut sums = [0.0; 3];
        for (number, batch) in self.chosen.chunks(BATCH).enumerate() {
            let prompts: Vec<Prompt> = batch.iter().map(|w| self.windows.prompt(w, 0)).collect();
            let generated = self.decode(&prompts, steps)?;
            let truths: Vec<[Vec<i64>; 2]> =
                batch.iter().map(|w| self.windows.block(w, 0)).collect();
            let futures = |arm: usize| -> Vec<Vec<i64>> {
                let of_row = |(row, [truth, _]): (usize, &[Vec<i64>; 2])| match arm {
                    0 => truth.clone(),
                    1 => generated[row][..truth.len()].to_vec(),
                    _ => {
                        let name = format!("random codes/{number}/{row}");
                        let draws = formula::uniform(&name, truth.len());
                        let codes = ids.visual_codes() as f64;
                        let draw = |(&id, u): (&i64, f64)| match is_code(ids, id) {
                            true => ids.bov_token_id + (u * codes) as i64,
                            false => id,
                        };
                        truth.iter().zip(draws).map(draw).collect()
                    }
                };
                truths.iter().enumerate().map(of_row).collect()
            };
            for (arm, sum) in sums.iter_mut().enumerate() {
                let loss = self.action_loss(&prompts, &futures(arm), &truths, number)?;
                *sum += loss * batch.len() as f64 / self.chosen.len() as f64;
            }
        }
        let [truth, generated, random] = sums;
        Ok(Arms { truth, generated, random, windows: self.chosen.len() })
    }

    /// Mean cross-entropy of the actions, all masked, behind these futures.
    fn action_loss(
        &self,
        prompts: &[Prompt],
        futures: &[Vec<i64>],
        truths: &[[Vec<i64>; 2]],
        number: usize,
    ) -> Result<f64, TchError> {
        let ids = self.ids();
        let attention = self.trainer.config.attention;
        let inputs: Vec<_> = (prompts.iter().zip(futures).zip(truths).enumerate())
            .map(|(row, ((prompt, future), [_, actions]))| {
                let name = format!("shown/{number}/{row}");
                let order = formula::uniform(&name, future.len());
                let noise = PartNoise { ratio: LEAST_MASKED, order: &order };
                let shown = corrupt(future, &noise, ids).ids;
                let hidden = vec![ids.mask_token_id; actions.len() - 1];
                let sequence = [&prompt.ids[..], &shown, &[ids.boa_token_id], &hidden[..]].concat();
                let mut labels = vec![UNSCORED; prompt.ids.len() + shown.len() + 1];
                labels.extend(&actions[1..]);
                (sequence, attention.runs(&prompt.parts, None), Targets::from_labels(&labels))
            })
            .collect();
        let sequences: Vec<Sequence> =
            (inputs.iter()).map(|(ids, runs, _)| Sequence { ids, runs, cache: None }).collect();
        let spans: Vec<Span> = (inputs.iter().enumerate())
            .map(|(row, (_, _, targets))| {
                (row, targets.rows.iter().map(|&position| position as usize).collect())
            })
            .collect();
        let (hidden, _) = self.model.forward_batch(&sequences, &spans, &[])?;
        let (states, packing) = hidden.spans(0..spans.len())?;
        let rows: Vec<i64> = (0..spans.len())
            .flat_map(|row| packing.range(row))
            .map(|position| position as i64)
            .collect();
        let logits =
            self.model.logits(&states.f_index_select(0, &Tensor::f_from_slice(&rows)?)?)?;
        let wanted: Vec<i64> =
            inputs.iter().flat_map(|(.., targets)| targets.ids.clone()).collect();
        next_token(&logits, &wanted)?.f_double_value(&[])
    }

    /// The blocks of these prompts, jointly decoded, always the most probable ids.
    fn decode(&self, prompts: &[Prompt], steps: u16) -> Result<Vec<Vec<i64>>, TchError> {
        let ids = self.ids();
        let actions = allowed_action_ids(ids, self.fast.vocabulary());
        let image = RestrictedHead::new(&self.model, &self.image_ids())?;
        let action = RestrictedHead::new(&self.model, &actions)?;
        let generator = Generator {
            model: &self.model,
            ids,
            image: &image,
            action: &action,
            attention: self.trainer.config.attention,
            prefix_cache: PrefixCache::Exact,
        };
        let noise = KeyedNoise::new(0, "validation", 0);
        let requests: Vec<Request> = (prompts.iter())
            .map(|prompt| Request { prompt, block: &self.block, noise: &noise })
            .collect();
        let decoder = Jd3p { steps, rules: Rules::paper(0.0) };
        let generated = decoder
            .decode(&generator, &requests, &mut |_: usize, _: &Step| {})
            .map_err(|error| TchError::Torch(error.to_string()))?;
        Ok(generated.into_iter().map(|generated| generated.ids).collect())
    }

    /// Ids that image positions may take: codes, marks, and the characters of the size texts, which
    /// the prompts contain.
    fn image_ids(&self) -> Vec<i64> {
        let ids = self.ids();
        let [images, _] = match self.chosen.first() {
            Some(window) => self.windows.block(window, 0),
            None => [vec![], vec![]],
        };
        let mut text: Vec<i64> = images.into_iter().filter(|&id| id < ids.pad_token_id).collect();
        text.sort_unstable();
        text.dedup();
        allowed_image_ids(ids, &text)
    }

    /// Final hidden states of the prompts' last positions, `[b, d]`.
    fn last_states(&self, prompts: &[Prompt]) -> Result<Tensor, TchError> {
        let states = prompts.iter().map(|prompt| {
            let runs = self.trainer.config.attention.runs(&prompt.parts, None);
            let runs = mask::before(&runs, prompt.ids.len());
            let (states, _) = self.model.forward(&prompt.ids, &runs, None)?;
            states.f_narrow(0, prompt.ids.len() as i64 - 1, 1)
        });
        Tensor::f_cat(&states.collect::<Result<Vec<_>, _>>()?, 0)
    }
}

fn is_code(ids: &SpecialIds, id: i64) -> bool {
    (ids.bov_token_id..=ids.eov_token_id).contains(&id)
}
