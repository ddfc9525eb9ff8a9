//! Training of the policy, on the transformer and the masks of evaluations.
//!
//! Each step draws windows and masks every window's block a few times; the copies share the keys and
//! values of their prompt, which attention `hybrid` makes exact. Stage (i) scores future images only,
//! stage (ii) images and actions, each with a mask ratio of its own.
//!
//! Source: paper section 3.2 (stages), Eq. 8 (loss); `mask_or_random_replace_tokens` of the release.

use std::collections::HashMap;
use std::path::Path;

use serde_json::{Value, json};
use tch::{Device, Kind, TchError, Tensor};

use super::Figures;
use super::actions::{FAST, NORM_STATS, RANKS, VISION_TOKENS};
use super::config::{Loss, Objective, Stage, TrainingConfig};
use super::demonstrations::ACTION;
use super::error::TrainError;
use super::parameters::{Entries, Parameters, save_tensors};
use super::windows::{Window, Windows};
use crate::files::write_atomically;
use crate::formula;
use crate::normalize::{GripperRule, Rotation};
use crate::tokens::FastTokenizer;
use crate::udvla::checkpoint::{
    Attention, Benchmark, CONFIG, CheckpointError, FORMAT, MANIFEST, Manifest, ModelConfig,
    NormFile, Placement, SINGLE, Sizes, SpecialIds, TextFiles,
};
use crate::udvla::decode::{
    Decoder, Generator, Jd3p, KeyedNoise, PrefixCache, Request, RestrictedHead, Rules, Step,
};
use crate::udvla::model::mask::{self, Run};
use crate::udvla::model::training::{self, Corrupted, PartNoise, Targets, UNSCORED, VisionWeight};
use crate::udvla::model::{Sequence, Span, Transformer};
use crate::udvla::prompt::{Block, Prompt, action_ids, allowed_action_ids, allowed_image_ids};

/// Names of the regression's own weights.
const REGRESSION: [&str; 2] = ["regression.weight", "regression.bias"];
/// Folder of the language model in a checkpoint.
const MODEL: &str = "model";

/// A policy under training.
pub struct PolicyTrainer {
    config: TrainingConfig,
    model: ModelConfig,
    seed: u64,
    parameters: Parameters,
    /// Stage and step within it.
    stage: usize,
    step: u64,
}

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

impl PolicyTrainer {
    /// Initial weights, a function of `seed`.
    ///
    /// `text_ids` is the size of the text tokenizer's vocabulary without special tokens, `actions` that
    /// of FAST.
    pub fn new(
        config: &TrainingConfig,
        (text_ids, actions): (usize, usize),
        longest_text: usize,
        seed: u64,
    ) -> Result<Self, TrainError> {
        let ids = special_ids(text_ids as i64, config.vision.sizes.codebook_size, actions as i64);
        let model = model_config(config, ids, longest_text);
        let mut entries: Entries = Transformer::parameters(&model);
        let outputs = config.layout.horizon as i64 * ACTION as i64;
        let d = config.policy.hidden_size;
        entries.push((REGRESSION[0].into(), vec![outputs, d]));
        entries.push((REGRESSION[1].into(), vec![outputs]));
        let layers = config.policy.layers as f64;
        tch::manual_seed(seed.cast_signed());
        let options = (Kind::Float, Device::Cpu);
        let parameters = Parameters::new(entries, &mut |name, shape| match shape {
            [_] if name == REGRESSION[1] => Tensor::zeros(shape, options),
            [_] => Tensor::ones(shape, options),
            [_, inputs] => {
                let spread = match name {
                    // The residual stream starts at about unit size.
                    _ if name.contains("embed") => 0.5,
                    _ if name.contains("o_proj") || name.contains("down_proj") => {
                        (1.0 / *inputs as f64 / (2.0 * layers)).sqrt()
                    }
                    _ if name.contains("lm_head") => 0.5 / (*inputs as f64).sqrt(),
                    _ => 1.0 / (*inputs as f64).sqrt(),
                };
                Tensor::randn(shape, options) * spread
            }
            _ => Tensor::zeros(shape, options),
        })
        .map_err(TrainError::torch(0))?;
        Ok(Self { config: config.clone(), model, seed, parameters, stage: 0, step: 0 })
    }

    /// Ids of the vocabulary.
    pub fn ids(&self) -> &SpecialIds {
        &self.model.ids
    }

    /// Number of weights.
    pub fn count(&self) -> i64 {
        self.parameters.count()
    }

    /// The current stage, or `None` at the end.
    pub fn stage(&self) -> Option<&Stage> {
        self.config.policy.stages.get(self.stage)
    }

    /// Steps done and steps in all.
    pub fn progress(&self) -> (u64, u64) {
        let stages = &self.config.policy.stages;
        let before: u64 = stages[..self.stage].iter().map(|stage| stage.steps).sum();
        (before + self.step, stages.iter().map(|stage| stage.steps).sum())
    }

    /// One step.
    ///
    /// # Panics
    /// If no stage is left.
    pub fn advance(&mut self, windows: &Windows, threads: usize) -> Result<Figures, TrainError> {
        let (number, _) = self.progress();
        let torch = TrainError::torch(number);
        let stage = self.stage().expect("a stage is left").clone();
        let shards = self.shards(windows, stage.objective, number);
        let method = Method { config: self.config.clone(), model: self.model.clone() };
        let loss = |shard: &Shard, tensors: &HashMap<String, Tensor>| {
            method.loss(shard, stage.objective, tensors)
        };
        let (gradient, mut figures) =
            self.parameters.gradient(&shards, threads, loss).map_err(&torch)?;
        if figures.iter().any(|(_, value)| !value.is_finite()) {
            return Err(TrainError::NotFinite { step: number });
        }
        let [norm, rate] = self
            .parameters
            .update(&gradient, &stage.optimizing, self.step, stage.steps)
            .map_err(&torch)?;
        figures.extend([("gradient", norm), ("rate", rate)]);
        self.step += 1;
        if self.step == stage.steps {
            (self.stage, self.step) = (self.stage + 1, 0);
            if self.stage().is_some() {
                self.parameters.restart().map_err(&torch)?;
            }
        }
        Ok(figures)
    }

    /// The windows of step `number`, in shards.
    fn shards(&self, windows: &Windows, objective: Objective, number: u64) -> Vec<Shard> {
        let settings = &self.config.policy;
        let shares = formula::uniform(&format!("windows/{}/{number}", self.seed), settings.batch);
        let drawn: Vec<&Window> = shares.iter().map(|&share| windows.draw(share)).collect();
        let copies = match objective {
            Objective::Regression => 0,
            _ => settings.copies,
        };
        let blocks: Vec<Vec<Corrupted>> = (drawn.iter().enumerate())
            .map(|(at, window)| {
                let copy =
                    |copy| self.corrupted(windows, window, objective, number, at * copies + copy);
                (0..copies).map(copy).collect()
            })
            .collect();
        let weight = VisionWeight::new(settings.image_weight, &self.model.ids);
        let sums = blocks.iter().flatten().map(|block| {
            let scored = block.labels.iter().filter(|&&label| label != UNSCORED);
            scored.map(|label| settings.loss.share(&weight, *label)).sum::<f64>()
        });
        let total: f64 = sums.sum();
        let mut blocks = blocks.into_iter();
        drawn
            .chunks(SHARD)
            .map(|drawn| Shard {
                prompts: drawn.iter().map(|window| windows.prompt(window)).collect(),
                chunks: (drawn.iter())
                    .flat_map(|window| window.chunk.iter().map(|&value| value as f32))
                    .collect(),
                share: drawn.len() as f64 / settings.batch as f64,
                blocks: blocks.by_ref().take(drawn.len()).collect(),
                total,
            })
            .collect()
    }

    /// The block of a window, masked by numbers that depend on seed, step and copy alone.
    fn corrupted(
        &self,
        windows: &Windows,
        window: &Window,
        objective: Objective,
        number: u64,
        copy: usize,
    ) -> Corrupted {
        let ids = &self.model.ids;
        let [images, actions] = windows.block(window);
        let numbers = formula::uniform(
            &format!("mask/{}/{number}/{copy}", self.seed),
            2 + images.len() + actions.len(),
        );
        let (ratios, order) = numbers.split_at(2);
        let (of_images, of_actions) = order.split_at(images.len());
        let noise = [
            PartNoise { ratio: ratios[0], order: of_images },
            PartNoise { ratio: ratios[1], order: of_actions },
        ];
        let slots = self.config.layout.action_slots;
        let parts = [&images[..], &actions[..]];
        let mut block = training::corrupt_block(parts, [&noise[0], &noise[1]], slots, ids);
        if objective == Objective::Images {
            // The actions are unknown and not asked for.
            let first = images.len() + 1;
            block.ids[first..].fill(ids.mask_token_id);
            block.labels[first..].fill(UNSCORED);
        }
        block
    }

    /// Decodes `count` validation windows in `steps` steps, always the most probable ids.
    pub fn validate(
        &self,
        windows: &Windows,
        fast: &FastTokenizer,
        steps: u16,
        count: usize,
    ) -> Result<Validation, TrainError> {
        let (number, _) = self.progress();
        tch::no_grad(|| self.measured(windows, fast, steps, count))
            .map_err(TrainError::torch(number))
    }

    fn measured(
        &self,
        windows: &Windows,
        fast: &FastTokenizer,
        steps: u16,
        count: usize,
    ) -> Result<Validation, TchError> {
        const BATCH: usize = 16;
        let tensors = self.parameters.averages()?;
        let model = transformer(&self.model, &tensors)?;
        let ids = &self.model.ids;
        let horizon = usize::from(self.config.layout.horizon);
        let every = (windows.validation.len() / count.max(1)).max(1);
        let chosen: Vec<&Window> = windows.validation.iter().step_by(every).take(count).collect();
        let (text, _) = (self.size_ids(windows, &chosen), ());
        let image_ids = allowed_image_ids(ids, &text);
        let action_ids_allowed = allowed_action_ids(ids, fast.vocabulary());
        let (image, action) = (
            RestrictedHead::new(&model, &image_ids)?,
            RestrictedHead::new(&model, &action_ids_allowed)?,
        );
        let generator = Generator {
            model: &model,
            ids,
            image: &image,
            action: &action,
            attention: self.config.attention,
            prefix_cache: PrefixCache::Exact,
        };
        let decoder = Jd3p { steps, rules: Rules::paper(0.0) };
        let mut all = Validation {
            errors: vec![0.0; ACTION],
            regression: vec![0.0; ACTION],
            codes: 0.0,
            copied: 0.0,
            windows: chosen.len(),
        };
        let per_dimension = 1.0 / (chosen.len() * horizon) as f64;
        for batch in chosen.chunks(BATCH) {
            let prompts: Vec<Prompt> = batch.iter().map(|window| windows.prompt(window)).collect();
            let images = self.config.layout.generated_positions(self.config.target);
            let block = Block::new(ids, &images, self.config.layout.action_slots);
            let noise = KeyedNoise::new(0, "validation", 0);
            let requests: Vec<Request> = (prompts.iter())
                .map(|prompt| Request { prompt, block: &block, noise: &noise })
                .collect();
            let generated = decoder
                .decode(&generator, &requests, &mut |_: usize, _: &Step| {})
                .map_err(|error| TchError::Torch(error.to_string()))?;
            for ((window, generated), prompt) in batch.iter().zip(&generated).zip(&prompts) {
                let chunk = fast.decode(
                    &action_ids(ids, &generated.ids, block.image_positions),
                    horizon,
                    ACTION,
                );
                for (at, (value, wanted)) in chunk.iter().zip(&window.chunk).enumerate() {
                    all.errors[at % ACTION] += (value - wanted).abs().min(2.0) * per_dimension;
                }
                let [future, _] = windows.block(window);
                let present = &prompt.ids[prompt.parts.text..];
                let is_code = |id: &i64| (ids.bov_token_id..=ids.eov_token_id).contains(id);
                let codes: Vec<usize> =
                    (0..future.len()).filter(|&at| is_code(&future[at])).collect();
                let share = 1.0 / (codes.len() * chosen.len()) as f64;
                for at in codes {
                    all.codes += share * f64::from(generated.ids[at] == future[at]);
                    all.copied += share * f64::from(present[at] == future[at]);
                }
            }
            let states = self.last_states(&model, &prompts)?;
            let predicted = regress(&tensors, &states)?;
            let predicted = Vec::<f32>::try_from(predicted.f_view(-1)?)?;
            for (window, predicted) in batch.iter().zip(predicted.chunks_exact(horizon * ACTION)) {
                for (at, (value, wanted)) in predicted.iter().zip(&window.chunk).enumerate() {
                    all.regression[at % ACTION] +=
                        (f64::from(*value) - wanted).abs() * per_dimension;
                }
            }
        }
        Ok(all)
    }

    /// Ids of the characters of the images' size texts, which prompts contain.
    fn size_ids(&self, windows: &Windows, chosen: &[&Window]) -> Vec<i64> {
        let ids = &self.model.ids;
        let Some(window) = chosen.first() else { return vec![] };
        let [images, _] = windows.block(window);
        let mut text: Vec<i64> = images.into_iter().filter(|&id| id < ids.pad_token_id).collect();
        text.sort_unstable();
        text.dedup();
        text
    }

    /// Final hidden states of the prompts' last positions, `[b, d]`.
    fn last_states(&self, model: &Transformer, prompts: &[Prompt]) -> Result<Tensor, TchError> {
        let states = prompts.iter().map(|prompt| {
            let runs = self.config.attention.runs(&prompt.parts, None);
            let (states, _) =
                model.forward(&prompt.ids, &mask::before(&runs, prompt.ids.len()), None)?;
            states.f_narrow(0, prompt.ids.len() as i64 - 1, 1)
        });
        Tensor::f_cat(&states.collect::<Result<Vec<_>, _>>()?, 0)
    }

    /// Writes language model and manifest into a checkpoint whose other parts are there.
    pub fn export(&self, folder: &Path) -> Result<(), TrainError> {
        let (number, _) = self.progress();
        let averages = self.parameters.averages().map_err(TrainError::torch(number))?;
        let (regression, mut tensors): (Vec<_>, Vec<_>) =
            averages.into_iter().partition(|(name, _)| REGRESSION.contains(&&**name));
        tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
        save_tensors(&folder.join(MODEL).join(SINGLE), &tensors, None)?;
        save_tensors(&folder.join("regression.safetensors"), &regression, None)?;
        let write = |name: String, value: Value| {
            let file = folder.join(name);
            write_atomically(&file, format!("{value:#}\n").as_bytes())
                .map_err(|source| TrainError::Write { file, source })
        };
        write(format!("{MODEL}/{CONFIG}"), self.model.to_json())?;
        let manifest = Manifest {
            format: FORMAT,
            name: self.config.name.clone(),
            synthetic: false,
            model: MODEL.into(),
            attention: Some(self.config.attention),
            target: self.config.target,
            text: TextFiles { ranks: RANKS.into(), vision_tokens: Some(VISION_TOKENS.into()) },
            vision: "vision".into(),
            benchmarks: [(
                self.config.benchmark.clone(),
                Benchmark {
                    layout: self.config.layout.clone(),
                    fast: FAST.into(),
                    norm_stats: NormFile {
                        file: NORM_STATS.into(),
                        name: self.config.benchmark.clone(),
                    },
                    gripper: GripperRule::Sign,
                    rotation: Rotation::AsIs,
                    denoise_steps: self.config.denoise_steps,
                },
            )]
            .into(),
        };
        write(MANIFEST.into(), json!(manifest))
    }

    /// Writes the state of the training.
    pub fn save(&self, file: &Path) -> Result<(), TrainError> {
        let notes = HashMap::from([
            ("stage".into(), self.stage.to_string()),
            ("step".into(), self.step.to_string()),
            ("seed".into(), self.seed.to_string()),
        ]);
        self.parameters.save(file, notes)
    }

    /// Goes on from a state.
    pub fn resume(&mut self, file: &Path) -> Result<(), TrainError> {
        let notes = self.parameters.resume(file)?;
        let number = |name: &str| {
            let value = notes.get(name).and_then(|value| value.parse::<u64>().ok());
            value.ok_or_else(|| TrainError::content(file, format!("does not say its {name}")))
        };
        if number("seed")? != self.seed {
            return Err(TrainError::content(file, "was trained with another seed"));
        }
        (self.stage, self.step) = (number("stage")? as usize, number("step")?);
        Ok(())
    }
}

/// Windows whose gradient one thread computes at a time.
const SHARD: usize = 8;

/// A part of a step's windows.
struct Shard {
    prompts: Vec<Prompt>,
    /// Their chunks, `[b, horizon * width]`.
    chunks: Vec<f32>,
    /// Share of the step's windows.
    share: f64,
    /// Masked copies of each window's block.
    blocks: Vec<Vec<Corrupted>>,
    /// What the losses of the whole step's masked positions are divided by.
    total: f64,
}

/// What a loss needs beside the weights.
struct Method {
    config: TrainingConfig,
    model: ModelConfig,
}

impl Loss {
    /// What a position with this label adds to the divisor.
    fn share(self, weight: &VisionWeight, label: i64) -> f64 {
        match self {
            Self::Released if weight.codes.contains(&label) => weight.weight,
            Self::Released | Self::Paper => 1.0,
        }
    }
}

impl Method {
    /// A shard's part of the step's loss, with its parts.
    fn loss(
        &self,
        Shard { prompts, chunks, share, blocks, total }: &Shard,
        objective: Objective,
        tensors: &HashMap<String, Tensor>,
    ) -> Result<(Tensor, Figures), TchError> {
        let settings = &self.config.policy;
        let model = transformer(&self.model, tensors)?;
        let weighs_regression = settings.regression_weight > 0.0;
        let regresses = objective == Objective::Regression
            || objective == Objective::Joint && weighs_regression;
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
            loss = loss + apart * weight;
        }
        if objective == Objective::Regression {
            return Ok((loss, figures));
        }
        let blocks: Vec<(usize, &Corrupted)> = (blocks.iter().enumerate())
            .flat_map(|(at, copies)| copies.iter().map(move |block| (at, block)))
            .collect();
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
        let masked = match settings.loss {
            Loss::Released => training::released(&logits, &ids, &weight)?,
            Loss::Paper => training::paper(&logits, &ids, &weight)?,
        };
        let own: f64 = ids.iter().map(|&id| settings.loss.share(&weight, id)).sum();
        for (name, value) in self.parts(&logits, &ids)? {
            figures.push((name, value * *share));
        }
        Ok((loss + masked * (own / *total), figures))
    }

    /// Cross-entropies of codes and of actions, without gradients.
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

/// The language model with these weights.
fn transformer(
    config: &ModelConfig,
    tensors: &HashMap<String, Tensor>,
) -> Result<Transformer, TchError> {
    let placement = Placement { device: Device::Cpu, kind: Kind::Float };
    let mut load = |name: &str, _: &[i64]| Ok(tensors[name].shallow_clone());
    match Transformer::build(config, placement, &mut load) {
        Ok(model) => Ok(model),
        Err(CheckpointError::Torch { source, .. }) => Err(source),
        Err(other) => Err(TchError::Torch(other.to_string())),
    }
}

/// The chunk regressed from states `[b, d]`: `[b, horizon * width]`.
fn regress(tensors: &HashMap<String, Tensor>, states: &Tensor) -> Result<Tensor, TchError> {
    states.f_linear(&tensors[REGRESSION[0]], Some(&tensors[REGRESSION[1]]))
}

/// Special ids behind `text` ids, and actions behind the visual codes.
fn special_ids(text: i64, codes: i64, actions: i64) -> SpecialIds {
    let extra = |index: i64| text + 3 + index;
    let bov = extra(205) + 3;
    let eov = bov + codes - 1;
    SpecialIds {
        pad_token_id: text,
        bos_token_id: extra(203),
        img_token_id: bov - 3,
        boi_token_id: bov - 2,
        eoi_token_id: bov - 1,
        eof_token_id: extra(201),
        boa_token_id: extra(198),
        eoa_token_id: extra(199),
        mask_token_id: extra(202),
        bov_token_id: bov,
        eov_token_id: eov,
        // One more than there are: the released range is one too wide.
        last_action_token_id: eov + 1 + actions,
    }
}

fn model_config(config: &TrainingConfig, ids: SpecialIds, longest_text: usize) -> ModelConfig {
    let policy = &config.policy;
    let layout = &config.layout;
    let images: usize = layout.image_positions().iter().sum();
    let generated: usize = layout.generated_positions(config.target).iter().sum();
    let positions = 1 + longest_text + images + generated + layout.action_slots;
    let sizes = Sizes {
        vocab_size: ids.last_action_token_id + 1,
        hidden_size: policy.hidden_size,
        intermediate_size: policy.intermediate_size,
        num_hidden_layers: policy.layers,
        num_attention_heads: policy.heads,
        num_key_value_heads: policy.key_heads,
        rms_norm_eps: 1e-5,
        rope_theta: policy.rope_theta,
        max_position_embeddings: positions.next_multiple_of(64) as i64,
        tie_word_embeddings: false,
        qkv_bias: false,
        hidden_act: "silu".into(),
        use_blockwise_attn_mask: Some(config.attention == Attention::Released),
        use_bidirectional_attn_mask: Some(config.attention == Attention::ReleasedBidirectional),
    };
    ModelConfig { sizes, ids }
}
