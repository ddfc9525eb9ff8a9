//! UD-VLA as a policy: a row's pictures and instruction in, an action chunk out.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::path::Path;

use tch::Device;

use super::attention::Attention;
use super::checkpoint::Checkpoint;
use super::decoding::Decoding;
use super::device;
use super::error::CheckpointError;
use super::jd3p::{Jd3p, Request, Step};
use super::manifest::MANIFEST;
use super::noise::{KeyedNoise, NOISE_VERSION};
use super::phases::{Phases, Reading, Stopwatch};
use super::prompt::Prompt;
use super::sampling::Allowed;
use super::transformer::Transformer;
use super::translator::Translator;
use crate::policy::{Answer, Policy, PolicyError, PolicyInput, PolicySpec};

/// How to open a checkpoint; `None` is what the checkpoint or the device suggests.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UdVlaOptions {
    /// `calvin`, `libero` or `simpler`, or whatever else the checkpoint has settings for.
    pub benchmark: String,
    /// `auto`, `cpu`, `cuda` or `cuda:N`.
    pub device: String,
    /// `f32`, `bf16`, `f16` or `f64`; without one f32 on a processor and bf16 on a GPU.
    pub dtype: Option<String>,
    /// Denoising steps, at least 1; of independent diffusion those of its image stage.
    pub denoise_steps: Option<u16>,
    /// Which positions see one another.
    pub attention: Option<Attention>,
    /// How a block is generated.
    pub decoding: Decoding,
}

/// The model under test, ready to answer.
pub struct UdVla {
    spec: PolicySpec,
    pub(super) translator: Translator,
    model: Transformer,
    image: Allowed,
    action: Allowed,
    pub(super) attention: Attention,
    decoding: Decoding,
    /// Meaningless where the decoding takes none.
    pub(super) steps: u16,
}

impl UdVla {
    /// Opens the checkpoint directory `dir` for one benchmark.
    ///
    /// # Errors
    /// Whatever is missing, broken, foreign or not supported, by name.
    pub fn open(dir: &Path, options: &UdVlaOptions) -> Result<Self, CheckpointError> {
        Self::of(&Checkpoint::open(dir)?, options)
    }

    /// As [`UdVla::open`], from an opened directory.
    ///
    /// # Errors
    /// As [`UdVla::open`].
    pub fn of(checkpoint: &Checkpoint, options: &UdVlaOptions) -> Result<Self, CheckpointError> {
        let benchmark = checkpoint.benchmark(&options.benchmark)?.clone();
        let decoding = options.decoding;
        let choice = |reason| CheckpointError::Decoding { reason };
        let taken = decoding.steps(options.denoise_steps, benchmark.denoise_steps);
        let taken = taken.map_err(choice)?.map(steps).transpose()?;
        let placement = device::placement(&options.device, options.dtype.as_deref())?;
        if placement.device == Device::Cpu {
            device::share_processor();
        }
        let config = checkpoint.config()?;
        let attention = options.attention.map_or_else(|| checkpoint.attention(&config), Ok)?;
        decoding.fits(attention).map_err(choice)?;
        let translator = Translator::open(checkpoint, benchmark, &config, placement.device)?;
        // Hashing reads every file that loading reads; side by side both wait for the disk once.
        let (digest, model) =
            rayon::join(|| checkpoint.digest(), || checkpoint.model(&config, placement));
        let (model, digest) = (model?, digest?);
        translator.fits(&model).map_err(|reason| {
            let file = checkpoint.file(Path::new(MANIFEST));
            CheckpointError::Config { file, reason }
        })?;
        let allowed = |ids: &[i64]| {
            let what = || "the rows of the output head".into();
            tch::no_grad(|| Allowed::new(&model, ids))
                .map_err(|source| CheckpointError::Torch { what: what(), source })
        };
        let image = translator.viewable(decoding.is_sequential());
        let (image, action) = (allowed(&image)?, allowed(&translator.action_ids)?);
        let mut subject = decoding.subject(taken);
        subject.extend([
            ("policy", "udvla".to_owned()),
            ("checkpoint", digest),
            ("target", checkpoint.manifest().target.name().to_owned()),
            ("attention", attention.to_string()),
            ("chunk", translator.benchmark.layout.horizon.to_string()),
            ("dtype", device::dtype_name(placement.kind).into()),
            ("noise", NOISE_VERSION.to_string()),
        ]);
        let steps = taken.unwrap_or(1);
        let spec = spec(&translator, &subject, placement.device);
        Ok(Self { spec, translator, model, image, action, attention, decoding, steps })
    }

    /// Positions of the block that an answer is generated in.
    pub fn block_positions(&self) -> usize {
        self.translator.block().ids.len()
    }

    /// As [`Policy::infer`]; `watch` sees every denoising step with the number of its row.
    ///
    /// # Errors
    /// As [`Policy::infer`].
    pub fn infer_watched(
        &self,
        batch: &[PolicyInput],
        watch: &mut dyn FnMut(usize, &Step),
    ) -> Result<Vec<Answer>, PolicyError> {
        Ok(self.infer_timed(batch, watch, &Reading::default)?.0)
    }

    /// As [`UdVla::infer_watched`], with the time by `clock` that each phase took.
    ///
    /// # Errors
    /// As [`Policy::infer`].
    pub fn infer_timed(
        &self,
        batch: &[PolicyInput],
        watch: &mut dyn FnMut(usize, &Step),
        clock: &dyn Fn() -> Reading,
    ) -> Result<(Vec<Answer>, Phases), PolicyError> {
        batch.iter().try_for_each(|row| self.translator.check(row))?;
        tch::no_grad(|| {
            let stopwatch = Stopwatch::start(self.model.placement().device, clock);
            let prompts = self.translator.prompts(batch).map_err(|error| failed(&error))?;
            self.answers(batch, &prompts, watch, stopwatch)
        })
    }

    fn answers(
        &self,
        batch: &[PolicyInput],
        prompts: &[Prompt],
        watch: &mut dyn FnMut(usize, &Step),
        mut stopwatch: Stopwatch,
    ) -> Result<(Vec<Answer>, Phases), PolicyError> {
        let encode = stopwatch.lap();
        let block = self.translator.block();
        let noise = |row: &PolicyInput| KeyedNoise::new(row.seed, &row.key.to_string(), row.call);
        let noises: Vec<KeyedNoise> = batch.iter().map(noise).collect();
        let requests = prompts.iter().zip(&noises);
        let requests = requests.map(|(prompt, noise)| Request { prompt, block: &block, noise });
        let parts = Jd3p {
            model: &self.model,
            ids: &self.translator.ids,
            image: &self.image,
            action: &self.action,
            attention: self.attention,
            steps: self.steps,
            rules: self.decoding.rules(),
        };
        let requests: Vec<Request> = requests.collect();
        let joint = matches!(self.decoding, Decoding::Jd3p { .. });
        let caches = if joint { parts.prefill(&requests) } else { Ok(vec![]) };
        let caches = caches.map_err(|error| failed(&error))?;
        let prefill = stopwatch.lap();
        let generated = match joint {
            true => parts.denoise(&requests, &caches, watch),
            false => requests
                .iter()
                .enumerate()
                .map(|(row, request)| {
                    let task = (request.prompt, request.block);
                    self.decoding.decode(&parts, task, request.noise, &mut |step| watch(row, step))
                })
                .collect(),
        };
        let generated = generated.map_err(|error| failed(&error))?;
        let denoise = stopwatch.lap();
        let answer = |ids: &Vec<i64>| Answer::Chunk(self.translator.chunk(ids, block.image));
        let answers = generated.iter().map(answer).collect();
        Ok((answers, Phases { encode, prefill, denoise, decode: stopwatch.lap() }))
    }
}

impl fmt::Debug for UdVla {
    /// What it is; its weights would fill pages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdVla").field("spec", &self.spec).finish_non_exhaustive()
    }
}

impl Policy for UdVla {
    fn spec(&self) -> &PolicySpec {
        &self.spec
    }

    fn infer(&mut self, batch: &[PolicyInput]) -> Result<Vec<Answer>, PolicyError> {
        self.infer_watched(batch, &mut |_, _| {})
    }
}

fn steps(wanted: u16) -> Result<u16, CheckpointError> {
    match wanted {
        0 => Err(CheckpointError::Choice {
            what: "number of denoising steps",
            wanted: "0".into(),
            known: "1 to 65535".into(),
        }),
        steps => Ok(steps),
    }
}

fn spec(translator: &Translator, subject: &[(&str, String)], device: Device) -> PolicySpec {
    let named = |pairs: &[(&str, String)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
    };
    let setting = [
        ("device", device::device_name(device)),
        ("libtorch", device::libtorch_version().to_owned()),
    ];
    PolicySpec {
        name: "udvla".into(),
        cameras: translator.cameras(),
        chunk: translator.benchmark.layout.horizon,
        action_width: translator.benchmark.layout.action_width,
        subject: named(subject),
        setting: named(&setting),
    }
}

/// The error with all its causes, in one line.
fn failed(error: &dyn Error) -> PolicyError {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    PolicyError::Model(text)
}
