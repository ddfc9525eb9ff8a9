//! UD-VLA as a policy: a row's pictures and instruction in, an action chunk out.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::path::Path;

use tch::{Device, Tensor};

use super::attention::Attention;
use super::checkpoint::Checkpoint;
use super::config::SpecialIds;
use super::device;
use super::error::CheckpointError;
use super::jd3p::{Jd3p, Step};
use super::manifest::Benchmark;
use super::noise::{KeyedNoise, NOISE_VERSION};
use super::prompt::{self, Block, PATCH, Picture, Prompt};
use super::rows;
use super::sampling::Allowed;
use super::transformer::Transformer;
use super::weights::Placement;
use crate::normalize::NormStats;
use crate::policy::{Answer, Policy, PolicyError, PolicyInput, PolicySpec};
use crate::tokens::{FastTokenizer, TextTokenizer};
use crate::vision::{VisionConfig, VisionTokenizer};

/// How to open a checkpoint; `None` is what the checkpoint or the device suggests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UdVlaOptions {
    /// `calvin`, `libero` or `simpler`, or whatever else the checkpoint has settings for.
    pub benchmark: String,
    /// `auto`, `cpu`, `cuda` or `cuda:N`.
    pub device: String,
    /// `f32`, `bf16`, `f16` or `f64`; without one f32 on a processor and bf16 on a GPU.
    pub dtype: Option<String>,
    /// Denoising steps, at least 1.
    pub denoise_steps: Option<u16>,
    /// Which positions see one another.
    pub attention: Option<Attention>,
}

/// The model under test, ready to answer.
pub struct UdVla {
    spec: PolicySpec,
    benchmark: Benchmark,
    ids: SpecialIds,
    attention: Attention,
    steps: u16,
    model: Transformer,
    image: Allowed,
    action: Allowed,
    vision: VisionTokenizer,
    text: TextTokenizer,
    fast: FastTokenizer,
    stats: NormStats,
}

impl UdVla {
    /// Opens the checkpoint directory `dir` for one benchmark.
    ///
    /// # Errors
    /// Whatever is missing, broken, foreign or not supported, by name.
    pub fn open(dir: &Path, options: &UdVlaOptions) -> Result<Self, CheckpointError> {
        tch::no_grad(|| Self::assemble(&Checkpoint::open(dir)?, options))
    }

    fn assemble(checkpoint: &Checkpoint, options: &UdVlaOptions) -> Result<Self, CheckpointError> {
        let benchmark = checkpoint.benchmark(&options.benchmark)?.clone();
        let steps = steps(options, &benchmark)?;
        let placement = device::placement(&options.device, options.dtype.as_deref())?;
        let config = checkpoint.config()?;
        let attention = options.attention.map_or_else(|| checkpoint.attention(&config), Ok)?;
        let text = checkpoint.text(&config)?;
        let fast = checkpoint.fast(&benchmark)?;
        let stats = checkpoint.stats(&benchmark)?;
        let (vision, sizes) = checkpoint.vision(placement.device)?;
        let material = Material { benchmark: &benchmark, text: &text, fast: &fast, vision: &sizes };
        let (image, action) =
            material.allowed(&config.ids, config.sizes.vocab_size).map_err(|reason| {
                let file = Path::new(super::manifest::MANIFEST).to_owned();
                CheckpointError::Config { file, reason }
            })?;
        // Hashing reads every file that loading reads; side by side both wait for the disk once.
        let (digest, model) =
            rayon::join(|| checkpoint.digest(), || checkpoint.model(&config, placement));
        let (model, digest) = (model?, digest?);
        let rows = |ids: &[i64]| {
            Allowed::new(&model, ids).map_err(|source| CheckpointError::Torch {
                what: "the rows of the output head".into(),
                source,
            })
        };
        let (image, action) = (rows(&image)?, rows(&action)?);
        if placement.device == Device::Cpu {
            device::share_processor();
        }
        let subject = [
            ("policy", "udvla".to_owned()),
            ("checkpoint", digest),
            ("target", checkpoint.manifest().target.name().to_owned()),
            ("attention", attention.to_string()),
            ("sampler", "released".into()),
            ("decoding", "jd3p".into()),
            ("denoise_steps", steps.to_string()),
            ("chunk", benchmark.layout.horizon.to_string()),
            ("dtype", device::dtype_name(placement.kind).into()),
            ("noise", NOISE_VERSION.to_string()),
        ];
        let spec = spec(&benchmark, subject, placement);
        let ids = config.ids;
        Ok(Self {
            spec,
            benchmark,
            ids,
            attention,
            steps,
            model,
            image,
            action,
            vision,
            text,
            fast,
            stats,
        })
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
        let layout = &self.benchmark.layout;
        batch.iter().try_for_each(|row| rows::check(row, layout))?;
        tch::no_grad(|| {
            let pictures = self.look(batch)?;
            let rows = batch.iter().zip(pictures).enumerate();
            rows.map(|(index, (row, pictures))| {
                self.answer(row, &pictures, &mut |step| watch(index, step))
            })
            .collect()
        })
    }

    /// The pictures of each row as token material.
    fn look(&self, batch: &[PolicyInput]) -> Result<Vec<Vec<Picture>>, PolicyError> {
        let layout = &self.benchmark.layout;
        let mut rows = vec![vec![]; batch.len()];
        for (index, view) in layout.views.iter().enumerate() {
            let size = self.text.encode(&view.size_text());
            let pixels = rows::pixels(batch, index, layout);
            let [height, width] = view.resized.map(i64::from);
            for (row, pixels) in
                rows.iter_mut().zip(pixels.chunks_exact((3 * height * width) as usize))
            {
                // One picture at a time, so that neighbours in the batch cannot change its codes.
                let pixels = Tensor::f_from_slice(pixels)
                    .and_then(|pixels| pixels.f_view([1, 3, height, width]))
                    .and_then(|pixels| pixels.f_to_device(self.model.placement().device))
                    .map_err(|error| failed(&error))?;
                let codes = self.vision.encode(&pixels).view(-1);
                let codes = Vec::try_from(codes).map_err(|error| failed(&error))?;
                row.push(Picture { size: size.clone(), codes });
            }
        }
        Ok(rows)
    }

    fn answer(
        &self,
        row: &PolicyInput,
        pictures: &[Picture],
        watch: &mut dyn FnMut(&Step),
    ) -> Result<Answer, PolicyError> {
        let slots = self.benchmark.layout.action_slots;
        let text = self.text.encode(&row.observation.instruction);
        let prompt = Prompt::new(&self.ids, &text, pictures, slots);
        let block = Block::new(&self.ids, &prompt.parts.views, slots);
        let noise = KeyedNoise::new(row.seed, &row.key.to_string(), row.call);
        let decoding = Jd3p {
            model: &self.model,
            ids: &self.ids,
            image: &self.image,
            action: &self.action,
            attention: self.attention,
            steps: self.steps,
        };
        let generated =
            decoding.decode(&prompt, &block, &noise, watch).map_err(|error| failed(&error))?;
        let actions = prompt::actions(&self.ids, &generated, block.image);
        Ok(Answer::Chunk(rows::chunk(&actions, &self.benchmark, &self.fast, &self.stats)))
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

/// What decides which ids each part of a block may use.
struct Material<'a> {
    benchmark: &'a Benchmark,
    text: &'a TextTokenizer,
    fast: &'a FastTokenizer,
    vision: &'a VisionConfig,
}

impl Material<'_> {
    /// The ids of image and action positions, or what does not fit together.
    fn allowed(&self, ids: &SpecialIds, vocabulary: i64) -> Result<(Vec<i64>, Vec<i64>), String> {
        let layout = &self.benchmark.layout;
        let (codes, model) = (self.vision.codebook_size, ids.visual_codes());
        if codes != model {
            return Err(format!("the vision tokenizer has {codes} codes, the model {model}"));
        }
        let side = self.vision.pixels_per_code();
        if side != i64::from(PATCH) {
            return Err(format!("the vision tokenizer has a code per {side} pixels, not {PATCH}"));
        }
        let single = |c: char| match self.text.encode(&c.to_string())[..] {
            [id] => Ok(id),
            _ => Err(format!("`{c}` of `size_characters` is not one token")),
        };
        let characters =
            layout.size_characters.chars().map(single).collect::<Result<Vec<_>, _>>()?;
        for view in &layout.views {
            let text = view.size_text();
            if self.text.encode(&text).len() != text.len() {
                return Err(format!("size text `{text}` is not one token per character"));
            }
        }
        let actions = prompt::action_ids(ids, self.fast.vocabulary());
        if actions[0] < 0 || self.text.vocabulary() as i64 > vocabulary {
            let (fast, text) = (self.fast.vocabulary(), self.text.vocabulary());
            return Err(format!(
                "{fast} action ids below {} and {text} text ids do not fit a vocabulary of \
                 {vocabulary}",
                ids.last_action_token_id
            ));
        }
        Ok((prompt::image_ids(ids, &characters), actions))
    }
}

fn steps(options: &UdVlaOptions, benchmark: &Benchmark) -> Result<u16, CheckpointError> {
    match options.denoise_steps.unwrap_or(benchmark.denoise_steps) {
        0 => Err(CheckpointError::Choice {
            what: "number of denoising steps",
            wanted: "0".into(),
            known: "1 to 65535".into(),
        }),
        steps => Ok(steps),
    }
}

fn spec<const N: usize>(
    benchmark: &Benchmark,
    subject: [(&str, String); N],
    placement: Placement,
) -> PolicySpec {
    let named = |pairs: &[(&str, String)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
    };
    PolicySpec {
        name: "udvla".into(),
        cameras: rows::cameras(&benchmark.layout),
        chunk: u16::try_from(benchmark.layout.horizon).unwrap_or(u16::MAX),
        action_width: benchmark.layout.action_width,
        subject: named(&subject),
        setting: named(&[
            ("device", device::device_name(placement.device)),
            ("libtorch", device::libtorch_version().into()),
        ]),
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
