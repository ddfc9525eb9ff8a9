//! A checkpoint directory: opens each part that the manifest names, and computes the digest.

use std::path::{Path, PathBuf};

use tch::{Device, Kind};

use super::attention::Attention;
use super::config::ModelConfig;
use super::device::Placement;
use super::digest;
use super::error::CheckpointError;
use super::files::{read_text, require};
use super::manifest::{Benchmark, MANIFEST, Manifest};
use super::weights::{WeightSource, Weights, weight_files};
use crate::normalize::NormStats;
use crate::published;
use crate::tokens::{FastTokenizer, TextTokenizer, TokenError};
use crate::vision::{TensorLoader, VisionConfig, VisionDecoder, VisionTokenizer};

/// File name of a network's configuration.
pub const CONFIG: &str = "config.json";
/// File name of a FAST tokenizer's vocabulary.
pub const FAST_TOKENIZER: &str = "tokenizer.json";
/// File name of a FAST tokenizer's scale.
pub const FAST_CONFIG: &str = "processor_config.json";
/// Folder of the weights of direct regression, which few checkpoints have.
pub const REGRESSION: &str = "regression";

/// A checkpoint directory with a valid manifest; its parts are opened on demand.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    dir: PathBuf,
    manifest: Manifest,
    random_weights: bool,
}

impl Checkpoint {
    /// Opens the directory `dir` and reads its manifest.
    pub fn open(dir: &Path) -> Result<Self, CheckpointError> {
        Ok(Self::new(dir, Manifest::open(dir)?))
    }

    /// A checkpoint whose manifest is not in `dir` yet.
    pub fn new(dir: &Path, manifest: Manifest) -> Self {
        Self { dir: dir.to_owned(), manifest, random_weights: false }
    }

    /// As [`Checkpoint::open`], with random weights drawn on the device instead of weight files,
    /// scaled to keep activations at unit variance. For speed measurements.
    pub fn open_with_random_weights(dir: &Path) -> Result<Self, CheckpointError> {
        Ok(Self { random_weights: true, ..Self::open(dir)? })
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Path of the manifest.
    pub fn manifest_file(&self) -> PathBuf {
        self.dir.join(MANIFEST)
    }

    /// Settings for a benchmark.
    ///
    /// # Errors
    /// A benchmark without settings.
    pub fn benchmark(&self, name: &str) -> Result<&Benchmark, CheckpointError> {
        self.manifest.benchmark(name, &self.manifest_file())
    }

    /// Configuration of the language model.
    ///
    /// # Errors
    /// A missing or invalid `config.json`.
    pub fn config(&self) -> Result<ModelConfig, CheckpointError> {
        let file = self.model_config();
        require("configuration of the language model", &file)?;
        ModelConfig::parse(&read_text(&file)?, &file)
    }

    /// Attention mask that the weights were trained with: the manifest's, or else that of the
    /// configuration's mask flags.
    ///
    /// # Errors
    /// Neither names one.
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

    /// Folder of the weights of direct regression, if `train` left them.
    pub fn regression_folder(&self) -> PathBuf {
        self.dir.join(REGRESSION)
    }

    /// Weights of the language model.
    ///
    /// # Errors
    /// Missing, truncated or invalid weight files.
    pub fn model_weights(&self) -> Result<WeightSource, CheckpointError> {
        self.weights(&self.model_folder())
    }

    /// Weights of direct regression, `[outputs, d]` and `[outputs]`, row-major.
    ///
    /// # Errors
    /// A checkpoint without them; other shapes.
    pub fn regression(&self, [outputs, d]: [i64; 2]) -> Result<[Vec<f32>; 2], CheckpointError> {
        let folder = self.regression_folder();
        let what = "folder of the weights of direct regression";
        if !folder.is_dir() {
            return Err(CheckpointError::MissingDirectory { what, dir: folder });
        }
        let weights = Weights::open(&folder)?;
        let placement = Placement { device: Device::Cpu, kind: Kind::Float };
        let numbers = |name: &str, shape: &[i64]| {
            let flat = weights.tensor(name, shape, placement)?.f_reshape([-1]);
            flat.and_then(Vec::try_from)
                .map_err(|source| CheckpointError::Torch { what: format!("`{name}`"), source })
        };
        Ok([numbers("weight", &[outputs, d])?, numbers("bias", &[outputs])?])
    }

    /// Loads the vision tokenizer, in f32 as in the released code, and its sizes.
    ///
    /// # Errors
    /// Missing, truncated or invalid files; not enough device memory.
    pub fn vision(
        &self,
        device: Device,
    ) -> Result<(VisionTokenizer, VisionConfig), CheckpointError> {
        let config = self.vision_config()?;
        let tokenizer = self.load_vision(device, |get| VisionTokenizer::load(&config, get))?;
        Ok((tokenizer, config))
    }

    /// Loads the vision tokenizer's decoder, from codes to images.
    pub fn decoder(&self, device: Device) -> Result<VisionDecoder, CheckpointError> {
        let config = self.vision_config()?;
        self.load_vision(device, |get| VisionDecoder::load(&config, get))
    }

    fn vision_config(&self) -> Result<VisionConfig, CheckpointError> {
        let file = self.vision_folder().join(CONFIG);
        require("configuration of the vision tokenizer", &file)?;
        VisionConfig::open(&file).map_err(self.unusable("vision tokenizer"))
    }

    fn load_vision<T>(
        &self,
        device: Device,
        load: impl FnOnce(&mut TensorLoader<'_, CheckpointError>) -> Result<T, CheckpointError>,
    ) -> Result<T, CheckpointError> {
        let placement = Placement { device, kind: Kind::Float };
        let weights = self.weights(&self.vision_folder())?;
        load(&mut |name, shape| weights.tensor(name, shape, placement))
    }

    fn weights(&self, folder: &Path) -> Result<WeightSource, CheckpointError> {
        match self.random_weights {
            true => Ok(WeightSource::Random),
            false => Ok(WeightSource::Files(Weights::open(folder)?)),
        }
    }

    /// Opens the text tokenizer; its special tokens must have the ids of the configuration.
    ///
    /// # Errors
    /// Missing or invalid files, a vocabulary that is not the model's.
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
        match misplaced_special(config, &tokenizer) {
            None => Ok(tokenizer),
            Some(reason) => Err(CheckpointError::Config { file: self.model_config(), reason }),
        }
    }

    /// Opens a benchmark's action tokenizer.
    ///
    /// # Errors
    /// Missing or invalid files.
    pub fn fast(&self, benchmark: &Benchmark) -> Result<FastTokenizer, CheckpointError> {
        let [tokenizer, config] = self.fast_files(benchmark);
        require("vocabulary of the FAST tokenizer", &tokenizer)?;
        require("configuration of the FAST tokenizer", &config)?;
        FastTokenizer::open(&tokenizer, &config).map_err(self.unusable("FAST tokenizer"))
    }

    /// Reads a benchmark's action ranges, one per number of an action.
    ///
    /// # Errors
    /// A missing or invalid file, another number of ranges.
    pub fn stats(&self, benchmark: &Benchmark) -> Result<NormStats, CheckpointError> {
        let entry = &benchmark.norm_stats;
        let file = self.dir.join(&entry.file);
        require("file of normalisation statistics", &file)?;
        let stats = NormStats::open(&file, &entry.name)
            .map_err(self.unusable("normalisation statistics"))?;
        let (dimensions, width) = (stats.q01.len(), benchmark.layout.action_width);
        if dimensions != width {
            let name = &entry.name;
            let reason = format!("`{name}` has {dimensions} dimensions, an action has {width}");
            return Err(CheckpointError::Config { file, reason });
        }
        Ok(stats)
    }

    /// Checks that action tokenizer and action ranges of the entry `name` were made for its
    /// benchmark and its chunk, as far as that is known.
    ///
    /// # Errors
    /// Those of [`Checkpoint::fast`] and [`Checkpoint::stats`]; a part that is known to be for
    /// something else, with both named.
    pub fn check_parts(&self, name: &str) -> Result<(), CheckpointError> {
        let benchmark = self.benchmark(name)?;
        let layout = &benchmark.layout;
        let (fast, stats) = (self.fast(benchmark)?, self.stats(benchmark)?);
        let chunk = || format!("{} x {}", layout.horizon, layout.action_width);
        let foreign = match fast.chunk() {
            (Some(steps), _) if steps != layout.horizon => Some(format!(
                "its FAST tokenizer is for chunks of {steps}, the layout has {}",
                chunk()
            )),
            (_, Some(width)) if width != layout.action_width => Some(format!(
                "its FAST tokenizer is for actions of {width}, the layout has {}",
                chunk()
            )),
            _ => published::foreign_tokenizer(name, layout.horizon, fast.digest()),
        };
        let entry = &benchmark.norm_stats.name;
        match foreign.or_else(|| published::foreign_statistics(name, entry, &stats)) {
            None => Ok(()),
            Some(what) => Err(CheckpointError::Config {
                file: self.manifest_file(),
                reason: format!("benchmark `{name}`: {what}"),
            }),
        }
    }

    /// `sha256:` and a SHA-256 over everything that can change an answer: all files of all
    /// benchmarks, and the manifest without its name and paths.
    ///
    /// # Errors
    /// A missing or unreadable file.
    pub fn digest(&self) -> Result<String, CheckpointError> {
        if self.random_weights {
            return Ok("random weights".into());
        }
        let settings = serde_json::to_string(&self.manifest.without_paths())
            .expect("a manifest holds only JSON values");
        digest::digest(&settings, &self.files()?)
    }

    /// Every file with its role, which does not depend on the path.
    fn files(&self) -> Result<Vec<(String, PathBuf)>, CheckpointError> {
        let manifest = &self.manifest;
        let mut files = vec![("text/ranks".to_owned(), self.dir.join(&manifest.text.ranks))];
        if let Some(file) = &manifest.text.vision_tokens {
            files.push(("text/vision_tokens".into(), self.dir.join(file)));
        }
        for (role, folder) in [("model", &manifest.model), ("vision", &manifest.vision)] {
            let dir = self.dir.join(folder);
            for file in weight_files(&dir)?.into_iter().chain([dir.join(CONFIG)]) {
                let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
                files.push((format!("{role}/{name}"), file));
            }
        }
        let regression = self.regression_folder();
        if regression.is_dir() {
            for file in weight_files(&regression)? {
                let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
                files.push((format!("{REGRESSION}/{name}"), file));
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

/// Describes a special id of the configuration that differs from the text tokenizer's.
fn misplaced_special(config: &ModelConfig, tokenizer: &TextTokenizer) -> Option<String> {
    let ids = &config.ids;
    let expected = [
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
    expected.into_iter().find_map(|(key, id, name)| {
        let actual = tokenizer.special(name);
        (actual != Some(id)).then(|| match actual {
            Some(actual) => format!("`{key}` is {id}, the text tokenizer has `{name}` at {actual}"),
            None => format!("`{key}` is {id}, the text tokenizer has no `{name}`"),
        })
    })
}
