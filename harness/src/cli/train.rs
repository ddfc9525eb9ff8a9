//! Flags of `train`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// `train`.
#[derive(Debug, Args)]
pub struct TrainArguments {
    /// What to train
    #[arg(value_enum, default_value = "all")]
    pub part: TrainPart,
    /// Demonstrations that `collect` recorded; several are read as one
    #[arg(long, required = true, num_args = 1.., value_name = "DIR")]
    pub data: Vec<PathBuf>,
    /// Folder of the training, which becomes the checkpoint; one that exists is gone on with
    #[arg(long, required = true, value_name = "DIR")]
    pub out: PathBuf,
    /// Settings [default: policies/nano/object.json, for three tasks of LIBERO's suite object]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Name of the checkpoint [default: as the settings say]
    #[arg(long, value_name = "TEXT")]
    pub name: Option<String>,
    /// Start from a checkpoint of `train`: keep its tokenizers, begin with its weights
    #[arg(long, value_name = "CHECKPOINT")]
    pub from: Option<PathBuf>,
    /// Seed of initial weights, batches and masks
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub seed: u64,
    /// Processor threads [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Minutes between two states on disk
    #[arg(long, default_value_t = 3.0, value_name = "MINUTES")]
    pub save_every: f64,
}

/// A part of a training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TrainPart {
    /// Everything, in the order of this list: a checkpoint, from the demonstrations
    All,
    /// The vision tokenizer
    Vision,
    /// Action ranges, FAST and the words of the instructions: fitted, in seconds
    Actions,
    /// Whether the image codes say where the object is: a gate before a long training
    Probe,
    /// The policy
    Policy,
    /// Whether the actions of a trained policy depend on the future images' tokens
    Futures,
}
