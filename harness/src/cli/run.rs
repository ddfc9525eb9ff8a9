//! Flags of every benchmark: the policy, the workers, the run directory.

use std::ffi::OsStr;
use std::path::PathBuf;

use clap::builder::{
    NonEmptyStringValueParser, PossibleValue, PossibleValuesParser, TypedValueParser,
};
use clap::error::ErrorKind;
use clap::{Arg, Args, Command};
use udvla_policies::remote::Address;
use udvla_policies::weightless;
use udvla_results::run::part::Part;

#[cfg(feature = "torch")]
use super::model::{DeviceArguments, ModelArguments};
use super::server::ServerArguments;
use super::tracking::TrackingArguments;
use super::values::{memory_size, positive_seconds};
use crate::plan::{InstructionControl, ObservationControl, UDVLA, Video};

/// Flags of every benchmark.
#[derive(Debug, Clone, Args)]
pub struct RunArguments {
    /// What is tested.
    #[command(flatten)]
    pub tested: PolicyArguments,
    /// Control: what the policy is told instead, blank, scrambled or the number of another task
    ///
    /// With `scrambled` the words are in another order, which `--seed` draws. The run is marked as a
    /// control and gets no verdict (docs/controls.md).
    #[arg(long, value_name = "CONTROL", help_heading = "Policy", hide_short_help = true)]
    pub instruction: Option<InstructionControl>,
    /// Control: what the policy sees instead
    #[arg(
        long,
        value_enum,
        value_name = "CONTROL",
        help_heading = "Policy",
        hide_short_help = true
    )]
    pub observation: Option<ObservationControl>,
    /// Episodes in all, spread evenly over the tasks
    ///
    /// Every task gets one trial, then each a second one, in the plan's order.
    #[arg(long, value_name = "N", help_heading = "Episodes", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
    /// Play one of N parts of the episodes, to split a run over machines, for example 3/16
    ///
    /// The parts of equal commands are disjoint and together the whole run, for any N; `status`
    /// shows how far they are, `merge` makes them one run (docs/parts.md).
    #[arg(long, value_name = "K/N", help_heading = "Episodes", hide_short_help = true)]
    pub part: Option<Part>,
    /// Simulators that run at once [default: the cores, at most 16 per device]
    #[arg(short, long, value_name = "N", help_heading = "Workers", value_parser = clap::value_parser!(u16).range(1..=512))]
    pub workers: Option<u16>,
    /// Observations per forward pass [default: at most 8 and half the simulators]
    #[arg(long, value_name = "N", help_heading = "Workers", value_parser = clap::value_parser!(u16).range(1..=512))]
    pub max_batch: Option<u16>,
    /// Longest wait for a batch to fill, in milliseconds [default: half the last batch's time]
    #[arg(long, value_name = "MS", help_heading = "Workers", hide_short_help = true)]
    pub batch_wait: Option<u64>,
    /// Retries of an episode whose simulator fails
    #[arg(
        long,
        default_value_t = 1,
        value_name = "N",
        help_heading = "Workers",
        hide_short_help = true
    )]
    pub retries: u16,
    /// Longest simulator call, in seconds
    #[arg(long, default_value_t = 120.0, value_name = "S", help_heading = "Workers", hide_short_help = true, value_parser = positive_seconds)]
    pub step_timeout: f64,
    /// Longest start of a simulator, in seconds
    #[arg(long, default_value_t = 600.0, value_name = "S", help_heading = "Workers", hide_short_help = true, value_parser = positive_seconds)]
    pub start_timeout: f64,
    /// Replace a simulator after this many episodes
    #[arg(long, value_name = "N", help_heading = "Workers", hide_short_help = true, value_parser = clap::value_parser!(u32).range(1..))]
    pub recycle: Option<u32>,
    /// Replace a simulator that takes more memory, for example 6GiB
    ///
    /// Counted is the resident memory of the simulator and of all processes that it started. Above
    /// SIZE it is replaced after its episode; above 1.5 times SIZE at once, and the episode is
    /// retried.
    #[arg(long, value_name = "SIZE", help_heading = "Workers", hide_short_help = true, value_parser = memory_size)]
    pub worker_memory: Option<u64>,
    /// Run directory, new or to be continued [default: runs/NAME-DATE-ID]
    #[arg(short, long, value_name = "DIR", help_heading = "Output")]
    pub out: Option<PathBuf>,
    /// Take the run directory from a process on another machine that is certainly gone
    ///
    /// Needed only on file systems without locks, where that process has been silent for a minute.
    #[arg(long, help_heading = "Output", hide_short_help = true)]
    pub take_over: bool,
    /// Episodes to record as video
    #[arg(long, value_enum, default_value_t = Video::None, help_heading = "Output")]
    pub video: Video,
    /// Save predicted beside observed images, in RUN/futures
    #[arg(long, help_heading = "Output")]
    pub save_futures: bool,
    /// Stop once significantly better or worse than `paper`, a run or a stored baseline
    ///
    /// At most 5 % false alarms, however often the run is looked at.
    #[arg(long, value_name = "REFERENCE", help_heading = "Output")]
    pub stop_early: Option<String>,
    /// Where the results are sent too.
    #[command(flatten)]
    pub tracking: TrackingArguments,
    /// Published row to compare another policy than UD-VLA with, for example pi0-FAST
    #[arg(long, value_name = "METHOD", help_heading = "Output", hide_short_help = true)]
    pub published: Option<String>,
    /// JSON list of further published rows, with source and n (docs/bring-your-own-policy.md)
    #[arg(long, value_name = "FILE", help_heading = "Output", hide_short_help = true)]
    pub published_rows: Option<PathBuf>,
    /// Print the plan and stop
    #[arg(long, help_heading = "Output")]
    pub dry_run: bool,
}

/// The policy and what belongs to it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Policy")]
pub struct PolicyArguments {
    /// Policy to run, or a server's address, ws://HOST:PORT
    #[arg(long, default_value = UDVLA, value_name = "POLICY", value_parser = PolicyParser)]
    pub policy: String,
    /// How a policy server is asked.
    #[command(flatten)]
    pub server: ServerArguments,
    /// Weights and tokenizers: a folder, hf:OWNER/NAME@REVISION, or udvla-nano
    #[cfg(feature = "torch")]
    #[arg(long, env = "UDVLA_CHECKPOINT", hide_env_values = true, value_name = "DIR")]
    pub checkpoint: Option<PathBuf>,
    /// Where the model runs.
    #[cfg(feature = "torch")]
    #[command(flatten)]
    pub device: DeviceArguments,
    /// Seed of the policy's sampling noise
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub seed: u64,
    /// How the model decodes.
    #[cfg(feature = "torch")]
    #[command(flatten)]
    pub model: ModelArguments,
}

/// How a simulator's worker is started.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Workers")]
pub struct WorkerArguments {
    /// Python of the simulator's environment [default: what `udvla-eval setup` made]
    #[arg(long, value_name = "PATH", hide_short_help = true)]
    pub python: Option<PathBuf>,
    /// Cards that draw images, the workers in turn: cuda:N as in `--device`, or the beginning of a
    /// UUID or bus address [default: the first that CUDA shows]
    #[arg(long, value_name = "LIST", value_delimiter = ',', hide_short_help = true, value_parser = NonEmptyStringValueParser::new())]
    pub render_device: Vec<String>,
    /// Worker executable to use instead of the embedded Python one (tests)
    #[arg(long, value_name = "PROGRAM", hide = true)]
    pub simulator: Option<PathBuf>,
    /// Option of that worker, NAME=VALUE (tests)
    #[arg(long, value_name = "NAME=VALUE", hide = true, value_parser = name_and_value)]
    pub sim_option: Vec<(String, String)>,
}

impl PolicyArguments {
    /// The same with another policy: its name, or the folder of a checkpoint.
    #[must_use]
    pub fn other(&self, word: &str) -> Self {
        let is_name = word == UDVLA || weightless::POLICIES.iter().any(|kind| kind.name == word);
        if is_name || word.contains("://") {
            return Self { policy: word.into(), ..self.clone() };
        }
        Self {
            policy: UDVLA.into(),
            #[cfg(feature = "torch")]
            checkpoint: Some(word.into()),
            ..self.clone()
        }
    }
}

/// The names of policies, and addresses of servers.
#[derive(Debug, Clone)]
struct PolicyParser;

impl TypedValueParser for PolicyParser {
    type Value = String;

    fn parse_ref(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &OsStr,
    ) -> Result<String, clap::Error> {
        let Some(text) = value.to_str().filter(|text| Address::is_meant(text)) else {
            return policy_names().parse_ref(command, argument, value);
        };
        match text.parse::<Address>() {
            Ok(address) => Ok(address.to_string()),
            Err(reason) => {
                // The text may hold a secret.
                let text = format!("the policy server's address cannot be used: {reason}\n");
                Err(command.clone().error(ErrorKind::ValueValidation, text))
            }
        }
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let names: Vec<_> = policy_names().possible_values()?.collect();
        Some(Box::new(names.into_iter()))
    }
}

fn policy_names() -> PossibleValuesParser {
    let model = PossibleValue::new(UDVLA).help("the UD-VLA model, from `--checkpoint`");
    let others =
        weightless::POLICIES.iter().map(|kind| PossibleValue::new(kind.name).help(kind.summary));
    PossibleValuesParser::new([model].into_iter().chain(others))
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.into(), value.into()))
}
