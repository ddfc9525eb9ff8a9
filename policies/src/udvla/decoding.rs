//! The four ways to generate a block, as a choice.

use super::attention::Attention;
use super::generator::PrefixCache;
use super::independent::{Independent, RELEASED_STEPS};
use super::jd3p::{Jd3p, Step};
use super::noise::Noise;
use super::prompt::{Block, Prompt, Target};
use super::sampler::{Rules, Sampler};
use super::sampling::DecodeError;
use super::sequential::{Iterated, Jacobi, Sequential};

/// A generated block.
#[derive(Debug)]
pub(super) struct Decoded {
    /// Its ids; from left to right they end with the end of actions.
    pub ids: Vec<i64>,
    /// Stretches that the cap of Jacobi decoding stopped before their fixed point.
    pub stopped: usize,
}

/// How a block is generated.
///
/// Source: the rows of the paper's Table 7.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Decoding {
    /// Future views and actions denoised together.
    Jd3p {
        /// How ids are drawn and kept.
        sampler: Sampler,
    },
    /// Future views denoised first, then actions, by the released sampler.
    Independent {
        /// Steps of the action stage; without them the released script's.
        action_steps: Option<u16>,
    },
    /// One id after the other, the most probable each.
    Autoregressive,
    /// The same ids by parallel iteration.
    Jacobi {
        /// Iterations after which a stretch is taken as it is; without one none is.
        cap: Option<usize>,
    },
}

impl Default for Decoding {
    fn default() -> Self {
        Self::Jd3p { sampler: Sampler::Released }
    }
}

impl Decoding {
    /// Its name on the command line and in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Jd3p { .. } => "jd3p",
            Self::Independent { .. } => "id",
            Self::Autoregressive => "ar",
            Self::Jacobi { .. } => "jacobi",
        }
    }

    /// Whether it goes from left to right, and so needs causal attention and takes no steps.
    pub fn is_sequential(self) -> bool {
        matches!(self, Self::Autoregressive | Self::Jacobi { .. })
    }

    /// Its (first) denoising steps: those asked for, or else its default; none when it takes none.
    /// `checkpoint` are the steps that the checkpoint suggests for joint decoding.
    ///
    /// # Errors
    /// A choice that makes no sense, in words.
    pub fn steps(
        self,
        asked: Option<u16>,
        checkpoint: u16,
        target: Target,
    ) -> Result<Option<u16>, String> {
        let name = self.name();
        match self {
            Self::Independent { .. } if asked.is_some() && !target.has_views() => Err(format!(
                "with target `{target}` there is no image stage for denoising steps; action steps \
                 are those of the action stage"
            )),
            Self::Jd3p { sampler: Sampler::Paper { temperature } }
                if !(temperature.is_finite() && temperature >= 0.0) =>
            {
                Err(format!("a sampling temperature of {temperature} is not a number from 0 on"))
            }
            Self::Independent { action_steps: Some(0) } => Err("action steps of 0".into()),
            Self::Jacobi { cap: Some(0) } => Err("a cap of 0 iterations".into()),
            Self::Jd3p { .. } => Ok(Some(asked.unwrap_or(checkpoint))),
            Self::Independent { .. } if !target.has_views() => Ok(None),
            Self::Independent { .. } => Ok(Some(asked.unwrap_or(RELEASED_STEPS[0]))),
            Self::Autoregressive | Self::Jacobi { .. } => match asked {
                Some(_) => Err(format!("decoding `{name}` has no denoising steps")),
                None => Ok(None),
            },
        }
    }

    /// Whether weights that were trained under `attention` can be decoded this way.
    ///
    /// # Errors
    /// They cannot, in words.
    pub fn fits(self, attention: Attention, cache: PrefixCache) -> Result<(), String> {
        if cache == PrefixCache::Approximate && !matches!(self, Self::Jd3p { .. }) {
            return Err(format!("decoding `{}` has no approximate prefix cache", self.name()));
        }
        if cache == PrefixCache::Approximate && attention != Attention::Released {
            return Err(format!(
                "the approximate prefix cache is for attention `released`; under `{attention}` \
                 leave it out: what can be cached exactly is"
            ));
        }
        if self.is_sequential() && attention != Attention::Causal {
            return Err(format!(
                "decoding `{}` goes from left to right and needs attention `causal`, not \
                 `{attention}`",
                self.name()
            ));
        }
        Ok(())
    }

    /// What a run's subject says of it, besides the attention.
    pub(super) fn subject(self, steps: Option<u16>) -> Vec<(&'static str, String)> {
        let mut subject = vec![("decoding", self.name().to_owned())];
        subject.extend(steps.map(|steps| ("denoise_steps", steps.to_string())));
        match self {
            Self::Jd3p { sampler } => {
                subject.push(("sampler", sampler.name().into()));
                if let Sampler::Paper { temperature } = sampler {
                    subject.push(("temperature", temperature.to_string()));
                }
            }
            Self::Independent { .. } => {
                subject.push(("sampler", Sampler::Released.name().into()));
                subject.push(("action_steps", self.action_steps().to_string()));
            }
            Self::Autoregressive => {}
            Self::Jacobi { cap } => {
                subject.push(("jacobi_stretch", Jacobi::default().stretch.to_string()));
                subject.extend(cap.map(|cap| ("jacobi_cap", cap.to_string())));
            }
        }
        subject
    }

    /// The rules of its denoising steps.
    pub(super) fn rules(self) -> Rules {
        match self {
            Self::Jd3p { sampler } => Rules::joint(sampler),
            Self::Independent { .. } | Self::Autoregressive | Self::Jacobi { .. } => {
                Rules::default()
            }
        }
    }

    /// Fills `block` behind `prompt` with what `parts` holds; `watch` sees denoising steps, of
    /// independent diffusion with positions that count from their stage's first.
    pub(super) fn decode(
        self,
        parts: &Jd3p<'_>,
        (prompt, block): (&Prompt, &Block),
        noise: &dyn Noise,
        watch: &mut dyn FnMut(&Step),
    ) -> Result<Decoded, DecodeError> {
        let sequential = Sequential { generator: parts.generator };
        let ids = match self {
            Self::Jd3p { .. } => parts.decode(prompt, block, noise, watch)?,
            Self::Independent { .. } => {
                let action_steps = self.action_steps();
                let decoding = Independent { image: *parts, action_steps };
                decoding.decode(prompt, block, noise, &mut |_, step| watch(step))?
            }
            Self::Autoregressive => sequential.autoregressive(prompt, block)?,
            Self::Jacobi { cap } => {
                let jacobi = Jacobi { cap, ..Jacobi::default() };
                let Iterated { ids, stopped, .. } =
                    sequential.jacobi(prompt, block, noise, jacobi)?;
                return Ok(Decoded { ids, stopped });
            }
        };
        Ok(Decoded { ids, stopped: 0 })
    }

    fn action_steps(self) -> u16 {
        match self {
            Self::Independent { action_steps: Some(steps) } => steps,
            Self::Independent { action_steps: None }
            | Self::Jd3p { .. }
            | Self::Autoregressive
            | Self::Jacobi { .. } => RELEASED_STEPS[1],
        }
    }
}
