//! Flags of `bench`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[cfg(feature = "torch")]
use super::checkpoint::DecodeArguments;
use super::run::WorkerArguments;
use super::values::{BenchmarkName, benchmark_names};

/// `bench`.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Time action chunks, from images and instruction to actions
    #[cfg(feature = "torch")]
    Decode(Box<DecodeArguments>),
    /// Measure a simulator: start, reset, control steps with and without images, memory
    ///
    /// Simulators with and without images are asked in turn. Times are of the processor; the file also
    /// has those of the wall's clock. The scene's files and the renderer are those of a run without
    /// flags.
    Sims(SimsArguments),
    /// Measure the harness with simulators and a policy that only wait
    ///
    /// Shows for which share of the time a policy of a given latency is busy, and what the harness itself
    /// costs. Needs neither Python nor a checkpoint.
    Pipeline(PipelineArguments),
}

/// `bench sims`.
#[derive(Debug, Args)]
pub struct SimsArguments {
    /// The benchmark
    #[arg(value_parser = benchmark_names())]
    pub benchmark: BenchmarkName,
    /// Suite of the episode that is played [default: the first]
    #[arg(long, value_name = "SUITE")]
    pub suite: Option<String>,
    /// Task of that episode, from 0
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub task: u16,
    /// Control steps to measure, of each kind and worker
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = clap::value_parser!(u16).range(10..))]
    pub steps: u16,
    /// Resets to measure, of each kind and worker
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub resets: u16,
    /// Pairs of simulators at once
    #[arg(short, long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512))]
    pub workers: u16,
    /// File for the measurements as JSON [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// How the worker is started.
    #[command(flatten)]
    pub worker: WorkerArguments,
}

/// `bench pipeline`.
#[derive(Debug, Clone, Args)]
pub struct PipelineArguments {
    /// Numbers of simulators to measure with
    #[arg(short, long, default_value = "2,4,8,16", value_name = "LIST", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=512))]
    pub workers: Vec<u16>,
    /// Milliseconds that the policy takes for a batch
    #[arg(long, default_value_t = 20.0, value_name = "MS", value_parser = super::values::milliseconds)]
    pub latency: f64,
    /// Milliseconds that it takes longer for every row
    #[arg(long, default_value_t = 0.0, value_name = "MS", value_parser = super::values::milliseconds)]
    pub latency_per_row: f64,
    /// Milliseconds that a simulator takes for a control step
    #[arg(long, default_value_t = 1.0, value_name = "MS", value_parser = super::values::milliseconds)]
    pub step_time: f64,
    /// Control steps per action chunk
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub chunk: u16,
    /// Episodes per simulator, of 280 control steps each; 10 to 500 in all
    #[arg(long, default_value_t = 6, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=100))]
    pub episodes: u16,
    /// Observations per forward pass, at most [default: that of a run]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512))]
    pub max_batch: Option<u16>,
    /// Longest wait for a batch to fill, in milliseconds [default: that of a run]
    #[arg(long, value_name = "MS")]
    pub batch_wait: Option<u64>,
    /// File for the measurements as JSON [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

impl PipelineArguments {
    /// Milliseconds that the policy takes for so many rows.
    pub fn latency_of(&self, rows: f64) -> f64 {
        self.latency + self.latency_per_row * rows
    }
}
