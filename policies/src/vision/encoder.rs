//! The MoVQ encoder: an image to its grid of codes.
//!
//! An image goes through four levels of residual blocks, each of half the previous resolution,
//! then through a short stack over time that reduces four frames to one latent image, whose
//! vectors are replaced by the nearest codes of the codebook.
//!
//! Source: `modeling_emu3visionvq.py` of the Emu3 release, also for the names of weights.

use tch::Tensor;

use super::config::VisionConfig;
use super::decoder::VisionDecoder;
use super::layers::{Blocks, Conv, GroupNorm, Middle, Norm, TensorLoader, Weights, swish};
use super::quantizer::Codebook;
use super::time::{CausalConv, TimeBlock};

/// Encodes images as codes.
pub struct VisionTokenizer {
    images: ImageStack,
    halvings: Vec<CausalConv>,
    time_blocks: Vec<TimeBlock>,
    quant_conv: CausalConv,
    codebook: Codebook,
    /// Number of repetitions of an image that make a clip.
    frames: i64,
    pixels_per_code: i64,
}

impl VisionTokenizer {
    /// Loads the encoder's weights from `get`, which returns the tensor of a name and shape, in the
    /// number format and on the device to compute with (f32 in the release; the same for all).
    pub fn load<E>(config: &VisionConfig, get: &mut TensorLoader<'_, E>) -> Result<Self, E> {
        let weights = &mut Weights { get };
        let z = config.z_channels;
        let images = ImageStack::load(weights, config)?;
        let halvings = (0..config.time_halvings())
            .map(|i| format!("encoder.time_conv.{i}.conv"))
            .map(|name| Ok(CausalConv::load(weights, &name, [z, z], [4, 3])?.halving()))
            .collect::<Result<_, E>>()?;
        let time_blocks = (0..config.num_res_blocks)
            .map(|i| TimeBlock::load(weights, &format!("encoder.time_res_stack.{i}"), z))
            .collect::<Result<_, E>>()?;
        let quant_conv = CausalConv::load(weights, "quant_conv", [config.embed_dim, z], [3, 1])?;
        let codebook = Codebook::load(weights, [config.codebook_size, config.embed_dim])?;
        Ok(Self {
            images,
            halvings,
            time_blocks,
            quant_conv,
            codebook,
            frames: config.temporal_downsample_factor,
            pixels_per_code: config.pixels_per_code(),
        })
    }

    /// Names and shapes of all tensors of a checkpoint: parameters of encoder, decoder and
    /// codebook, and the buffers of their normalizations.
    ///
    /// [`Self::load`] asks for some of these; `num_batches_tracked`, a count in i64 without
    /// dimensions, is in checkpoints but never loaded.
    pub fn parameters(config: &VisionConfig) -> Vec<(String, Vec<i64>)> {
        let mut parameters: Vec<(String, Vec<i64>)> = Vec::new();
        let mut record = |name: &str, shape: &[i64]| {
            if !parameters.iter().any(|(other, _)| other == name) {
                parameters.push((name.to_owned(), shape.to_vec()));
            }
            if let Some(norm) = name.strip_suffix(".running_var") {
                parameters.push((format!("{norm}.num_batches_tracked"), vec![]));
            }
            // A view of one number: real checkpoints are large.
            Ok::<_, std::convert::Infallible>(Tensor::from(0_f32).expand(shape, false))
        };
        let Ok(_) = Self::load(config, &mut record);
        let Ok(_) = VisionDecoder::load(config, &mut record);
        parameters
    }

    /// Encodes images, `[b, 3, h, w]` in -1..=1 to `[b, h/8, w/8]` i64.
    ///
    /// Images are encoded one by one, as in the release, so that codes do not depend on the batch.
    ///
    /// # Panics
    /// If the shape is wrong, or a side is not a multiple of
    /// [`pixels_per_code`](VisionConfig::pixels_per_code).
    pub fn encode(&self, pixels: &Tensor) -> Tensor {
        let (_, _, h, w) = pixels.size4().expect("images have four dimensions");
        let side = self.pixels_per_code;
        assert!(h % side == 0 && w % side == 0, "{h} x {w} pixels are no grid of {side} x {side}");
        let codes = |image: &Tensor| self.codebook.codes(&self.latent(image)).squeeze_dim(1);
        let codes: Vec<Tensor> = pixels.split(1, 0).iter().map(codes).collect();
        Tensor::cat(&codes, 0)
    }

    /// Latent vectors before quantization, `[b, 3, h, w]` to `[b, d, 1, h/8, w/8]`.
    ///
    /// The model encodes clips, so an image is treated as a clip of equal frames. The per-frame
    /// layers before those over time run once.
    pub fn latent(&self, pixels: &Tensor) -> Tensor {
        let features = self.images.forward(pixels).unsqueeze(2); // [b, z, 1, h, w]
        self.along_time(&features.expand([-1, -1, self.frames, -1, -1], false))
    }

    /// The vectors of the nearest codes of a latent, in its shape.
    pub(crate) fn nearest(&self, latent: &Tensor) -> Tensor {
        self.codebook.vectors(&self.codebook.codes(latent))
    }

    /// Smallest difference, over the vectors of a latent, between the distances to the nearest and
    /// the second nearest code.
    pub fn margin(&self, latent: &Tensor) -> f64 {
        self.codebook.margin(latent)
    }

    /// `[b, z, t, h, w]` to `[b, d, t/4, h, w]`.
    fn along_time(&self, features: &Tensor) -> Tensor {
        let halve = |x: Tensor, conv: &CausalConv| swish(&conv.forward(&x));
        let x = self.halvings.iter().fold(features.shallow_clone(), halve);
        let x = self.time_blocks.iter().fold(x, |x, block| block.forward(&x));
        self.quant_conv.forward(&x)
    }
}

/// The encoder's per-frame layers.
struct ImageStack {
    conv_in: Conv,
    levels: Vec<Level>,
    middle: Middle<GroupNorm>,
    norm_out: GroupNorm,
    conv_out: Conv,
}

/// The blocks of one resolution.
struct Level {
    blocks: Blocks<GroupNorm>,
    /// Halves the resolution; the last level has none.
    halving: Option<Conv>,
}

impl ImageStack {
    fn load<E>(weights: &mut Weights<'_, E>, config: &VisionConfig) -> Result<Self, E> {
        let deepest = config.deepest();
        let conv_in = [config.channels_in(0), config.in_channels, 3];
        let conv_out = [config.z_channels, deepest, 3];
        Ok(Self {
            conv_in: Conv::load(weights, "encoder.conv_in", conv_in)?,
            levels: (0..config.ch_mult.len())
                .map(|level| Level::load(weights, config, level))
                .collect::<Result<_, E>>()?,
            middle: Middle::load(weights, "encoder.mid", [deepest, 0])?,
            norm_out: GroupNorm::load(weights, "encoder.norm_out", deepest, 0)?,
            conv_out: Conv::load(weights, "encoder.conv_out", conv_out)?,
        })
    }

    /// `[n, 3, h, w]` to `[n, z, h/8, w/8]`.
    fn forward(&self, pixels: &Tensor) -> Tensor {
        let x = self.conv_in.forward(pixels);
        let x = self.levels.iter().fold(x, |x, level| level.forward(&x));
        let x = self.middle.forward(&x, &());
        self.conv_out.forward(&swish(&self.norm_out.forward(&x, &())))
    }
}

impl Level {
    fn load<E>(
        weights: &mut Weights<'_, E>,
        config: &VisionConfig,
        level: usize,
    ) -> Result<Self, E> {
        let name = format!("encoder.down.{level}");
        let out = config.channels(level);
        let attends = config.attn_resolutions.contains(&level);
        let count = (config.num_res_blocks, attends);
        let blocks = Blocks::load(weights, &name, [config.channels_in(level), out, 0], count)?;
        let is_last = level + 1 == config.ch_mult.len();
        let halving = (!is_last)
            .then(|| Conv::load(weights, &format!("{name}.downsample.conv"), [out, out, 3]))
            .transpose()?;
        Ok(Self { blocks, halving })
    }

    /// `[n, in, h, w]` to `[n, out, h/2, w/2]`, or unchanged sides at the last level.
    fn forward(&self, x: &Tensor) -> Tensor {
        let x = self.blocks.forward(x, &());
        match &self.halving {
            Some(conv) => conv.forward_halving(&x),
            None => x,
        }
    }
}

#[cfg(test)]
#[path = "encoder_tests.rs"]
mod tests;
