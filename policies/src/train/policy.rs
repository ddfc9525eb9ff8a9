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
use tch::{Device, Kind, Tensor};

use super::Figures;
use super::actions::{FAST, NORM_STATS, RANKS, VISION, VISION_TOKENS};
use super::config::{Objective, Stage, TrainingConfig};
use super::error::TrainError;
use super::loss::{Method, SHARD, Shard};
use super::network::{REGRESSION, entries, initial, model_config};
use super::parameters::{Parameters, digest, save_tensors};
use super::windows::{Window, Windows};
use crate::files::write_atomically;
use crate::formula;
use crate::normalize::{GripperRule, Rotation};
use crate::udvla::checkpoint::{
    Benchmark, CONFIG, Checkpoint, FORMAT, MANIFEST, Manifest, ModelConfig, NormFile, Placement,
    REGRESSION as REGRESSION_FOLDER, SINGLE, SpecialIds, TextFiles, Weights,
};
use crate::udvla::model::training::{self, Corrupted, PartNoise, UNSCORED, VisionWeight};

/// Folder of the language model in a checkpoint.
const MODEL: &str = "model";

/// A number that gives the smallest mask ratio.
pub(super) const LEAST_MASKED: f64 = 0.999;

/// A policy under training.
pub struct PolicyTrainer {
    pub(super) config: TrainingConfig,
    pub(super) model: ModelConfig,
    seed: u64,
    pub(super) parameters: Parameters,
    /// Stage and step within it.
    stage: usize,
    step: u64,
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
        let ids =
            SpecialIds::compact(text_ids as i64, config.vision.sizes.codebook_size, actions as i64);
        let model = model_config(config, ids, longest_text);
        let mut init = |name: &str, shape: &[i64]| initial(name, shape, config, &model, seed);
        let parameters =
            Parameters::new(entries(config, &model), &mut init).map_err(TrainError::torch(0))?;
        Ok(Self { config: config.clone(), model, seed, parameters, stage: 0, step: 0 })
    }

    /// Takes the weights of a checkpoint that was trained here as the first ones.
    ///
    /// # Errors
    /// A checkpoint of other sizes, or without weights of direct regression.
    pub fn start_from(&mut self, checkpoint: &Checkpoint) -> Result<(), TrainError> {
        let placement = Placement { device: Device::Cpu, kind: Kind::Float };
        let model = Weights::open(&checkpoint.model_folder())?;
        let regression = Weights::open(&checkpoint.regression_folder())?;
        self.parameters.take(|name, shape| {
            let own = name.strip_prefix("regression.");
            let weights = if own.is_some() { &regression } else { &model };
            Ok(weights.tensor(own.unwrap_or(name), shape, placement)?)
        })
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
        let [norm, rate] = self
            .parameters
            .update(&gradient, &stage.optimizing, self.step, stage.steps)
            .map_err(&torch)?;
        figures.extend([("gradient", norm), ("rate", rate)]);
        if figures.iter().any(|(_, value)| !value.is_finite()) {
            return Err(TrainError::NotFinite { step: number });
        }
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
    pub(super) fn shards(
        &self,
        windows: &Windows,
        objective: Objective,
        number: u64,
    ) -> Vec<Shard> {
        let settings = &self.config.policy;
        let shares = formula::uniform(&format!("windows/{}/{number}", self.seed), settings.batch);
        let variants = formula::uniform(&format!("variants/{}/{number}", self.seed), shares.len());
        let variant = |u: &f64| (u * settings.variants as f64) as usize;
        let drawn: Vec<(&Window, usize)> = (shares.iter().zip(&variants))
            .map(|(&share, u)| (windows.draw(share), variant(u)))
            .collect();
        let copies = match objective {
            Objective::Regression => 0,
            _ => settings.copies,
        };
        let blocks: Vec<Vec<Corrupted>> = (drawn.iter().enumerate())
            .map(|(at, (window, variant))| {
                let block = windows.block(window, *variant);
                let copy = |copy| self.corrupted(&block, objective, number, at * copies + copy);
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
                prompts: (drawn.iter())
                    .map(|(window, variant)| windows.prompt(window, *variant))
                    .collect(),
                chunks: (drawn.iter())
                    .flat_map(|(window, _)| window.chunk.iter().map(|&value| value as f32))
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
        [images, actions]: &[Vec<i64>; 2],
        objective: Objective,
        number: u64,
        copy: usize,
    ) -> Corrupted {
        let ids = &self.model.ids;
        let numbers = formula::uniform(
            &format!("mask/{}/{number}/{copy}", self.seed),
            2 + images.len() + actions.len(),
        );
        let (ratios, order) = numbers.split_at(2);
        let (of_images, of_actions) = order.split_at(images.len());
        let of_future = match objective {
            Objective::Actions => LEAST_MASKED,
            _ => ratios[0],
        };
        let noise = [
            PartNoise { ratio: of_future, order: of_images },
            PartNoise { ratio: ratios[1], order: of_actions },
        ];
        let slots = self.config.layout.action_slots;
        let parts = [&images[..], &actions[..]];
        let mut block = training::corrupt_block(parts, [&noise[0], &noise[1]], slots, ids);
        match objective {
            Objective::Images => {
                // The actions are unknown and not asked for.
                let first = images.len() + 1;
                block.ids[first..].fill(ids.mask_token_id);
                block.labels[first..].fill(UNSCORED);
            }
            Objective::Actions => block.labels[..images.len()].fill(UNSCORED),
            Objective::Regression | Objective::Joint => {}
        }
        block
    }

    /// Writes language model and manifest into a checkpoint whose other parts are there.
    pub fn export(&self, folder: &Path) -> Result<(), TrainError> {
        let (number, _) = self.progress();
        let averages = self.parameters.averages().map_err(TrainError::torch(number))?;
        let (regression, mut tensors): (Vec<_>, Vec<_>) =
            averages.into_iter().partition(|(name, _)| REGRESSION.contains(&&**name));
        tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
        save_tensors(&folder.join(MODEL).join(SINGLE), &tensors, None)?;
        let regression: Vec<(String, Tensor)> = (regression.into_iter())
            .map(|(name, tensor)| (name.trim_start_matches("regression.").to_owned(), tensor))
            .collect();
        save_tensors(&folder.join(REGRESSION_FOLDER).join(SINGLE), &regression, None)?;
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
            vision: VISION.into(),
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
                    temperature: Some(self.config.temperature),
                },
            )]
            .into(),
        };
        write(MANIFEST.into(), json!(manifest))
    }

    fn settings_digest(&self) -> String {
        let TrainingConfig { layout, attention, target, validation_every, actions, policy, .. } =
            &self.config;
        digest(&json!([layout, attention, target, validation_every, actions, policy]))
    }

    /// Writes the state of the training.
    pub fn save(&self, file: &Path) -> Result<(), TrainError> {
        let notes = HashMap::from([
            ("stage".into(), self.stage.to_string()),
            ("step".into(), self.step.to_string()),
            ("seed".into(), self.seed.to_string()),
            ("settings".into(), self.settings_digest()),
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
        if notes.get("settings") != Some(&self.settings_digest()) {
            return Err(TrainError::content(file, "was trained with other settings"));
        }
        (self.stage, self.step) = (number("stage")? as usize, number("step")?);
        Ok(())
    }
}
