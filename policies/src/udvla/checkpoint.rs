//! A checkpoint directory: opens each part that its manifest names, and gives the whole a digest.

use std::path::{Path, PathBuf};

use tch::{Device, Kind, Tensor};

use super::attention::Attention;
use super::config::ModelConfig;
use super::digest;
use super::error::CheckpointError;
use super::files::{read_text, require};
use super::manifest::{Benchmark, MANIFEST, Manifest};
use super::transformer::Transformer;
use super::weights::{self, Placement, Weights};
use crate::normalize::NormStats;
use crate::tokens::{FastTokenizer, TextTokenizer, TokenError};
use crate::vision::{VisionConfig, VisionDecoder, VisionTokenizer, WeightSource};

/// The configuration beside weight files.
pub const CONFIG: &str = "config.json";
/// The vocabulary of a FAST tokenizer.
pub const FAST_TOKENIZER: &str = "tokenizer.json";
/// The scale of a FAST tokenizer.
pub const FAST_CONFIG: &str = "processor_config.json";

/// A checkpoint directory with a valid manifest; its parts are opened one by one.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    dir: PathBuf,
    manifest: Manifest,
    origin: Origin,
}

/// Where weights come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// The files of the checkpoint.
    Files,
    /// Drawn on the device, to measure speed.
    Random,
}

impl Checkpoint {
    /// Reads the manifest of `dir`.
    ///
    /// # Errors
    /// As [`Manifest::open`].
    pub fn open(dir: &Path) -> Result<Self, CheckpointError> {
        Ok(Self { dir: dir.to_owned(), manifest: Manifest::open(dir)?, origin: Origin::Files })
    }

    /// As [`Checkpoint::open`], but weights are not read from files: they are drawn on the
    /// device, with a scale that keeps activations at unit variance. For measuring speed.
    ///
    /// # Errors
    /// As [`Manifest::open`].
    pub fn open_with_random_weights(dir: &Path) -> Result<Self, CheckpointError> {
        Ok(Self { origin: Origin::Random, ..Self::open(dir)? })
    }

    /// Its manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The path of something that the manifest names, or of the manifest itself.
    pub fn file(&self, path: &Path) -> PathBuf {
        self.dir.join(path)
    }

    /// The settings for a benchmark.
    ///
    /// # Errors
    /// A benchmark that the checkpoint has no settings for.
    pub fn benchmark(&self, name: &str) -> Result<&Benchmark, CheckpointError> {
        self.manifest.benchmark(name, &self.file(Path::new(MANIFEST)))
    }

    /// The language model's configuration.
    ///
    /// # Errors
    /// A missing or unusable `config.json`.
    pub fn config(&self) -> Result<ModelConfig, CheckpointError> {
        let file = self.model_config();
        require("configuration of the language model", &file)?;
        ModelConfig::parse(&read_text(&file)?, &file)
    }

    /// The attention that the weights were trained with: the manifest's, or else what the mask
    /// flags of the model's configuration say.
    ///
    /// # Errors
    /// Neither says anything.
    pub fn attention(&self, config: &ModelConfig) -> Result<Attention, CheckpointError> {
        self.manifest.attention.or_else(|| config.attention()).ok_or_else(|| {
            CheckpointError::Config {
                file: self.model_config(),
                reason: "`use_blockwise_attn_mask` is missing and `checkpoint.json` names no \
                         `attention`, so the mask that the weights were trained with is unknown"
                    .into(),
            }
        })
    }

    /// Folder of the language model's files.
    pub fn model_folder(&self) -> PathBuf {
        self.dir.join(&self.manifest.model)
    }

    /// Folder of the vision tokenizer's files.
    pub fn vision_folder(&self) -> PathBuf {
        self.dir.join(&self.manifest.vision)
    }

    /// The language model's weights on their device.
    ///
    /// # Errors
    /// Missing, cut or foreign weight files; a device that is too small.
    pub fn model(
        &self,
        config: &ModelConfig,
        placement: Placement,
    ) -> Result<Transformer, CheckpointError> {
        if self.origin == Origin::Random {
            return Transformer::build(config, placement, &mut |name, shape| {
                random(name, shape, placement)
            });
        }
        let weights = Weights::open(&self.model_folder())?;
        Transformer::load(config, &weights, placement)
    }

    /// The vision tokenizer, in f32 as the released code runs it, and its sizes.
    ///
    /// # Errors
    /// Missing, cut or foreign files; a device that is too small.
    pub fn vision(
        &self,
        device: Device,
    ) -> Result<(VisionTokenizer, VisionConfig), CheckpointError> {
        let config = self.vision_config()?;
        let tokenizer = self.vision_weights(device, |get| VisionTokenizer::load(&config, get))?;
        Ok((tokenizer, config))
    }

    /// The other half of the vision tokenizer, from codes to pictures.
    ///
    /// # Errors
    /// As [`Checkpoint::vision`].
    pub fn decoder(&self, device: Device) -> Result<VisionDecoder, CheckpointError> {
        let config = self.vision_config()?;
        self.vision_weights(device, |get| VisionDecoder::load(&config, get))
    }

    fn vision_config(&self) -> Result<VisionConfig, CheckpointError> {
        let file = self.vision_folder().join(CONFIG);
        require("configuration of the vision tokenizer", &file)?;
        VisionConfig::open(&file).map_err(self.unusable("vision tokenizer"))
    }

    fn vision_weights<T>(
        &self,
        device: Device,
        load: impl FnOnce(&mut WeightSource<'_, CheckpointError>) -> Result<T, CheckpointError>,
    ) -> Result<T, CheckpointError> {
        let placement = Placement { device, kind: Kind::Float };
        if self.origin == Origin::Random {
            return load(&mut |name, shape| random(name, shape, placement));
        }
        let weights = Weights::open(&self.vision_folder())?;
        load(&mut |name, shape| weights.tensor(name, shape, placement))
    }

    /// The text tokenizer, whose special tokens must be where the model's configuration has them.
    ///
    /// # Errors
    /// Missing or broken files, a vocabulary that is not the model's.
    pub fn text(&self, config: &ModelConfig) -> Result<TextTokenizer, CheckpointError> {
        let text = &self.manifest.text;
        let ranks = self.dir.join(&text.ranks);
        require("rank file of the text tokenizer", &ranks)?;
        let names = text.vision_tokens.as_ref().map(|file| self.dir.join(file));
        if let Some(file) = &names {
            require("list of image tokens of the text tokenizer", file)?;
        }
        let tokenizer = TextTokenizer::open(&ranks, names.as_deref())
            .map_err(self.unusable("text tokenizer"))?;
        match stray_special(config, &tokenizer) {
            None => Ok(tokenizer),
            Some(reason) => Err(CheckpointError::Config { file: self.model_config(), reason }),
        }
    }

    /// A benchmark's action tokenizer.
    ///
    /// # Errors
    /// Missing or broken files.
    pub fn fast(&self, benchmark: &Benchmark) -> Result<FastTokenizer, CheckpointError> {
        let [tokenizer, config] = self.fast_files(benchmark);
        require("vocabulary of the FAST tokenizer", &tokenizer)?;
        require("configuration of the FAST tokenizer", &config)?;
        FastTokenizer::open(&tokenizer, &config).map_err(self.unusable("FAST tokenizer"))
    }

    /// A benchmark's action ranges, as many as an action has numbers.
    ///
    /// # Errors
    /// A missing or broken file, another number of ranges.
    pub fn stats(&self, benchmark: &Benchmark) -> Result<NormStats, CheckpointError> {
        let entry = &benchmark.norm_stats;
        let file = self.dir.join(&entry.file);
        require("file of normalisation statistics", &file)?;
        let stats = NormStats::open(&file, &entry.name)
            .map_err(self.unusable("normalisation statistics"))?;
        let (found, wanted) = (stats.q01.len(), benchmark.layout.action_width);
        if found != wanted {
            let name = &entry.name;
            let reason = format!("`{name}` has {found} dimensions, an action has {wanted}");
            return Err(CheckpointError::Config { file, reason });
        }
        Ok(stats)
    }

    /// `sha256:` and a SHA-256 over every byte that can change an answer: all files of all
    /// benchmarks, and the manifest without its name and paths.
    ///
    /// # Errors
    /// A file that is missing or cannot be read.
    pub fn digest(&self) -> Result<String, CheckpointError> {
        let settings = serde_json::to_string(&self.manifest.without_places())
            .expect("a manifest holds only JSON values");
        match self.origin {
            Origin::Files => digest::digest(&settings, &self.files()?),
            Origin::Random => Ok("random weights".into()),
        }
    }

    /// Every file with its role, which is the same wherever the file lies.
    fn files(&self) -> Result<Vec<(String, PathBuf)>, CheckpointError> {
        let manifest = &self.manifest;
        let mut files = vec![("text/ranks".to_owned(), self.dir.join(&manifest.text.ranks))];
        if let Some(file) = &manifest.text.vision_tokens {
            files.push(("text/vision_tokens".into(), self.dir.join(file)));
        }
        for (role, folder) in [("model", &manifest.model), ("vision", &manifest.vision)] {
            let dir = self.dir.join(folder);
            let weights = weights::files(&dir)?;
            for file in weights.into_iter().chain([dir.join(CONFIG)]) {
                let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
                files.push((format!("{role}/{name}"), file));
            }
        }
        for (name, benchmark) in &manifest.benchmarks {
            let [tokenizer, config] = self.fast_files(benchmark);
            files.push((format!("{name}/fast/tokenizer"), tokenizer));
            files.push((format!("{name}/fast/config"), config));
            let stats = self.dir.join(&benchmark.norm_stats.file);
            files.push((format!("{name}/norm_stats"), stats));
        }
        Ok(files)
    }

    fn fast_files(&self, benchmark: &Benchmark) -> [PathBuf; 2] {
        let dir = self.dir.join(&benchmark.fast);
        [dir.join(FAST_TOKENIZER), dir.join(FAST_CONFIG)]
    }

    fn model_config(&self) -> PathBuf {
        self.model_folder().join(CONFIG)
    }

    fn unusable(&self, what: &'static str) -> impl Fn(TokenError) -> CheckpointError {
        let dir = self.dir.clone();
        move |source| CheckpointError::Tokens { what, dir: dir.clone(), source }
    }
}

/// Normal numbers with the variance that keeps a product's at 1; norms that change nothing.
fn random(name: &str, shape: &[i64], placement: Placement) -> Result<Tensor, CheckpointError> {
    let options = (placement.kind, placement.device);
    let drawn = match shape {
        [_] if name.ends_with("weight") || name.ends_with("running_var") => {
            Tensor::f_ones(shape, options)
        }
        [_] | [] => Tensor::f_zeros(shape, options),
        [_, inputs @ ..] => {
            let inputs = inputs.iter().product::<i64>() as f64;
            Tensor::f_randn(shape, options).and_then(|mut x| x.f_mul_scalar_(inputs.powf(-0.5)))
        }
    };
    drawn.map_err(|source| CheckpointError::Torch { what: format!("random `{name}`"), source })
}

/// A special id of the configuration that the text tokenizer places elsewhere, in words.
fn stray_special(config: &ModelConfig, tokenizer: &TextTokenizer) -> Option<String> {
    let ids = &config.ids;
    let placed = [
        ("pad_token_id", ids.pad_token_id, "<|endoftext|>"),
        ("bos_token_id", ids.bos_token_id, "<|extra_203|>"),
        ("eof_token_id", ids.eof_token_id, "<|extra_201|>"),
        ("mask_token_id", ids.mask_token_id, "<|extra_202|>"),
        ("boa_token_id", ids.boa_token_id, "<|extra_198|>"),
        ("eoa_token_id", ids.eoa_token_id, "<|extra_199|>"),
        ("img_token_id", ids.img_token_id, "<|image token|>"),
        ("boi_token_id", ids.boi_token_id, "<|image start|>"),
        ("eoi_token_id", ids.eoi_token_id, "<|image end|>"),
        ("bov_token_id", ids.bov_token_id, "<|visual token 000000|>"),
    ];
    placed.into_iter().find_map(|(key, id, name)| {
        let found = tokenizer.special(name);
        (found != Some(id)).then(|| match found {
            Some(found) => format!("`{key}` is {id}, the text tokenizer has `{name}` at {found}"),
            None => format!("`{key}` is {id}, the text tokenizer has no `{name}`"),
        })
    })
}
