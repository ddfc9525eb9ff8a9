//! Observation to tokens: images become visual codes, the instruction text ids.

use tch::{Device, TchError, Tensor};
use udvla_sims::observation::{Camera, Image};

use super::sequence::{Block, ImageTokens, Prompt, allowed_image_ids};
use crate::policy::{PolicyError, PolicyInput};
use crate::tokens::TextTokenizer;
use crate::udvla::checkpoint::{
    Benchmark, Checkpoint, CheckpointError, ImageLayout, Layout, ModelConfig, PATCH, SpecialIds,
    Target,
};
use crate::udvla::model::mask::Parts;
use crate::vision::{self, RgbImage, VisionConfig, VisionTokenizer};

/// Encodes observations as prompts for one benchmark.
pub struct ObservationEncoder {
    layout: Layout,
    target: Target,
    ids: SpecialIds,
    text: TextTokenizer,
    vision: VisionTokenizer,
    device: Device,
    /// Ids of the characters of size texts.
    size_characters: Vec<i64>,
}

impl ObservationEncoder {
    /// Opens text and vision tokenizer and checks that they fit the model.
    ///
    /// # Errors
    /// Missing or invalid files; tokenizers that contradict the layout or the configuration.
    pub fn open(
        checkpoint: &Checkpoint,
        benchmark: &Benchmark,
        config: &ModelConfig,
        device: Device,
    ) -> Result<Self, CheckpointError> {
        let layout = benchmark.layout.clone();
        let target = checkpoint.manifest().target;
        let text = checkpoint.text(config)?;
        let (vision, sizes) = checkpoint.vision(device)?;
        let contradiction =
            |reason| CheckpointError::Config { file: checkpoint.manifest_file(), reason };
        check_codes(&sizes, &config.ids).map_err(contradiction)?;
        check_lengths(&layout, &text, config, target).map_err(contradiction)?;
        let size_characters = size_character_ids(&layout, &text).map_err(contradiction)?;
        let ids = config.ids.clone();
        Ok(Self { layout, target, ids, text, vision, device, size_characters })
    }

    /// Cameras of the prompt's images, by the protocol's names.
    pub fn cameras(&self) -> Vec<Camera> {
        let camera = |image: &ImageLayout| Camera {
            name: image.camera.clone(),
            height: image.height,
            width: image.width,
        };
        self.layout.images.iter().map(camera).collect()
    }

    /// Ids that generated image positions may take, ascending. Begin and end marks are included
    /// if `marks`, for decoders that generate them too.
    pub fn allowed_ids(&self, marks: bool) -> Vec<i64> {
        let mut ids = allowed_image_ids(&self.ids, &self.size_characters);
        if marks {
            ids.extend([self.ids.boi_token_id, self.ids.eoi_token_id]);
            ids.sort_unstable();
        }
        ids
    }

    /// The block that every sequence generates, before the first step.
    pub fn block(&self) -> Block {
        let images = self.layout.generated_positions(self.target);
        Block::new(&self.ids, &images, self.layout.action_slots)
    }

    /// Positions of a sequence beside those of its instruction.
    pub fn positions_without_text(&self) -> usize {
        // The begin-of-sequence token counts as text.
        Parts::of_layout(&self.layout, 1, self.target).total()
    }

    /// Checks the images of an observation against the layout.
    ///
    /// # Errors
    /// Another number of images, another size, or a wrong number of bytes.
    pub fn check(&self, input: &PolicyInput) -> Result<(), PolicyError> {
        let (images, layouts) = (&input.observation.images, &self.layout.images);
        let fits = |(image, layout): (&Image, &ImageLayout)| {
            let bytes = image.height as usize * image.width as usize * 3;
            (image.height, image.width) == (layout.height, layout.width) && image.rgb.len() == bytes
        };
        if images.len() == layouts.len() && images.iter().zip(layouts).all(fits) {
            return Ok(());
        }
        let list = |items: Vec<String>| match items.is_empty() {
            true => "no images".into(),
            false => format!("images {}", items.join(", ")),
        };
        let needed = layouts.iter().map(|l| format!("`{}` {}x{}", l.camera, l.height, l.width));
        let given =
            images.iter().map(|i| format!("{}x{} ({} bytes)", i.height, i.width, i.rgb.len()));
        Err(PolicyError::Observation {
            key: input.key.clone(),
            needed: list(needed.collect()),
            given: list(given.collect()),
        })
    }

    /// Prompts of checked observations, in order.
    ///
    /// Images are resized in parallel and encoded one by one, so that no codes depend on other
    /// images of the batch.
    pub fn encode(&self, batch: &[PolicyInput]) -> Result<Vec<Prompt>, TchError> {
        let mut images = vec![vec![]; batch.len()];
        for (index, layout) in self.layout.images.iter().enumerate() {
            let size = self.text.encode(&layout.size_text());
            for (tokens, codes) in images.iter_mut().zip(self.visual_codes(batch, index)?) {
                tokens.push(ImageTokens { size: size.clone(), codes });
            }
        }
        let prompt = |(input, images): (&PolicyInput, Vec<ImageTokens>)| {
            let text = self.text.encode(&input.observation.instruction);
            let mut prompt = Prompt::new(&self.ids, &text, &images, self.layout.action_slots);
            prompt.parts.future = self.layout.generated_positions(self.target);
            prompt
        };
        Ok(batch.iter().zip(images).map(prompt).collect())
    }

    /// Visual codes of each observation's image number `index`.
    fn visual_codes(&self, batch: &[PolicyInput], index: usize) -> Result<Vec<Vec<i64>>, TchError> {
        let images: Vec<_> = batch
            .iter()
            .map(|input| &input.observation.images[index])
            .map(|image| RgbImage {
                rgb: &image.rgb,
                size: (image.height as usize, image.width as usize),
            })
            .collect();
        let [height, width] = self.layout.images[index].resized.map(|side| side as usize);
        let pixels = vision::prepare(&images, (height, width)); // [b, 3, h, w]
        let encode = |pixels: &[f32]| {
            let pixels = Tensor::f_from_slice(pixels)?
                .f_view([1, 3, height as i64, width as i64])?
                .f_to_device(self.device)?;
            Vec::try_from(self.vision.encode(&pixels).f_view(-1)?)
        };
        pixels.chunks_exact(3 * height * width).map(encode).collect()
    }
}

/// Checks the vision tokenizer against the model's vocabulary and the layout's patch size.
fn check_codes(sizes: &VisionConfig, ids: &SpecialIds) -> Result<(), String> {
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

/// Checks the vocabulary and the shortest sequence against the model's sizes.
fn check_lengths(
    layout: &Layout,
    text: &TextTokenizer,
    config: &ModelConfig,
    target: Target,
) -> Result<(), String> {
    let (ids, vocabulary) = (text.vocabulary(), config.sizes.vocab_size);
    if ids as i64 > vocabulary {
        return Err(format!("{ids} text ids do not fit a vocabulary of {vocabulary}"));
    }
    let needed = Parts::of_layout(layout, 1, target).total();
    let positions = config.sizes.max_position_embeddings;
    if needed as i64 > positions {
        return Err(format!(
            "images and actions take {needed} positions, the model has {positions}"
        ));
    }
    Ok(())
}

/// Ids of the characters of size texts, each of which must be a single token.
fn size_character_ids(layout: &Layout, text: &TextTokenizer) -> Result<Vec<i64>, String> {
    for image in &layout.images {
        let size = image.size_text();
        if text.encode(&size).len() != size.len() {
            return Err(format!("size text `{size}` is not one token per character"));
        }
    }
    let single = |c: char| match text.encode(&c.to_string())[..] {
        [id] => Ok(id),
        _ => Err(format!("`{c}` of `size_characters` is not one token")),
    };
    layout.size_characters.chars().map(single).collect()
}
