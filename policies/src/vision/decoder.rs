//! The MoVQ decoder: a grid of codes to an image. For display only; no result depends on it.
//!
//! Source: `modeling_emu3visionvq.py` of the Emu3 release, also for the names of weights.

use tch::Tensor;

use super::config::VisionConfig;
use super::layers::{Blocks, Conv, Middle, Norm, SpatialNorm, TensorLoader, Weights, swish};
use super::quantizer::Codebook;
use super::time::{CausalConv, TimeBlock};

/// Decodes codes to images.
pub struct VisionDecoder {
    codebook: Codebook,
    post_quant_conv: CausalConv,
    time_blocks: Vec<TimeBlock>,
    doublings: Vec<CausalConv>,
    conv_in: Conv,
    middle: Middle<SpatialNorm>,
    /// From the smallest to the largest resolution.
    levels: Vec<Level>,
    norm_out: SpatialNorm,
    conv_out: Conv,
}

impl VisionDecoder {
    /// Loads the decoder's weights, as [`VisionTokenizer::load`](super::VisionTokenizer::load).
    pub fn load<E>(config: &VisionConfig, get: &mut TensorLoader<'_, E>) -> Result<Self, E> {
        let weights = &mut Weights { get };
        let (z, guide, deepest) = (config.z_channels, config.embed_dim, config.deepest());
        Ok(Self {
            codebook: Codebook::load(weights, [config.codebook_size, guide])?,
            post_quant_conv: CausalConv::load(weights, "post_quant_conv", [z, guide], [3, 1])?,
            time_blocks: (0..config.num_res_blocks)
                .map(|i| TimeBlock::load(weights, &format!("decoder.time_res_stack.{i}"), z))
                .collect::<Result<_, E>>()?,
            doublings: (0..config.time_halvings())
                .map(|i| format!("decoder.time_conv.{i}.conv"))
                .map(|name| CausalConv::load(weights, &name, [z, z], [3, 3]))
                .collect::<Result<_, E>>()?,
            conv_in: Conv::load(weights, "decoder.conv_in", [deepest, z, 3])?,
            middle: Middle::load(weights, "decoder.mid", [deepest, guide])?,
            levels: (0..config.ch_mult.len())
                .rev()
                .map(|level| Level::load(weights, config, level))
                .collect::<Result<_, E>>()?,
            norm_out: SpatialNorm::load(weights, "decoder.norm_out", config.channels(0), guide)?,
            conv_out: Conv::load(
                weights,
                "decoder.conv_out",
                [config.out_channels, config.channels(0), 3],
            )?,
        })
    }

    /// Decodes codes, `[b, h, w]` i64 to `[b, 3, 8h, 8w]`, nominally in -1..=1.
    ///
    /// Codes represent four frames. The first is returned, and only that one goes through the
    /// per-frame layers.
    ///
    /// # Panics
    /// If a code is not in the codebook or the shape is wrong.
    pub fn decode(&self, codes: &Tensor) -> Tensor {
        self.decode_vectors(&self.codebook.vectors(&codes.unsqueeze(1)))
    }

    /// As [`VisionDecoder::decode`], of the codes' vectors `[b, d, 1, h, w]`.
    pub(crate) fn decode_vectors(&self, guide: &Tensor) -> Tensor {
        let latent = self.along_time(&self.post_quant_conv.forward(guide));
        let (latent, guide) = (latent.select(2, 0), self.along_time(guide).select(2, 0));
        let x = self.middle.forward(&self.conv_in.forward(&latent), &guide);
        let x = self.levels.iter().fold(x, |x, level| level.forward(&x, &guide));
        self.conv_out.forward(&swish(&self.norm_out.forward(&x, &guide)))
    }

    /// `[b, z, 1, h, w]` to the four frames `[b, z, 4, h, w]`.
    fn along_time(&self, x: &Tensor) -> Tensor {
        let x = self.time_blocks.iter().fold(x.shallow_clone(), |x, block| block.forward(&x));
        let double = |x: Tensor, conv: &CausalConv| {
            swish(&conv.forward(&x.repeat_interleave_self_int(2, 2, None)))
        };
        self.doublings.iter().fold(x, double)
    }
}

/// The blocks of one resolution.
struct Level {
    blocks: Blocks<SpatialNorm>,
    /// Doubles the resolution; the largest level has none.
    doubling: Option<Conv>,
}

impl Level {
    fn load<E>(
        weights: &mut Weights<'_, E>,
        config: &VisionConfig,
        level: usize,
    ) -> Result<Self, E> {
        let name = format!("decoder.up.{level}");
        let out = config.channels(level);
        let inputs = config.channels((level + 1).min(config.ch_mult.len() - 1));
        let attends = config.attn_resolutions.contains(&level);
        let count = (config.num_res_blocks + 1, attends);
        let blocks = Blocks::load(weights, &name, [inputs, out, config.embed_dim], count)?;
        let doubling = (level > 0)
            .then(|| Conv::load(weights, &format!("{name}.upsample.conv"), [out, out, 3]))
            .transpose()?;
        Ok(Self { blocks, doubling })
    }

    /// `[n, in, h, w]` to `[n, out, 2h, 2w]`, or unchanged sides at the largest level.
    fn forward(&self, x: &Tensor, guide: &Tensor) -> Tensor {
        let x = self.blocks.forward(x, guide);
        match &self.doubling {
            Some(conv) => conv.forward_doubling(&x),
            None => x,
        }
    }
}
