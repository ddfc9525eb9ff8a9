//! From what was typed about the model to how its checkpoint is opened.

use anyhow::Result;
use udvla_policies::udvla::sampler::Sampler;
use udvla_policies::udvla::{
    Attention, CheckpointError, Decoding, PrefixCache, Target, UdVlaOptions,
};

use crate::cli::{DecodingName, ModelArguments, PrefixCacheName, SamplerName};
use crate::exit::Refused;

/// How the checkpoint is opened for a benchmark.
///
/// # Errors
/// [`Refused`] for a mask that does not exist, or an option that belongs to another way of
/// decoding than the one asked for.
pub fn options(arguments: &ModelArguments, benchmark: &str) -> Result<UdVlaOptions> {
    let attention = arguments.attention.as_deref().map(str::parse::<Attention>).transpose();
    let target = arguments.target.as_deref().map(str::parse::<Target>).transpose();
    Ok(UdVlaOptions {
        benchmark: benchmark.to_owned(),
        layout: arguments.layout.clone(),
        device: arguments.device.clone(),
        dtype: arguments.dtype.clone(),
        denoise_steps: arguments.denoise_steps,
        attention: attention.map_err(Refused::new)?,
        target: target.map_err(Refused::new)?,
        decoding: decoding(arguments)?,
        prefix_cache: match arguments.prefix_cache {
            PrefixCacheName::Exact => PrefixCache::Exact,
            PrefixCacheName::Approximate => PrefixCache::Approximate,
        },
        futures: false,
    })
}

/// The error of a checkpoint with what to do about it.
pub fn refused(text: impl Into<String>, error: CheckpointError) -> Refused {
    let hint = error.hint().unwrap_or_else(|| "docs/checkpoint.md says what belongs where".into());
    Refused::new(text).because(error).hint(hint)
}

/// How a chunk is generated.
fn decoding(arguments: &ModelArguments) -> Result<Decoding> {
    let stray = |option: &str, of: &str, given: bool| match given {
        true => Err(Refused::new(format!("`{option}` goes with `{of}` only"))),
        false => Ok(()),
    };
    let ModelArguments { sampler, temperature, action_steps, jacobi_cap, .. } = *arguments;
    let name = arguments.decoding;
    let paper = sampler == Some(SamplerName::Paper);
    stray("--sampler paper", "--decoding jd3p", paper && name != DecodingName::Jd3p)?;
    let sequential = matches!(name, DecodingName::Ar | DecodingName::Jacobi);
    stray("--sampler", "--decoding jd3p", sampler.is_some() && sequential)?;
    let steps = arguments.denoise_steps.is_some();
    stray("--denoise-steps", "--decoding jd3p` or `id", steps && sequential)?;
    stray("--temperature", "--sampler paper", temperature.is_some() && !paper)?;
    let stages = name == DecodingName::Id;
    stray("--action-steps", "--decoding id", action_steps.is_some() && !stages)?;
    let iterated = name == DecodingName::Jacobi;
    stray("--jacobi-cap", "--decoding jacobi", jacobi_cap.is_some() && !iterated)?;
    Ok(match (name, temperature) {
        (DecodingName::Jd3p, Some(temperature)) => {
            Decoding::Jd3p { sampler: Sampler::Paper { temperature } }
        }
        (DecodingName::Jd3p, None) if paper => {
            return Err(Refused::new("`--sampler paper` needs `--temperature T`")
                .hint("the paper names no temperature; 1 draws from the model's own distribution, 0 takes the most probable id")
                .into());
        }
        (DecodingName::Jd3p, None) => Decoding::default(),
        (DecodingName::Id, _) => Decoding::Independent { action_steps },
        (DecodingName::Ar, _) => Decoding::Autoregressive,
        (DecodingName::Jacobi, _) => Decoding::Jacobi { cap: jacobi_cap.map(usize::from) },
    })
}
