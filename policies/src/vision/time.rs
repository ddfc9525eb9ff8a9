//! Layers over time: causal convolutions.
//!
//! Source: `modeling_emu3visionvq.py` of the Emu3 release, also for the names of weights.

use tch::Tensor;

use super::layers::{Weights, swish};

/// Zero padding before the first frame, for every kernel length.
const BEFORE: i64 = 2;

/// A convolution over time and space that keeps height and width.
pub(super) struct CausalConv {
    weight: Tensor, // [out, in, time, k, k]
    bias: Tensor,   // [out]
    /// Stride along time.
    stride: i64,
}

impl CausalConv {
    /// `[time, k]` is the kernel's extent.
    pub(super) fn load<E>(
        weights: &mut Weights<'_, E>,
        name: &str,
        [out, inputs]: [i64; 2],
        [time, kernel]: [i64; 2],
    ) -> Result<Self, E> {
        let shape = [out, inputs, time, kernel, kernel];
        let (weight, bias) = weights.pair(&format!("{name}.conv"), &shape)?;
        Ok(Self { weight, bias, stride: 1 })
    }

    /// The same weights with stride 2 along time.
    pub(super) fn halving(self) -> Self {
        Self { stride: 2, ..self }
    }

    /// `[b, in, t, h, w]` to `[b, out, t / stride, h, w]`.
    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        let around = self.weight.size()[3] / 2;
        let padded = x.constant_pad_nd([around, around, around, around, BEFORE, 0]);
        let stride = [self.stride, 1, 1];
        padded.conv3d(&self.weight, Some(&self.bias), stride, [0, 0, 0], [1, 1, 1], 1)
    }
}

/// Batch normalization with the training statistics.
struct FrozenNorm {
    weight: Tensor,   // [c]
    bias: Tensor,     // [c]
    mean: Tensor,     // [c]
    variance: Tensor, // [c]
}

impl FrozenNorm {
    fn load<E>(weights: &mut Weights<'_, E>, name: &str, channels: i64) -> Result<Self, E> {
        let (weight, bias) = weights.pair(name, &[channels])?;
        let mean = (weights.get)(&format!("{name}.running_mean"), &[channels])?;
        let variance = (weights.get)(&format!("{name}.running_var"), &[channels])?;
        Ok(Self { weight, bias, mean, variance })
    }

    /// Keeps the shape of `x`, `[b, c, t, h, w]`.
    fn forward(&self, x: &Tensor) -> Tensor {
        let (weight, bias) = (Some(&self.weight), Some(&self.bias));
        x.batch_norm(weight, bias, Some(&self.mean), Some(&self.variance), false, 0.1, 1e-5, true)
    }
}

/// Two normalized convolutions over time and space, with a skip connection.
pub(super) struct TimeBlock {
    norms: [FrozenNorm; 2],
    convs: [CausalConv; 2],
}

impl TimeBlock {
    pub(super) fn load<E>(
        weights: &mut Weights<'_, E>,
        name: &str,
        channels: i64,
    ) -> Result<Self, E> {
        let mut norm = |i| FrozenNorm::load(weights, &format!("{name}.norm{i}"), channels);
        let norms = [norm(1)?, norm(2)?];
        let mut conv =
            |i| CausalConv::load(weights, &format!("{name}.conv{i}"), [channels, channels], [3, 3]);
        Ok(Self { norms, convs: [conv(1)?, conv(2)?] })
    }

    /// Keeps the shape of `x`, `[b, c, t, h, w]`.
    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        let step = |x: Tensor, i: usize| self.convs[i].forward(&swish(&self.norms[i].forward(&x)));
        x + (0..2).fold(x.shallow_clone(), step)
    }
}
