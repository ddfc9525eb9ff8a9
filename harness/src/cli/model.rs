//! Flags of the model under test, the same wherever it is opened.

use clap::Args;
use udvla_policies::udvla::decode::DECODERS;
use udvla_policies::udvla::{
    Attention, DecoderKind, DecodingOptions, PrefixCache, Sampler, Target, UdVlaOptions,
};

use crate::exit::Refused;

/// Where the model runs, and as how many replicas.
#[derive(Debug, Clone, Args)]
pub struct DeviceArguments {
    /// Device that runs the policy: auto, cpu, cuda:N
    #[arg(long, default_value = "auto", value_name = "DEVICE")]
    pub device: String,
    /// Devices that each run a replica of the policy, for example cuda:0,cuda:1
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        conflicts_with = "device",
        hide_short_help = true
    )]
    pub devices: Vec<String>,
}

/// How the model is opened and how it decodes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Decoding")]
pub struct ModelArguments {
    /// Denoising steps per action chunk [default: the checkpoint's; 64 for `--decoding id`]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub denoise_steps: Option<u16>,
    /// How an action chunk is decoded
    #[arg(long, value_enum, default_value_t = DecoderKind::default())]
    pub decoding: DecoderKind,
    /// Attention mask [default: the checkpoint's]
    #[arg(long, value_enum, value_name = "MASK")]
    pub attention: Option<Attention>,
    /// Sampler of `--decoding jd3p` [default: the checkpoint's, mostly released]
    #[arg(long, value_enum, value_name = "SAMPLER", hide_short_help = true)]
    pub sampler: Option<Sampler>,
    /// Sampling temperature of `--sampler paper`; 0 takes the argmax
    #[arg(long, value_name = "T", value_parser = temperature, hide_short_help = true)]
    pub temperature: Option<f64>,
    /// Denoising steps of the action stage of `--decoding id` [default: 28]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..), hide_short_help = true)]
    pub action_steps: Option<u16>,
    /// Iterations after which `--decoding jacobi` accepts a block of 64 tokens as it is
    /// [default: none]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..), hide_short_help = true)]
    pub jacobi_cap: Option<u16>,
    /// What the generated images show; refused unless it is the checkpoint's
    #[arg(long, value_enum, value_name = "TARGET", hide_short_help = true)]
    pub target: Option<Target>,
    /// Which part of the prompt is cached across denoising steps
    #[arg(long, value_enum, default_value_t = PrefixCache::Exact, value_name = "CACHE", hide_short_help = true)]
    pub prefix_cache: PrefixCache,
    /// Layout of the checkpoint to use: `paper` is its entry `BENCHMARK-paper`
    /// [default: the entry BENCHMARK]
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    pub layout: Option<String>,
    /// Number format of the weights: f32, bf16, f16, f64
    /// [default: bf16 on CUDA, f32 on a processor]
    #[arg(long, value_name = "DTYPE", hide_short_help = true)]
    pub dtype: Option<String>,
}

impl ModelArguments {
    /// How the checkpoint is opened for a benchmark, on `device`.
    ///
    /// # Errors
    /// [`Refused`] for a flag of another decoder or sampler than the one asked for.
    pub fn options(&self, benchmark: &str, device: &str) -> Result<UdVlaOptions, Refused> {
        let decoding = DecodingOptions {
            decoder: self.decoding,
            denoise_steps: self.denoise_steps,
            sampler: self.sampler,
            temperature: self.temperature,
            action_steps: self.action_steps,
            jacobi_cap: self.jacobi_cap,
        };
        self.check_flags(&decoding)?;
        Ok(UdVlaOptions {
            benchmark: benchmark.to_owned(),
            layout: self.layout.clone(),
            device: device.to_owned(),
            dtype: self.dtype.clone(),
            attention: self.attention,
            target: self.target,
            decoding,
            prefix_cache: self.prefix_cache,
            futures: false,
        })
    }

    /// Refuses a flag that the chosen decoder or sampler does not have, by the flag's name.
    fn check_flags(&self, decoding: &DecodingOptions) -> Result<(), Refused> {
        let paper = self.sampler == Some(Sampler::Paper);
        let with_decoders = |flag: &str, option: &str| {
            let kinds = DECODERS.iter().filter(|kind| kind.options.contains(&option));
            let names: Vec<_> = kinds.map(|kind| kind.name).collect();
            let names = names.join("` or `");
            Err(Refused::new(format!("`{flag}` goes with `--decoding {names}` only")))
        };
        if let Some(option) = decoding.surplus() {
            return with_decoders(flag_of(option), option);
        }
        // The paper's sampler is the one with a temperature.
        if paper && !self.decoding.options.contains(&"temperature") {
            return with_decoders("--sampler paper", "temperature");
        }
        if self.temperature.is_some() && !paper {
            return Err(Refused::new("`--temperature` goes with `--sampler paper` only"));
        }
        if paper && self.temperature.is_none() {
            return Err(Refused::new("`--sampler paper` needs `--temperature T`")
                .hint("the paper names no temperature; 1 draws from the model's own distribution, 0 takes the argmax"));
        }
        Ok(())
    }
}

/// The flag of a decoder's option.
fn flag_of(option: &'static str) -> &'static str {
    match option {
        "denoising steps" => "--denoise-steps",
        "sampler" => "--sampler",
        "temperature" => "--temperature",
        "action steps" => "--action-steps",
        "cap of iterations" => "--jacobi-cap",
        other => other,
    }
}

fn temperature(text: &str) -> Result<f64, String> {
    let temperature: f64 = text.parse().map_err(|_| "expected a number")?;
    let is_valid = (0.0..=1000.0).contains(&temperature);
    is_valid.then_some(temperature).ok_or_else(|| "expected 0 to 1000".into())
}
