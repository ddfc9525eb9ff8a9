//! Opening a checkpoint as a policy, on one device or as replicas on several.

use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;
use tch::Device;
use udvla_sims::identity::{Setting, Subject};

use super::checkpoint::{
    Attention, Benchmark, Checkpoint, CheckpointError, ModelConfig, Placement, Target, device,
};
use super::decode::{Decoder, DecodingDefaults, NOISE_VERSION, PrefixCache, RestrictedHead};
use super::kernels;
use super::model::Transformer;
use super::options::UdVlaOptions;
use super::policy::UdVla;
use super::prompt::{ActionDecoder, ImageDecoder, ObservationEncoder};
use crate::policy::PolicySpec;

/// Parameters from which on a processor is taken only by name.
const LARGE: i64 = 1_000_000_000;

impl UdVla {
    /// Opens the checkpoint directory `dir` for one benchmark.
    ///
    /// # Errors
    /// Missing or invalid files, an unknown benchmark or device, options that do not go together.
    pub fn open(dir: &Path, options: &UdVlaOptions) -> Result<Self, CheckpointError> {
        Self::from_checkpoint(&Checkpoint::open(dir)?, options)
    }

    /// As [`UdVla::open`], from an opened directory.
    pub fn from_checkpoint(
        checkpoint: &Checkpoint,
        options: &UdVlaOptions,
    ) -> Result<Self, CheckpointError> {
        let device = std::slice::from_ref(&options.device);
        Ok(Self::replicas(checkpoint, options, device)?.remove(0))
    }

    /// Where replicas on `devices`, named as in [`UdVlaOptions::device`], run; nothing is loaded.
    ///
    /// # Errors
    /// An unknown or unusable device; a model of a billion parameters or more on a processor that
    /// was not asked for by name.
    pub fn placements(
        checkpoint: &Checkpoint,
        options: &UdVlaOptions,
        devices: &[String],
    ) -> Result<Vec<Placement>, CheckpointError> {
        let config = checkpoint.config()?;
        let shapes = Transformer::parameters(&config);
        let count: i64 = shapes.iter().map(|(_, shape)| shape.iter().product::<i64>()).sum();
        let place = |name: &String| {
            let placement = device::placement(name, options.dtype.as_deref())?;
            if placement.device == Device::Cpu && name == "auto" && count >= LARGE {
                let billions = count as f64 / 1e9;
                let reason = format!(
                    "there is no GPU here, and a model of {billions:.1} billion parameters takes \
                     minutes per decision on a processor; `--device cpu` runs it all the same"
                );
                return Err(CheckpointError::Device { name: name.clone(), reason });
            }
            Ok(placement)
        };
        devices.iter().map(place).collect()
    }

    /// Opens one replica per entry of `devices`, named as in [`UdVlaOptions::device`], which is
    /// ignored. Replicas on the CPU share its threads.
    ///
    /// # Errors
    /// As [`UdVla::open`]; devices with different default number formats.
    ///
    /// # Panics
    /// If `devices` is empty.
    pub fn replicas(
        checkpoint: &Checkpoint,
        options: &UdVlaOptions,
        devices: &[String],
    ) -> Result<Vec<Self>, CheckpointError> {
        let opening = Opening::new(checkpoint, options)?;
        let placements = Self::placements(checkpoint, options, devices)?;
        if placements.iter().any(|placement| placement.kind != placements[0].kind) {
            let reason = format!(
                "devices {} have different default number formats; pass `--dtype`",
                devices.join(", ")
            );
            return Err(CheckpointError::Decoding { reason });
        }
        let on_cpu = placements.iter().filter(|placement| placement.device == Device::Cpu).count();
        if on_cpu > 0 {
            device::share_processor(on_cpu);
        }
        // Hashing reads every file that loading reads: in parallel, both wait for the disk once.
        let (digest, policies) = rayon::join(
            || checkpoint.digest(),
            || {
                let load = |placement: &Placement| opening.load(*placement);
                placements.par_iter().map(load).collect::<Result<Vec<_>, _>>()
            },
        );
        let (mut policies, digest) = (policies?, digest?);
        for policy in &mut policies {
            policy.spec.subject.checkpoint = Some(digest.clone());
        }
        Ok(policies)
    }
}

/// Validated options; the same for every device.
struct Opening<'a> {
    checkpoint: &'a Checkpoint,
    options: &'a UdVlaOptions,
    benchmark: &'a Benchmark,
    config: ModelConfig,
    attention: Attention,
    decoder: Arc<dyn Decoder>,
    /// Without the checkpoint's digest and the number format.
    subject: Subject,
}

impl<'a> Opening<'a> {
    fn new(checkpoint: &'a Checkpoint, options: &'a UdVlaOptions) -> Result<Self, CheckpointError> {
        let benchmark = checkpoint.benchmark(&options.entry())?;
        checkpoint.check_parts(&options.entry())?;
        let target = target(checkpoint, options)?;
        let invalid = |reason| CheckpointError::Decoding { reason };
        let mut subject = Subject {
            policy: Some("udvla".into()),
            target: Some(target.to_string()),
            layout: options.layout.clone(),
            chunk: Some(benchmark.layout.horizon),
            noise: Some(NOISE_VERSION),
            ..Subject::default()
        };
        if options.prefix_cache == PrefixCache::Approximate {
            subject.approximate = Some("prefix cache".into());
        }
        let defaults = DecodingDefaults { checkpoint, benchmark, target };
        let decoder = options.decoding.open(&defaults, &mut subject).map_err(invalid)?;
        if options.decoding.denoise_steps == Some(0) {
            let (what, value) = ("number of denoising steps", "0".into());
            return Err(CheckpointError::Choice { what, value, known: "1 to 65535".into() });
        }
        let config = checkpoint.config()?;
        let attention = options.attention.map_or_else(|| checkpoint.attention(&config), Ok)?;
        options.decoding.decoder.check(attention, options.prefix_cache).map_err(invalid)?;
        subject.attention = Some(attention.to_string());
        let decoder = Arc::from(decoder);
        Ok(Self { checkpoint, options, benchmark, config, attention, decoder, subject })
    }

    /// The policy on one device; its subject lacks the checkpoint's digest.
    fn load(&self, placement: Placement) -> Result<UdVla, CheckpointError> {
        kernels::keep();
        let (checkpoint, config, device) = (self.checkpoint, &self.config, placement.device);
        let actions = ActionDecoder::open(checkpoint, self.benchmark, config)?;
        let encoder = ObservationEncoder::open(checkpoint, self.benchmark, config, device)?;
        let model = Transformer::load(config, &checkpoint.model_weights()?, placement)?;
        let head = |ids: &[i64]| {
            tch::no_grad(|| RestrictedHead::new(&model, ids)).map_err(|source| {
                CheckpointError::Torch { what: "the rows of the output head".into(), source }
            })
        };
        let image_ids = encoder.allowed_ids(self.options.decoding.decoder.left_to_right);
        let futures = match self.options.futures {
            true => Some(ImageDecoder::open_on(checkpoint, &self.options.entry(), device)?),
            false => None,
        };
        Ok(UdVla {
            spec: self.spec(&encoder, placement),
            image_head: head(&image_ids)?,
            action_head: head(actions.allowed_ids())?,
            image_ids,
            ids: config.ids.clone(),
            attention: self.attention,
            prefix_cache: self.options.prefix_cache,
            decoder: Arc::clone(&self.decoder),
            model,
            encoder,
            actions,
            futures,
        })
    }

    fn spec(&self, encoder: &ObservationEncoder, placement: Placement) -> PolicySpec {
        let layout = &self.benchmark.layout;
        PolicySpec {
            name: "udvla".into(),
            cameras: encoder.cameras(),
            chunk: layout.horizon,
            action_width: layout.action_width,
            subject: Subject {
                dtype: Some(device::dtype_name(placement.kind).into()),
                ..self.subject.clone()
            },
            setting: Setting {
                device: Some(device::device_name(placement.device)),
                libtorch: Some(device::libtorch_version().into()),
                ..Setting::default()
            },
        }
    }
}

/// The checkpoint's target, which must be the one of the options.
fn target(checkpoint: &Checkpoint, options: &UdVlaOptions) -> Result<Target, CheckpointError> {
    let own = checkpoint.manifest().target;
    if let Some(asked) = options.target
        && asked != own
    {
        return Err(CheckpointError::Target { file: checkpoint.manifest_file(), asked, own });
    }
    if options.futures && !own.has_images() {
        let reason = format!("with target `{own}` no future images are generated to save");
        return Err(CheckpointError::Decoding { reason });
    }
    Ok(own)
}
