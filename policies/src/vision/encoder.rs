//! The MoVQ encoder: a picture to its grid of codes.
//!
//! A picture goes through four levels of residual blocks, each half as wide as the one before,
//! then through a short stack along time that makes one latent picture of four frames, and each
//! of its vectors takes the nearest code of the book.
//!
//! Source: `modeling_emu3visionvq.py` of the Emu3 release, which gives the names as well.

use tch::Tensor;

use super::config::VisionConfig;
use super::decoder::VisionDecoder;
use super::layers::{
    Attention, Conv, GroupNorm, Norm, ResidualBlock, WeightSource, Weights, swish,
};
use super::quantizer::Codebook;
use super::time::{CausalConv, TimeBlock};

/// Turns pictures into codes.
pub struct VisionTokenizer {
    pictures: PictureStack,
    halvings: Vec<CausalConv>,
    time_blocks: Vec<TimeBlock>,
    quant_conv: CausalConv,
    codebook: Codebook,
    /// How often a picture is repeated to make a clip.
    frames: i64,
    pixels_per_code: i64,
}

impl VisionTokenizer {
    /// Takes the encoder's weights from `get`, which is asked for a name and a shape and
    /// answers with a tensor of that shape, in the type and on the device to compute with (f32
    /// as released; all of one type).
    ///
    /// # Errors
    /// The first error of `get`.
    pub fn load<E>(config: &VisionConfig, get: &mut WeightSource<'_, E>) -> Result<Self, E> {
        let weights = &mut Weights { get };
        let z = config.z_channels;
        let pictures = PictureStack::load(weights, config)?;
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
            pictures,
            halvings,
            time_blocks,
            quant_conv,
            codebook,
            frames: config.temporal_downsample_factor,
            pixels_per_code: config.pixels_per_code(),
        })
    }

    /// Names and shapes of all tensors of a checkpoint: parameters of encoder, decoder and
    /// book, and the buffers of their normalisations.
    ///
    /// [`Self::load`] asks for some of these; `num_batches_tracked`, a count in i64 without
    /// dimensions, is in a checkpoint but never asked for.
    pub fn parameters(config: &VisionConfig) -> Vec<(String, Vec<i64>)> {
        let mut asked: Vec<(String, Vec<i64>)> = Vec::new();
        let mut record = |name: &str, shape: &[i64]| {
            if !asked.iter().any(|(other, _)| other == name) {
                asked.push((name.to_owned(), shape.to_vec()));
            }
            if let Some(norm) = name.strip_suffix(".running_var") {
                asked.push((format!("{norm}.num_batches_tracked"), vec![]));
            }
            // One number, seen as many: the sizes may be those of a real checkpoint.
            Ok::<_, std::convert::Infallible>(Tensor::from(0_f32).expand(shape, false))
        };
        let Ok(_) = Self::load(config, &mut record);
        let Ok(_) = VisionDecoder::load(config, &mut record);
        asked
    }

    /// The codes of pictures, `[b, 3, h, w]` in -1..=1 to `[b, h/8, w/8]` i64.
    ///
    /// Pictures are encoded one by one, as released, so that a picture's codes do not depend on
    /// what is beside it.
    ///
    /// # Panics
    /// If the shape is another, or a side is not a multiple of
    /// [`pixels_per_code`](VisionConfig::pixels_per_code).
    pub fn encode(&self, pixels: &Tensor) -> Tensor {
        let (_, _, h, w) = pixels.size4().expect("pictures have four dimensions");
        let side = self.pixels_per_code;
        assert!(h % side == 0 && w % side == 0, "{h} x {w} pixels are no grid of {side} x {side}");
        let codes = |picture: &Tensor| self.codebook.codes(&self.latent(picture)).squeeze_dim(1);
        let codes: Vec<Tensor> = pixels.split(1, 0).iter().map(codes).collect();
        Tensor::cat(&codes, 0)
    }

    /// What is compared with the book, `[b, 3, h, w]` to `[b, d, 1, h/8, w/8]`.
    ///
    /// The model was made for clips, so a picture stands for a clip of equal frames. What comes
    /// before the layers along time sees each frame alone and is done once.
    pub(crate) fn latent(&self, pixels: &Tensor) -> Tensor {
        let features = self.pictures.forward(pixels).unsqueeze(2); // [b, z, 1, h, w]
        self.along_time(&features.expand([-1, -1, self.frames, -1, -1], false))
    }

    /// The smallest gap, over the vectors of a latent, between the distances to the nearest code
    /// and to the second nearest.
    pub(crate) fn margin(&self, latent: &Tensor) -> f64 {
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

/// The encoder's layers that see one frame alone.
struct PictureStack {
    conv_in: Conv,
    levels: Vec<Level>,
    middle: Middle<GroupNorm>,
    norm_out: GroupNorm,
    conv_out: Conv,
}

/// The blocks of one width.
struct Level {
    blocks: Vec<(ResidualBlock<GroupNorm>, Option<Attention<GroupNorm>>)>,
    /// To half the width; the last level has none.
    halving: Option<Conv>,
}

impl PictureStack {
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
        let mut blocks = Vec::new();
        for i in 0..config.num_res_blocks {
            let inputs = if i == 0 { config.channels_in(level) } else { out };
            let block = format!("{name}.block.{i}");
            let block = ResidualBlock::load(weights, &block, [inputs, out, 0])?;
            let attends = config.attn_resolutions.contains(&level);
            let attention = attends
                .then(|| Attention::load(weights, &format!("{name}.attn.{i}"), [out, 0]))
                .transpose()?;
            blocks.push((block, attention));
        }
        let is_last = level + 1 == config.ch_mult.len();
        let halving = (!is_last)
            .then(|| Conv::load(weights, &format!("{name}.downsample.conv"), [out, out, 3]))
            .transpose()?;
        Ok(Self { blocks, halving })
    }

    /// `[n, in, h, w]` to `[n, out, h/2, w/2]`, or the same sides at the last level.
    fn forward(&self, x: &Tensor) -> Tensor {
        let mut x = x.shallow_clone();
        for (block, attention) in &self.blocks {
            x = block.forward(&x, &());
            if let Some(attention) = attention {
                x = attention.forward(&x, &());
            }
        }
        match &self.halving {
            Some(conv) => conv.forward_halving(&x),
            None => x,
        }
    }
}

/// The blocks at the narrowest point.
pub(super) struct Middle<N> {
    blocks: [ResidualBlock<N>; 2],
    attention: Attention<N>,
}

impl<N: Norm> Middle<N> {
    pub(super) fn load<E>(
        weights: &mut Weights<'_, E>,
        name: &str,
        [channels, guide]: [i64; 2],
    ) -> Result<Self, E> {
        let mut block = |i| {
            ResidualBlock::load(weights, &format!("{name}.block_{i}"), [channels, channels, guide])
        };
        let blocks = [block(1)?, block(2)?];
        let attention = Attention::load(weights, &format!("{name}.attn_1"), [channels, guide])?;
        Ok(Self { blocks, attention })
    }

    /// Keeps the shape of `x`, `[n, c, h, w]`.
    pub(super) fn forward(&self, x: &Tensor, guide: &N::Guide) -> Tensor {
        let x = self.blocks[0].forward(x, guide);
        let x = self.attention.forward(&x, guide);
        self.blocks[1].forward(&x, guide)
    }
}

#[cfg(test)]
#[path = "encoder_tests.rs"]
mod tests;
