//! From a checkpoint and what was asked for to a policy, on one device or as a replica on each of
//! several.

use std::collections::BTreeMap;
use std::path::Path;

use rayon::prelude::*;
use tch::Device;

use super::attention::Attention;
use super::checkpoint::Checkpoint;
use super::config::ModelConfig;
use super::decoding::Decoding;
use super::device;
use super::error::CheckpointError;
use super::generator::PrefixCache;
use super::imagination::Imagination;
use super::manifest::{Benchmark, MANIFEST};
use super::noise::NOISE_VERSION;
use super::policy::UdVla;
use super::prompt::Target;
use super::sampling::Allowed;
use super::translator::Translator;
use super::weights::Placement;
use crate::policy::PolicySpec;

/// How to open a checkpoint; `None` is what the checkpoint or the device suggests.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UdVlaOptions {
    /// `calvin`, `libero` or `simpler`, or whatever else the checkpoint has settings for.
    pub benchmark: String,
    /// Another of the checkpoint's settings for the benchmark: `paper` is the entry
    /// `BENCHMARK-paper`.
    pub layout: Option<String>,
    /// `auto`, `cpu`, `cuda` or `cuda:N`.
    pub device: String,
    /// `f32`, `bf16`, `f16` or `f64`; without one f32 on a processor and bf16 on a GPU.
    pub dtype: Option<String>,
    /// Denoising steps, at least 1; of independent diffusion those of its image stage.
    pub denoise_steps: Option<u16>,
    /// Which positions see one another.
    pub attention: Option<Attention>,
    /// What the generated views show: must be what the checkpoint was trained for.
    pub target: Option<Target>,
    /// How a block is generated.
    pub decoding: Decoding,
    /// What of the prompt is computed once.
    pub prefix_cache: PrefixCache,
    /// Whether answers come with pictures of the generated views.
    pub futures: bool,
}

impl UdVlaOptions {
    /// The entry of the checkpoint's manifest that is asked for.
    pub fn entry(&self) -> String {
        match &self.layout {
            Some(layout) => format!("{}-{layout}", self.benchmark),
            None => self.benchmark.clone(),
        }
    }
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
        let device = std::slice::from_ref(&options.device);
        Ok(Self::replicas(checkpoint, options, device)?.remove(0))
    }

    /// The same policy once per entry of `devices`, whose names are those of
    /// [`UdVlaOptions::device`]; that one does not count here. On a processor the replicas share
    /// its threads.
    ///
    /// # Errors
    /// As [`UdVla::open`]; devices whose default number formats differ.
    ///
    /// # Panics
    /// If `devices` is empty.
    pub fn replicas(
        checkpoint: &Checkpoint,
        options: &UdVlaOptions,
        devices: &[String],
    ) -> Result<Vec<Self>, CheckpointError> {
        let opening = Opening::new(checkpoint, options)?;
        let place = |name: &String| device::placement(name, options.dtype.as_deref());
        let placements: Vec<Placement> = devices.iter().map(place).collect::<Result<_, _>>()?;
        let kind = placements[0].kind;
        if placements.iter().any(|placement| placement.kind != kind) {
            let reason = format!(
                "devices {} have different default number formats; pass `--dtype`",
                devices.join(", ")
            );
            return Err(CheckpointError::Decoding { reason });
        }
        let on_processor = placements.iter().filter(|place| place.device == Device::Cpu).count();
        if on_processor > 0 {
            device::share_processor(on_processor);
        }
        // Hashing reads every file that loading reads; side by side both wait for the disk once.
        let load = |placement: &Placement| opening.load(*placement);
        let (digest, loaded) = rayon::join(
            || checkpoint.digest(),
            || placements.par_iter().map(load).collect::<Result<Vec<_>, _>>(),
        );
        let (mut loaded, digest) = (loaded?, digest?);
        for policy in &mut loaded {
            policy.spec.subject.insert("checkpoint".into(), digest.clone());
        }
        Ok(loaded)
    }
}

/// What was asked for, checked against the checkpoint; the same for every device.
struct Opening<'a> {
    checkpoint: &'a Checkpoint,
    options: &'a UdVlaOptions,
    benchmark: Benchmark,
    config: ModelConfig,
    attention: Attention,
    /// None where the decoding takes none.
    steps: Option<u16>,
}

impl<'a> Opening<'a> {
    fn new(checkpoint: &'a Checkpoint, options: &'a UdVlaOptions) -> Result<Self, CheckpointError> {
        let benchmark = checkpoint.benchmark(&options.entry())?.clone();
        let target = target(checkpoint, options)?;
        let choice = |reason| CheckpointError::Decoding { reason };
        let steps = options.decoding.steps(options.denoise_steps, benchmark.denoise_steps, target);
        let steps = steps.map_err(choice)?.map(positive).transpose()?;
        let config = checkpoint.config()?;
        let attention = options.attention.map_or_else(|| checkpoint.attention(&config), Ok)?;
        options.decoding.fits(attention, options.prefix_cache).map_err(choice)?;
        Ok(Self { checkpoint, options, benchmark, config, attention, steps })
    }

    /// The policy on one device; its subject lacks the checkpoint's digest.
    fn load(&self, placement: Placement) -> Result<UdVla, CheckpointError> {
        let (checkpoint, config) = (self.checkpoint, &self.config);
        let benchmark = self.benchmark.clone();
        let translator = Translator::open(checkpoint, benchmark, config, placement.device)?;
        let model = checkpoint.model(config, placement)?;
        translator.fits(&model).map_err(|reason| {
            let file = checkpoint.file(Path::new(MANIFEST));
            CheckpointError::Config { file, reason }
        })?;
        let allowed = |ids: &[i64]| {
            let what = || "the rows of the output head".into();
            tch::no_grad(|| Allowed::new(&model, ids))
                .map_err(|source| CheckpointError::Torch { what: what(), source })
        };
        let image = translator.viewable(self.options.decoding.is_sequential());
        let (image, action) = (allowed(&image)?, allowed(&translator.action_ids)?);
        let futures = self
            .options
            .futures
            .then(|| Imagination::of(checkpoint, &self.options.entry(), placement.device));
        Ok(UdVla {
            spec: self.spec(&translator, placement),
            translator,
            model,
            image,
            action,
            attention: self.attention,
            prefix_cache: self.options.prefix_cache,
            decoding: self.options.decoding,
            steps: self.steps.unwrap_or(1),
            futures: futures.transpose()?,
        })
    }

    fn spec(&self, translator: &Translator, placement: Placement) -> PolicySpec {
        let layout = &translator.benchmark.layout;
        let mut subject = self.options.decoding.subject(self.steps);
        subject.extend([
            ("policy", "udvla".to_owned()),
            ("target", translator.target.to_string()),
            ("attention", self.attention.to_string()),
            ("chunk", layout.horizon.to_string()),
            ("dtype", device::dtype_name(placement.kind).into()),
            ("noise", NOISE_VERSION.to_string()),
        ]);
        subject.extend(self.options.layout.clone().map(|layout| ("layout", layout)));
        if self.options.prefix_cache == PrefixCache::Approximate {
            subject.push(("approximate", "prefix cache".into()));
        }
        let setting = vec![
            ("device", device::device_name(placement.device)),
            ("libtorch", device::libtorch_version().to_owned()),
        ];
        PolicySpec {
            name: "udvla".into(),
            cameras: translator.cameras(),
            chunk: layout.horizon,
            action_width: layout.action_width,
            subject: named(subject),
            setting: named(setting),
        }
    }
}

/// The checkpoint's target, with which what was asked for must agree.
fn target(checkpoint: &Checkpoint, options: &UdVlaOptions) -> Result<Target, CheckpointError> {
    let own = checkpoint.manifest().target;
    if let Some(asked) = options.target
        && asked != own
    {
        let file = checkpoint.file(Path::new(MANIFEST));
        return Err(CheckpointError::Target { file, asked, own });
    }
    if options.futures && !own.has_views() {
        let reason = format!("with target `{own}` no future views are generated to save");
        return Err(CheckpointError::Decoding { reason });
    }
    Ok(own)
}

fn positive(wanted: u16) -> Result<u16, CheckpointError> {
    match wanted {
        0 => Err(CheckpointError::Choice {
            what: "number of denoising steps",
            wanted: "0".into(),
            known: "1 to 65535".into(),
        }),
        steps => Ok(steps),
    }
}

fn named(pairs: Vec<(&str, String)>) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}
