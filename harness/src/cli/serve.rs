//! `serve`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::PossibleValuesParser;

use super::model::{DeviceArguments, ModelArguments};
use super::values::{memory_size, positive_seconds};
use crate::clients::{self, Protocol};

/// Flags of `serve`.
#[derive(Debug, Args)]
pub struct ServeArguments {
    /// What clients speak
    #[arg(long, value_enum, value_name = "PROTOCOL")]
    pub protocol: Protocol,
    /// The policy's weights and tokenizers: a folder, or hf:OWNER/NAME@REVISION
    #[arg(long, env = "UDVLA_CHECKPOINT", hide_env_values = true, value_name = "DIR")]
    pub checkpoint: PathBuf,
    /// The benchmark whose observations come and whose actions are answered
    #[arg(long, value_name = "NAME", value_parser = benchmark_names())]
    pub benchmark: String,
    /// Address to listen on; beyond this machine, clients should need a token
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS", help_heading = "Clients")]
    pub host: String,
    /// Port; 0 takes a free one
    #[arg(long, default_value_t = 8000, value_name = "N", help_heading = "Clients")]
    pub port: u16,
    /// File with a token that clients must send: `Authorization: Api-Key TOKEN` or `Bearer TOKEN`
    #[arg(long, value_name = "FILE", help_heading = "Clients")]
    pub token_file: Option<PathBuf>,
    /// Clients at once, at most
    #[arg(long, default_value_t = 64, value_name = "N", help_heading = "Clients", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub max_connections: u16,
    /// Largest message
    #[arg(long, default_value = "32MiB", value_name = "SIZE", help_heading = "Clients", value_parser = memory_size)]
    pub max_message: u64,
    /// Longest time from a message's first byte to its last, in seconds
    #[arg(long, default_value_t = 30.0, value_name = "S", help_heading = "Clients", hide_short_help = true, value_parser = positive_seconds)]
    pub message_timeout: f64,
    /// Longest silence of a client, in seconds
    #[arg(long, default_value_t = 3600.0, value_name = "S", help_heading = "Clients", hide_short_help = true, value_parser = positive_seconds)]
    pub idle_timeout: f64,
    /// Observations per forward pass, at most
    #[arg(long, default_value_t = 8, value_name = "N", help_heading = "Policy", value_parser = clap::value_parser!(u16).range(1..=512))]
    pub max_batch: u16,
    /// Longest wait for a batch to fill, in milliseconds [default: half the last batch's time]
    #[arg(long, value_name = "MS", help_heading = "Policy", hide_short_help = true)]
    pub batch_wait: Option<u64>,
    /// Seed of the sampling noise
    #[arg(long, default_value_t = 0, value_name = "N", help_heading = "Policy")]
    pub seed: u64,
    /// Where the model runs.
    #[command(flatten, next_help_heading = "Policy")]
    pub device: DeviceArguments,
    /// How the model decodes.
    #[command(flatten)]
    pub model: ModelArguments,
}

fn benchmark_names() -> PossibleValuesParser {
    PossibleValuesParser::new(clients::ALL.iter().map(|names| names.benchmark))
}
