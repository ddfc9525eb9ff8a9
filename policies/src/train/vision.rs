//! Training of the vision tokenizer.
//!
//! The codebook is a fixed grid: `levels` values from -1 to 1 in each dimension of a code. The encoder
//! learns latent vectors near the grid, and gradients pass the rounding unchanged. So no code dies,
//! and a checkpoint's codebook is the grid itself.
//!
//! Source: straight-through rounding of van den Oord et al. 2017 (VQ-VAE); a fixed grid as in
//! Mentzer et al. 2024 (FSQ), without its bounding function: the nearest grid point bounds as well.

use std::collections::HashMap;
use std::path::Path;

use serde_json::json;
use tch::{Device, Kind, TchError, Tensor};

use super::Figures;
use super::config::{TrainingConfig, VisionSettings};
use super::demonstrations::Demonstrations;
use super::error::TrainError;
use super::parameters::{Parameters, digest, normal, save_tensors};
use super::spread::spread;
use crate::formula;
use crate::udvla::checkpoint::{CONFIG, SINGLE};
use crate::vision::{VisionConfig, VisionDecoder, VisionTokenizer};

/// Name of the codebook.
const CODEBOOK: &str = "quantize.embedding.weight";
/// Images whose gradient one thread computes at a time.
const SHARD: usize = 4;

/// A vision tokenizer under training.
pub struct VisionTrainer {
    settings: VisionSettings,
    seed: u64,
    parameters: Parameters,
    /// What is not trained: the codebook, statistics of normalizations.
    fixed: HashMap<String, Tensor>,
    step: u64,
}

impl VisionTrainer {
    /// Initial weights, a function of `seed`.
    pub fn new(config: &TrainingConfig, seed: u64) -> Result<Self, TrainError> {
        let settings = config.vision.clone();
        let all = VisionTokenizer::parameters(&settings.sizes);
        let is_fixed = |name: &str| {
            let last = name.rsplit('.').next();
            name == CODEBOOK
                || [Some("running_mean"), Some("running_var"), Some("num_batches_tracked")]
                    .contains(&last)
        };
        let (fixed, trained): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|(name, _)| is_fixed(name));
        let options = (Kind::Float, Device::Cpu);
        let constant = |(name, shape): (String, Vec<i64>)| {
            let value = match name.rsplit('.').next() {
                _ if name == CODEBOOK => grid(settings.levels, settings.sizes.embed_dim),
                Some("running_var") => Tensor::ones(&shape[..], options),
                _ => Tensor::zeros(&shape[..], options),
            };
            (name, value)
        };
        let fixed = fixed.into_iter().map(constant).collect();
        let parameters = Parameters::new(trained, &mut |name, shape| match shape {
            [_] if name.ends_with("weight") => Tensor::ones(shape, options),
            [_] if name.ends_with("conv_y.bias") => Tensor::ones(shape, options),
            [_] => Tensor::zeros(shape, options),
            // The conditioning starts as none.
            _ if name.contains(".conv_y.") || name.contains(".conv_b.") => {
                Tensor::zeros(shape, options)
            }
            [_, inputs @ ..] => {
                let spread = (1.0 / inputs.iter().product::<i64>() as f64).sqrt();
                // Codes differ from the start: where all are equal, the decoder's normalizations
                // divide by nothing.
                let spread = if name.starts_with("quant_conv.") { 3.0 * spread } else { spread };
                normal(&format!("vision/{seed}/{name}"), shape) * spread
            }
            [] => Tensor::zeros(shape, options),
        })
        .map_err(TrainError::torch(0))?;
        Ok(Self { settings, seed, parameters, fixed, step: 0 })
    }

    /// Steps done.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Steps in all.
    pub fn steps(&self) -> u64 {
        self.settings.steps
    }

    /// One step.
    pub fn advance(
        &mut self,
        demonstrations: &Demonstrations,
        threads: usize,
    ) -> Result<Figures, TrainError> {
        let torch = TrainError::torch(self.step);
        let shards = self.batch(demonstrations);
        let share = 1.0 / shards.len() as f64;
        let network = Shared::new(self);
        let settings = &self.settings;
        let loss = |images: &Images, tensors: &HashMap<String, Tensor>| {
            let [difference, edges, commitment, spread] =
                network.lent().losses(tensors, &images.pixels()?)?;
            let loss = &difference
                + &edges * settings.edges
                + &commitment * settings.commitment
                + &spread * settings.spread;
            let figure = |tensor: &Tensor| tensor.double_value(&[]) * share;
            let figures = vec![
                ("difference", figure(&difference)),
                ("edges", figure(&edges)),
                ("commitment", figure(&commitment)),
                ("spread", figure(&spread)),
            ];
            Ok((loss * share, figures))
        };
        let (gradient, mut figures) =
            self.parameters.gradient(&shards, threads, loss).map_err(&torch)?;
        let [norm, rate] = self
            .parameters
            .update(&gradient, &self.settings.optimizing, self.step, self.settings.steps)
            .map_err(&torch)?;
        figures.extend([("gradient", norm), ("rate", rate)]);
        if figures.iter().any(|(_, value)| !value.is_finite()) {
            return Err(TrainError::NotFinite { step: self.step });
        }
        self.step += 1;
        Ok(figures)
    }

    /// Mean difference per pixel (of a range from -1 to 1) over `count` images, and the number of
    /// codes that they use.
    pub fn validate(
        &self,
        demonstrations: &Demonstrations,
        count: usize,
    ) -> Result<(f64, usize), TrainError> {
        let torch = TrainError::torch(self.step);
        tch::no_grad(|| {
            let tensors = self.parameters.averages()?;
            let tokenizer = self.network().tokenizer(&tensors);
            let decoder = self.network().decoder(&tensors);
            let (mut total, mut used) = (0.0, std::collections::BTreeSet::new());
            for at in 0..count {
                let pixels =
                    Images::draw(demonstrations, &format!("validation/{at}"), 1).pixels()?;
                let codes = tokenizer.encode(&pixels);
                total +=
                    (decoder.decode(&codes) - &pixels).abs().mean(Kind::Float).double_value(&[]);
                used.extend(Vec::<i64>::try_from(codes.view(-1))?);
            }
            Ok((total / count as f64, used.len()))
        })
        .map_err(torch)
    }

    /// Writes the tokenizer in the format of checkpoints.
    pub fn export(&self, folder: &Path) -> Result<(), TrainError> {
        let averages = self.parameters.averages().map_err(TrainError::torch(self.step))?;
        let mut tensors: Vec<(String, Tensor)> = averages.into_iter().collect();
        let stored = |(name, _): &(&String, &Tensor)| !name.ends_with(".num_batches_tracked");
        let fixed = self.fixed.iter().filter(stored);
        tensors.extend(fixed.map(|(name, tensor)| (name.clone(), tensor.shallow_clone())));
        tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
        save_tensors(&folder.join(SINGLE), &tensors, None)?;
        let config = serde_json::to_string_pretty(&self.settings.sizes).expect("plain numbers");
        let file = folder.join(CONFIG);
        crate::files::write_atomically(&file, (config + "\n").as_bytes())
            .map_err(|source| TrainError::Write { file, source })
    }

    /// Writes the state of the training.
    pub fn save(&self, file: &Path) -> Result<(), TrainError> {
        let notes = HashMap::from([
            ("step".into(), self.step.to_string()),
            ("seed".into(), self.seed.to_string()),
            ("settings".into(), digest(&json!(self.settings))),
        ]);
        self.parameters.save(file, notes)
    }

    /// Goes on from a state.
    pub fn resume(&mut self, file: &Path) -> Result<(), TrainError> {
        let notes = self.parameters.resume(file)?;
        let number = |name: &str| notes.get(name).and_then(|value| value.parse::<u64>().ok());
        if number("seed") != Some(self.seed) {
            return Err(TrainError::content(file, "was trained with another seed"));
        }
        if notes.get("settings") != Some(&digest(&json!(self.settings))) {
            return Err(TrainError::content(file, "was trained with other settings"));
        }
        self.step =
            number("step").ok_or_else(|| TrainError::content(file, "does not say its step"))?;
        Ok(())
    }

    /// The encoder with the trained weights.
    pub fn encoder(&self) -> Result<VisionTokenizer, TrainError> {
        let averages = self.parameters.averages().map_err(TrainError::torch(self.step))?;
        Ok(self.network().tokenizer(&averages))
    }

    fn network(&self) -> Network {
        Network { sizes: self.settings.sizes.clone(), fixed: HashMap::new() }.with(&self.fixed)
    }

    /// The images of a step in shards of equal size.
    fn batch(&self, demonstrations: &Demonstrations) -> Vec<Images> {
        let name = |shard: usize| format!("vision/{}/{}/{shard}", self.seed, self.step);
        let shards = self.settings.batch.div_ceil(SHARD);
        (0..shards).map(|shard| Images::draw(demonstrations, &name(shard), SHARD)).collect()
    }
}

/// Images of one camera.
struct Images {
    count: i64,
    size: (usize, usize),
    bytes: Vec<u8>,
}

impl Images {
    /// Draws `count` images by `name`.
    fn draw(demonstrations: &Demonstrations, name: &str, count: usize) -> Self {
        let numbers = formula::uniform(name, 1 + 2 * count);
        let pick = |number: f64, among: usize| ((number * among as f64) as usize).min(among - 1);
        let episodes = &demonstrations.episodes;
        let camera = pick(numbers[0], episodes[0].views.len());
        let mut bytes = vec![];
        for pair in numbers[1..].chunks_exact(2) {
            let episode = &episodes[pick(pair[0], episodes.len())];
            bytes
                .extend_from_slice(episode.views[camera].frame(pick(pair[1], episode.steps.len())));
        }
        Self { count: count as i64, size: episodes[0].views[camera].size, bytes }
    }

    /// `[b, 3, h, w]` in -1..=1.
    fn pixels(&self) -> Result<Tensor, TchError> {
        let shape = [self.count, self.size.0 as i64, self.size.1 as i64, 3];
        let images = Tensor::f_from_slice(&self.bytes)?.f_view(shape)?.f_permute([0, 3, 1, 2])?;
        // Channels first in memory too: group normalization is slow otherwise.
        Ok((images.f_contiguous()?.f_to_kind(Kind::Float)? / 255.0 - 0.5) / 0.5)
    }
}

/// The networks without their trained weights, for one thread.
struct Network {
    sizes: VisionConfig,
    fixed: HashMap<String, Tensor>,
}

impl Network {
    fn with(mut self, fixed: &HashMap<String, Tensor>) -> Self {
        self.fixed = fixed.iter().map(|(name, t)| (name.clone(), t.shallow_clone())).collect();
        self
    }

    fn copy(&self) -> Self {
        Self { sizes: self.sizes.clone(), fixed: HashMap::new() }.with(&self.fixed)
    }

    fn tokenizer(&self, tensors: &HashMap<String, Tensor>) -> VisionTokenizer {
        let Ok(tokenizer) = VisionTokenizer::load(&self.sizes, &mut self.get(tensors));
        tokenizer
    }

    fn decoder(&self, tensors: &HashMap<String, Tensor>) -> VisionDecoder {
        let Ok(decoder) = VisionDecoder::load(&self.sizes, &mut self.get(tensors));
        decoder
    }

    fn get<'a>(
        &'a self,
        tensors: &'a HashMap<String, Tensor>,
    ) -> impl FnMut(&str, &[i64]) -> Result<Tensor, std::convert::Infallible> + 'a {
        |name, _| {
            let tensor = tensors.get(name).or_else(|| self.fixed.get(name));
            Ok(tensor.expect("every weight is trained or fixed").shallow_clone())
        }
    }

    /// Difference per pixel, difference of neighboring pixels' differences, distance to the codes,
    /// and [`spread`] of the latent vectors.
    fn losses(
        &self,
        tensors: &HashMap<String, Tensor>,
        pixels: &Tensor,
    ) -> Result<[Tensor; 4], TchError> {
        let latent = self.tokenizer(tensors).latent(pixels);
        let nearest = tch::no_grad(|| self.tokenizer(tensors).nearest(&latent));
        let commitment = (&latent - &nearest).f_square()?.f_mean(Kind::Float)?;
        let straight_through = &latent + (&nearest - &latent).f_detach()?;
        let decoded = self.decoder(tensors).decode_vectors(&straight_through);
        let difference = &decoded - pixels;
        let edge = |along: i64| {
            let length = difference.size()[along as usize] - 1;
            let [left, right] = [0, 1].map(|start| difference.f_narrow(along, start, length));
            (right? - left?).f_abs()?.f_mean(Kind::Float)
        };
        let spread = spread(&latent, &self.fixed[CODEBOOK])?;
        let edges = (edge(2)? + edge(3)?) * 0.5;
        Ok([difference.f_abs()?.f_mean(Kind::Float)?, edges, commitment, spread])
    }
}

/// A [`Network`] for every thread that asks.
struct Shared(std::sync::Mutex<Network>);

impl Shared {
    fn new(trainer: &VisionTrainer) -> Self {
        Self(std::sync::Mutex::new(trainer.network()))
    }

    fn lent(&self) -> Network {
        self.0.lock().expect("no panic").copy()
    }
}

/// All points of a grid of `levels` values from -1 to 1 in each of `dimensions`: `[codes, d]`.
pub(super) fn grid(levels: i64, dimensions: i64) -> Tensor {
    let codes = levels.pow(dimensions as u32);
    let value = |code: i64, dimension: i64| {
        let digit = code / levels.pow(dimension as u32) % levels;
        digit as f32 / (levels - 1) as f32 * 2.0 - 1.0
    };
    let values: Vec<f32> =
        (0..codes).flat_map(|code| (0..dimensions).map(move |d| value(code, d))).collect();
    Tensor::from_slice(&values).view([codes, dimensions])
}
