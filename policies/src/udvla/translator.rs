//! Between a simulator's terms and the model's: pictures and words to ids, ids to actions.

use std::path::Path;

use tch::{Device, TchError, Tensor};
use udvla_sims::observation::{ActionChunk, Camera, Image};

use super::checkpoint::Checkpoint;
use super::config::{ModelConfig, SpecialIds};
use super::error::CheckpointError;
use super::manifest::{Benchmark, MANIFEST, Rotation};
use super::prompt::{self, Block, PATCH, Picture, Prompt, Target, View};
use super::transformer::Transformer;
use crate::normalize::{NormStats, euler_to_axis_angle};
use crate::policy::{PolicyError, PolicyInput, Remark};
use crate::tokens::{FastTokenizer, TextTokenizer};
use crate::vision::{self, VisionConfig, VisionTokenizer};

/// All tokenizers of a checkpoint with one benchmark's settings.
pub(super) struct Translator {
    /// The settings.
    pub benchmark: Benchmark,
    /// What the generated views show.
    pub target: Target,
    /// Ids with a meaning.
    pub ids: SpecialIds,
    /// What image positions may become, ascending.
    pub image_ids: Vec<i64>,
    /// What action positions may become, ascending.
    pub action_ids: Vec<i64>,
    text: TextTokenizer,
    vision: VisionTokenizer,
    device: Device,
    fast: FastTokenizer,
    stats: NormStats,
}

impl Translator {
    /// Opens the tokenizers and compares them with the model's configuration.
    ///
    /// # Errors
    /// What is missing or broken, or does not fit together.
    pub fn open(
        checkpoint: &Checkpoint,
        benchmark: Benchmark,
        config: &ModelConfig,
        device: Device,
    ) -> Result<Self, CheckpointError> {
        let text = checkpoint.text(config)?;
        let fast = checkpoint.fast(&benchmark)?;
        let stats = checkpoint.stats(&benchmark)?;
        let (vision, sizes) = checkpoint.vision(device)?;
        let contradiction = |reason| {
            let file = checkpoint.file(Path::new(MANIFEST));
            CheckpointError::Config { file, reason }
        };
        same_codes(&sizes, &config.ids).map_err(contradiction)?;
        let characters = size_ids(&benchmark, &text).map_err(contradiction)?;
        let action_ids = prompt::action_ids(&config.ids, fast.vocabulary());
        if action_ids[0] < 0 || text.vocabulary() as i64 > config.sizes.vocab_size {
            return Err(contradiction(format!(
                "{} action ids below {} and {} text ids do not fit a vocabulary of {}",
                fast.vocabulary(),
                config.ids.last_action_token_id,
                text.vocabulary(),
                config.sizes.vocab_size,
            )));
        }
        let ids = config.ids.clone();
        let image_ids = prompt::image_ids(&ids, &characters);
        let target = checkpoint.manifest().target;
        Ok(Self {
            benchmark,
            target,
            ids,
            image_ids,
            action_ids,
            text,
            vision,
            device,
            fast,
            stats,
        })
    }

    /// Compares the longest sequence that `model` can run with the shortest that is asked of it.
    ///
    /// # Errors
    /// The sequence is longer, in words.
    pub fn fits(&self, model: &Transformer) -> Result<(), String> {
        let needed = self.benchmark.layout.parts(1, self.target).total();
        match model.positions() {
            enough if enough >= needed => Ok(()),
            positions => {
                Err(format!("views and actions take {needed} positions, the model has {positions}"))
            }
        }
    }

    /// What generated views may hold, ascending: with `marks` their begin and end marks, which
    /// otherwise are given.
    pub fn viewable(&self, marks: bool) -> Vec<i64> {
        let mut ids = self.image_ids.clone();
        if marks {
            ids.extend([self.ids.boi_token_id, self.ids.eoi_token_id]);
            ids.sort_unstable();
        }
        ids
    }

    /// The cameras that the policy looks at, by the protocol's names.
    pub fn cameras(&self) -> Vec<Camera> {
        let camera = |view: &View| Camera {
            name: view.camera.clone(),
            height: view.height,
            width: view.width,
        };
        self.benchmark.layout.views.iter().map(camera).collect()
    }

    /// Compares the pictures of a row with the layout.
    ///
    /// # Errors
    /// Another number of pictures, another size, or not as many bytes as the size says.
    pub fn check(&self, row: &PolicyInput) -> Result<(), PolicyError> {
        let (images, views) = (&row.observation.images, &self.benchmark.layout.views);
        let fits = |(image, view): (&Image, &View)| {
            let bytes = image.height as usize * image.width as usize * 3;
            (image.height, image.width) == (view.height, view.width) && image.rgb.len() == bytes
        };
        if images.len() == views.len() && images.iter().zip(views).all(fits) {
            return Ok(());
        }
        let wanted = views.iter().map(|v| format!("`{}` {}x{}", v.camera, v.height, v.width));
        let got =
            images.iter().map(|i| format!("{}x{} ({} bytes)", i.height, i.width, i.rgb.len()));
        let list = |items: Vec<String>| match items.is_empty() {
            true => "no pictures".into(),
            false => format!("pictures {}", items.join(", ")),
        };
        Err(PolicyError::Observation {
            key: row.key.clone(),
            wanted: list(wanted.collect()),
            got: list(got.collect()),
        })
    }

    /// The prompts of checked rows, in order.
    ///
    /// Pictures are resized in parallel and encoded one by one, so that no row's codes depend on
    /// its neighbours.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn prompts(&self, batch: &[PolicyInput]) -> Result<Vec<Prompt>, TchError> {
        let layout = &self.benchmark.layout;
        let mut pictures = vec![vec![]; batch.len()];
        for (index, view) in layout.views.iter().enumerate() {
            let size = self.text.encode(&view.size_text());
            for (row, codes) in pictures.iter_mut().zip(self.codes(batch, index)?) {
                row.push(Picture { size: size.clone(), codes });
            }
        }
        let prompt = |(row, pictures): (&PolicyInput, Vec<Picture>)| {
            let text = self.text.encode(&row.observation.instruction);
            let mut prompt = Prompt::new(&self.ids, &text, &pictures, layout.action_slots);
            prompt.parts.future = layout.generated_positions(self.target);
            prompt
        };
        Ok(batch.iter().zip(pictures).map(prompt).collect())
    }

    /// The block that every row generates, before its first step.
    pub fn block(&self) -> Block {
        let layout = &self.benchmark.layout;
        Block::new(&self.ids, &layout.generated_positions(self.target), layout.action_slots)
    }

    /// The chunk that a generated block stands for, in the simulator's units.
    pub fn chunk(&self, generated: &[i64], image: usize) -> ActionChunk {
        let layout = &self.benchmark.layout;
        let (horizon, width) = (usize::from(layout.horizon), layout.action_width);
        let actions = prompt::actions(&self.ids, generated, image);
        let mut values = self.fast.decode(&actions, horizon, width); // [horizon, width]
        for action in values.chunks_exact_mut(width) {
            self.stats.unnormalize(action);
            match (self.benchmark.rotation, &mut *action) {
                (Rotation::EulerToAxisAngle, [_, _, _, roll, pitch, yaw, ..]) => {
                    [*roll, *pitch, *yaw] = euler_to_axis_angle([*roll, *pitch, *yaw]);
                }
                (Rotation::EulerToAxisAngle | Rotation::AsIs, _) => {}
            }
            let gripper = action.last_mut().expect("the layout's action width is not 0");
            *gripper = self.benchmark.gripper.apply(*gripper);
        }
        ActionChunk { width, values: values.into_iter().map(|value| value as f32).collect() }
    }

    /// What is unusual about the actions of a generated block.
    pub fn remarks(&self, generated: &[i64], image: usize) -> Vec<Remark> {
        let slots = &generated[image + 1..];
        let endless = !slots.contains(&self.ids.eoa_token_id);
        let invalid = self.fast.invalid(&prompt::actions(&self.ids, generated, image));
        let endless = endless.then(|| Remark {
            kind: "no-end-of-actions",
            text: "no end of actions: every slot was decoded".into(),
        });
        let invalid = (invalid > 0).then(|| Remark {
            kind: "invalid-action-text",
            text: format!("{invalid} action coefficients are no valid text and decode to extremes"),
        });
        endless.into_iter().chain(invalid).collect()
    }

    /// The visual codes of one view of each row.
    fn codes(&self, batch: &[PolicyInput], view: usize) -> Result<Vec<Vec<i64>>, TchError> {
        let size = |image: &Image| (image.height as usize, image.width as usize);
        let frames: Vec<_> = batch
            .iter()
            .map(|row| &row.observation.images[view])
            .map(|image| vision::Picture { rgb: &image.rgb, size: size(image) })
            .collect();
        let [height, width] = self.benchmark.layout.views[view].resized.map(|side| side as usize);
        let pixels = vision::prepare(&frames, (height, width)); // [rows, 3, h, w]
        let encode = |pixels: &[f32]| {
            let pixels = Tensor::f_from_slice(pixels)?
                .f_view([1, 3, height as i64, width as i64])?
                .f_to_device(self.device)?;
            Vec::try_from(self.vision.encode(&pixels).f_view(-1)?)
        };
        pixels.chunks_exact(3 * height * width).map(encode).collect()
    }
}

/// Compares the vision tokenizer with what the model and the layout assume.
fn same_codes(sizes: &VisionConfig, ids: &SpecialIds) -> Result<(), String> {
    let (codes, model) = (sizes.codebook_size, ids.visual_codes());
    if codes != model {
        return Err(format!("the vision tokenizer has {codes} codes, the model {model}"));
    }
    let side = sizes.pixels_per_code();
    if side != i64::from(PATCH) {
        return Err(format!("the vision tokenizer has a code per {side} pixels, not {PATCH}"));
    }
    Ok(())
}

/// The ids of the characters of size texts, each of which must be a token of its own.
fn size_ids(benchmark: &Benchmark, text: &TextTokenizer) -> Result<Vec<i64>, String> {
    for view in &benchmark.layout.views {
        let size = view.size_text();
        if text.encode(&size).len() != size.len() {
            return Err(format!("size text `{size}` is not one token per character"));
        }
    }
    let single = |c: char| match text.encode(&c.to_string())[..] {
        [id] => Ok(id),
        _ => Err(format!("`{c}` of `size_characters` is not one token")),
    };
    benchmark.layout.size_characters.chars().map(single).collect()
}
