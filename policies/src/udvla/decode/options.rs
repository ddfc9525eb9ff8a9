//! Decoders by name, and the options that choose and configure one.

use std::fmt;

use serde::{Deserialize, Serialize};
use udvla_sims::identity::Subject;

use super::decoder::Decoder;
use super::generator::PrefixCache;
use super::sampler::Sampler;
use crate::udvla::checkpoint::{Attention, Benchmark, Checkpoint, Target};

/// Opens a decoder, or says what is wrong with its options; also writes the decoder's settings
/// into the subject.
pub(super) type Open =
    fn(&DecodingOptions, &DecodingDefaults, &mut Subject) -> Result<Box<dyn Decoder>, String>;

/// A decoder by name.
#[derive(Debug, Clone, Copy)]
pub struct DecoderKind {
    /// Name on the command line and in records.
    pub name: &'static str,
    /// One line for help texts.
    pub summary: &'static str,
    /// Whether it decodes from left to right. It then needs causal attention and generates the
    /// images' begin and end marks too.
    pub left_to_right: bool,
    /// Whether it works with [`PrefixCache::Approximate`].
    pub approximate_cache: bool,
    /// Names of its options, as in [`DecodingOptions::surplus`].
    pub options: &'static [&'static str],
}

/// Options of all decoders; those that the decoder does not have are refused. `None` is the
/// decoder's default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DecodingOptions {
    /// The decoder.
    pub decoder: DecoderKind,
    /// Denoising steps, at least 1; for independent diffusion those of the image stage.
    pub denoise_steps: Option<u16>,
    /// Sampler of joint decoding.
    pub sampler: Option<Sampler>,
    /// Temperature of the paper's sampler.
    pub temperature: Option<f64>,
    /// Denoising steps of independent diffusion's action stage.
    pub action_steps: Option<u16>,
    /// Iterations after which Jacobi decoding accepts a span before its fixed point.
    pub jacobi_cap: Option<u16>,
}

/// What a decoder's defaults depend on.
#[derive(Debug, Clone, Copy)]
pub struct DecodingDefaults<'a> {
    /// The checkpoint, for decoders with weights of their own.
    pub checkpoint: &'a Checkpoint,
    /// Its settings for the benchmark.
    pub benchmark: &'a Benchmark,

    /// What the generated images show.
    pub target: Target,
}

impl DecodingOptions {
    /// The first option that is set and that the decoder does not have.
    pub fn surplus(&self) -> Option<&'static str> {
        let set = [
            ("denoising steps", self.denoise_steps.is_some()),
            ("sampler", self.sampler.is_some()),
            ("temperature", self.temperature.is_some()),
            ("action steps", self.action_steps.is_some()),
            ("cap of iterations", self.jacobi_cap.is_some()),
        ];
        let surplus = |(option, set): &(&str, bool)| *set && !self.decoder.options.contains(option);
        set.into_iter().find(surplus).map(|(option, _)| option)
    }
}

impl DecoderKind {
    /// Checks that weights trained with `attention` can be decoded this way.
    ///
    /// # Errors
    /// The decoder does not support the mask or the cache.
    pub fn check(self, attention: Attention, cache: PrefixCache) -> Result<(), String> {
        let name = self.name;
        if cache == PrefixCache::Approximate && !self.approximate_cache {
            return Err(format!("decoding `{name}` has no approximate prefix cache"));
        }
        if cache == PrefixCache::Approximate && attention != Attention::Released {
            return Err(format!(
                "the approximate prefix cache is for attention `released`; under `{attention}` \
                 leave it out: what can be cached exactly is"
            ));
        }
        if self.left_to_right && attention != Attention::Causal {
            return Err(format!(
                "decoding `{name}` goes from left to right and needs attention `causal`, not \
                 `{attention}`"
            ));
        }
        Ok(())
    }
}

impl PartialEq for DecoderKind {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for DecoderKind {}

impl fmt::Display for DecoderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
