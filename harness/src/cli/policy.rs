//! Arguments of the model under test, the same wherever it is opened.

use clap::{Args, ValueEnum};

/// How a checkpoint is opened and how it decodes.
#[derive(Debug, Clone, Args)]
pub struct ModelArguments {
    /// Where the policy runs: auto, cpu, cuda:N
    #[arg(long, default_value = "auto", value_name = "DEVICE")]
    pub device: String,
    /// Number format of the weights: f32, bf16, f16, f64 [bf16 on CUDA, f32 on a processor]
    #[arg(long, value_name = "DTYPE")]
    pub dtype: Option<String>,
    /// Another of the checkpoint's layouts for the benchmark: `paper` is its entry
    /// `BENCHMARK-paper` [the entry BENCHMARK]
    #[arg(long, value_name = "NAME")]
    pub layout: Option<String>,
    /// Denoising steps per action chunk [the checkpoint's; 64 of `--decoding id`]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub denoise_steps: Option<u16>,
    /// How a chunk is generated
    #[arg(long, value_enum, default_value_t = DecodingName::Jd3p)]
    pub decoding: DecodingName,
    /// Sampler of `--decoding jd3p` [released]
    #[arg(long, value_enum, value_name = "SAMPLER")]
    pub sampler: Option<SamplerName>,
    /// Temperature that `--sampler paper` draws ids at; 0 takes the most probable one
    #[arg(long, value_name = "T", value_parser = temperature)]
    pub temperature: Option<f64>,
    /// Steps of the action stage of `--decoding id`, whose image stage takes --denoise-steps
    /// [64 and 28]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub action_steps: Option<u16>,
    /// Iterations after which `--decoding jacobi` takes 64 ids as they are [none]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub jacobi_cap: Option<u16>,
    /// Attention mask: released, hybrid, released-bidirectional, causal [the checkpoint's]
    #[arg(long, value_name = "MASK")]
    pub attention: Option<String>,
    /// What the generated views must show: future, current, null (none are generated); another
    /// target than the checkpoint's is refused [the checkpoint's]
    #[arg(long, value_name = "TARGET", value_parser = ["future", "current", "null"])]
    pub target: Option<String>,
    /// What of a prompt is computed once and not in every step
    #[arg(long, value_enum, default_value_t = PrefixCacheName::Exact, value_name = "CACHE")]
    pub prefix_cache: PrefixCacheName,
}

/// Ways to generate a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DecodingName {
    /// Future views and actions denoised together
    Jd3p,
    /// Independent diffusion: future views denoised first, then actions
    Id,
    /// Autoregressive decoding by parallel iteration; needs causal attention
    Jacobi,
    /// One id after the other; needs causal attention
    Ar,
}

/// Samplers of denoising steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SamplerName {
    /// What the released code does
    Released,
    /// What the paper's equations say
    Paper,
}

/// Ways to cache the prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PrefixCacheName {
    /// What no step can change: nothing but the time differs
    Exact,
    /// The whole prompt under attention `released`: other results, marked as approximate
    Approximate,
}

fn temperature(text: &str) -> Result<f64, String> {
    let temperature: f64 = text.parse().map_err(|_| "expected a number")?;
    let fine = (0.0..=1000.0).contains(&temperature);
    fine.then_some(temperature).ok_or_else(|| "expected 0 to 1000".into())
}
