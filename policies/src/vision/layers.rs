//! Layers of encoder and decoder.
//!
//! Source: `modeling_emu3visionvq.py` of the Emu3 release, also for the names of weights.

use tch::Tensor;

use super::GROUPS;

/// Returns the tensor of a name and shape, in the number format and on the device to compute with.
pub type TensorLoader<'a, E> = dyn FnMut(&str, &[i64]) -> Result<Tensor, E> + 'a;

/// Source of the layers' weights.
pub(super) struct Weights<'a, E> {
    pub(super) get: &'a mut TensorLoader<'a, E>,
}

impl<E> Weights<'_, E> {
    /// `{name}.weight` of `shape` and `{name}.bias` of its first dimension.
    pub(super) fn pair(&mut self, name: &str, shape: &[i64]) -> Result<(Tensor, Tensor), E> {
        let weight = (self.get)(&format!("{name}.weight"), shape)?;
        Ok((weight, (self.get)(&format!("{name}.bias"), &shape[..1])?))
    }
}

/// `x * sigmoid(x)`, as written in the release: the fused operation rounds differently.
pub(super) fn swish(x: &Tensor) -> Tensor {
    x * x.sigmoid()
}

/// A convolution that keeps height and width.
pub(super) struct Conv {
    weight: Tensor, // [out, in, k, k]
    bias: Tensor,   // [out]
}

impl Conv {
    pub(super) fn load<E>(
        weights: &mut Weights<'_, E>,
        name: &str,
        [out, inputs, kernel]: [i64; 3],
    ) -> Result<Self, E> {
        let (weight, bias) = weights.pair(name, &[out, inputs, kernel, kernel])?;
        Ok(Self { weight, bias })
    }

    /// `[n, in, h, w]` to `[n, out, h, w]`.
    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        let around = self.weight.size()[2] / 2;
        x.conv2d(&self.weight, Some(&self.bias), [1, 1], [around, around], [1, 1], 1)
    }

    /// `[n, in, h, w]` to `[n, out, h/2, w/2]`: every second position, with zero
    /// padding of 1 after, not before, each row and column.
    pub(super) fn forward_halving(&self, x: &Tensor) -> Tensor {
        let padded = x.constant_pad_nd([0, 1, 0, 1]);
        padded.conv2d(&self.weight, Some(&self.bias), [2, 2], [0, 0], [1, 1], 1)
    }

    /// `[n, in, h, w]` to `[n, out, 2h, 2w]`: every pixel doubled, then the convolution.
    pub(super) fn forward_doubling(&self, x: &Tensor) -> Tensor {
        let (_, _, h, w) = x.size4().expect("four dimensions");
        self.forward(&x.upsample_nearest2d([2 * h, 2 * w], None, None))
    }
}

/// A normalization of feature maps, possibly conditioned on a second one.
pub(super) trait Norm: Sized {
    /// What it is conditioned on.
    type Guide;

    fn load<E>(
        weights: &mut Weights<'_, E>,
        name: &str,
        channels: i64,
        guide: i64,
    ) -> Result<Self, E>;

    /// Keeps the shape of `x`, `[n, c, h, w]`.
    fn forward(&self, x: &Tensor, guide: &Self::Guide) -> Tensor;
}

/// Group normalization with 32 groups.
pub(super) struct GroupNorm {
    weight: Tensor, // [c]
    bias: Tensor,   // [c]
}

impl Norm for GroupNorm {
    type Guide = ();

    fn load<E>(weights: &mut Weights<'_, E>, name: &str, channels: i64, _: i64) -> Result<Self, E> {
        let (weight, bias) = weights.pair(name, &[channels])?;
        Ok(Self { weight, bias })
    }

    fn forward(&self, x: &Tensor, (): &()) -> Tensor {
        x.group_norm(GROUPS, Some(&self.weight), Some(&self.bias), 1e-6, true)
    }
}

/// Group normalization, scaled and shifted per pixel by the vectors of the codes.
pub(super) struct SpatialNorm {
    norm: GroupNorm,
    scale: Conv,
    shift: Conv,
}

impl Norm for SpatialNorm {
    /// The codes' vectors, `[n, guide, h', w']`, of any height and width.
    type Guide = Tensor;

    fn load<E>(
        weights: &mut Weights<'_, E>,
        name: &str,
        channels: i64,
        guide: i64,
    ) -> Result<Self, E> {
        Ok(Self {
            norm: GroupNorm::load(weights, &format!("{name}.norm_layer"), channels, guide)?,
            scale: Conv::load(weights, &format!("{name}.conv_y"), [channels, guide, 1])?,
            shift: Conv::load(weights, &format!("{name}.conv_b"), [channels, guide, 1])?,
        })
    }

    fn forward(&self, x: &Tensor, guide: &Tensor) -> Tensor {
        let (_, _, h, w) = x.size4().expect("four dimensions");
        let guide = guide.upsample_nearest2d([h, w], None, None);
        self.norm.forward(x, &()) * self.scale.forward(&guide) + self.shift.forward(&guide)
    }
}

/// Two normalized convolutions with a skip connection.
pub(super) struct ResidualBlock<N> {
    norms: [N; 2],
    convs: [Conv; 2],
    /// The skip connection if the number of channels changes.
    shortcut: Option<Conv>,
}

impl<N: Norm> ResidualBlock<N> {
    pub(super) fn load<E>(
        weights: &mut Weights<'_, E>,
        name: &str,
        [inputs, out, guide]: [i64; 3],
    ) -> Result<Self, E> {
        let norms = [
            N::load(weights, &format!("{name}.norm1"), inputs, guide)?,
            N::load(weights, &format!("{name}.norm2"), out, guide)?,
        ];
        let convs = [
            Conv::load(weights, &format!("{name}.conv1"), [out, inputs, 3])?,
            Conv::load(weights, &format!("{name}.conv2"), [out, out, 3])?,
        ];
        let direct = || Conv::load(weights, &format!("{name}.nin_shortcut"), [out, inputs, 1]);
        let shortcut = (inputs != out).then(direct).transpose()?;
        Ok(Self { norms, convs, shortcut })
    }

    /// `[n, in, h, w]` to `[n, out, h, w]`.
    pub(super) fn forward(&self, x: &Tensor, guide: &N::Guide) -> Tensor {
        let inner = self.convs[0].forward(&swish(&self.norms[0].forward(x, guide)));
        let inner = self.convs[1].forward(&swish(&self.norms[1].forward(&inner, guide)));
        match &self.shortcut {
            Some(conv) => conv.forward(x) + inner,
            None => x + inner,
        }
    }
}

/// Single-head attention between all pixels, with a skip connection.
pub(super) struct Attention<N> {
    norm: N,
    query: Conv,
    key: Conv,
    value: Conv,
    out: Conv,
}

impl<N: Norm> Attention<N> {
    pub(super) fn load<E>(
        weights: &mut Weights<'_, E>,
        name: &str,
        [channels, guide]: [i64; 2],
    ) -> Result<Self, E> {
        let norm = N::load(weights, &format!("{name}.norm"), channels, guide)?;
        let mut conv =
            |part: &str| Conv::load(weights, &format!("{name}.{part}"), [channels, channels, 1]);
        Ok(Self {
            norm,
            query: conv("q")?,
            key: conv("k")?,
            value: conv("v")?,
            out: conv("proj_out")?,
        })
    }

    /// Keeps the shape of `x`, `[n, c, h, w]`.
    pub(super) fn forward(&self, x: &Tensor, guide: &N::Guide) -> Tensor {
        let (n, c, h, w) = x.size4().expect("four dimensions");
        let normed = self.norm.forward(x, guide);
        let flat = |conv: &Conv| conv.forward(&normed).reshape([n, c, h * w]);
        let scores = flat(&self.query).transpose(1, 2).bmm(&flat(&self.key)); // [n, hw, hw]
        let shares = (scores * (c as f64).powf(-0.5)).softmax(2, None);
        let mixed = flat(&self.value).bmm(&shares.transpose(1, 2)); // [n, c, hw]
        x + self.out.forward(&mixed.reshape([n, c, h, w]))
    }
}

/// Residual blocks of one resolution, each followed by attention or none.
pub(super) struct Blocks<N>(Vec<(ResidualBlock<N>, Option<Attention<N>>)>);

impl<N: Norm> Blocks<N> {
    /// Loads `count` blocks, with attention if `attends`; the first has `inputs` channels.
    pub(super) fn load<E>(
        weights: &mut Weights<'_, E>,
        name: &str,
        [inputs, out, guide]: [i64; 3],
        (count, attends): (usize, bool),
    ) -> Result<Self, E> {
        let load = |i| {
            let shape = [if i == 0 { inputs } else { out }, out, guide];
            let block = ResidualBlock::load(weights, &format!("{name}.block.{i}"), shape)?;
            let attention = match attends {
                true => Some(Attention::load(weights, &format!("{name}.attn.{i}"), [out, guide])?),
                false => None,
            };
            Ok((block, attention))
        };
        (0..count).map(load).collect::<Result<_, E>>().map(Self)
    }

    /// `[n, in, h, w]` to `[n, out, h, w]`.
    pub(super) fn forward(&self, x: &Tensor, guide: &N::Guide) -> Tensor {
        self.0.iter().fold(x.shallow_clone(), |x, (block, attention)| {
            let x = block.forward(&x, guide);
            match attention {
                Some(attention) => attention.forward(&x, guide),
                None => x,
            }
        })
    }
}

/// The blocks at the lowest resolution.
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
