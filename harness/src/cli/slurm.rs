//! Flags of `slurm`.

use std::path::PathBuf;

use clap::Args;

/// Arguments of `slurm`.
#[derive(Debug, Args)]
pub struct SlurmArguments {
    /// Parts, an array task each
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub parts: u16,
    /// Folder for the parts, their logs and the merged run, on a file system that all nodes see
    /// [default: runs/NAME-DATE-ID]
    #[arg(short, long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Submit the jobs instead of printing the script that does
    #[arg(long)]
    pub submit: bool,
    /// Time limit of a part, as sbatch takes it; a part that reaches it is requeued and goes on
    #[arg(long, value_name = "TIME")]
    pub time: Option<String>,
    /// Seconds before the time limit at which a part finishes its running episodes and stops
    #[arg(long, value_name = "S", default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..=65535))]
    pub drain: u32,
    /// GPUs of a part, as sbatch takes them, for example 1 or h100:1
    #[arg(long, value_name = "GPUS")]
    pub gpus: Option<String>,
    /// Processors of a part; its simulators share them
    #[arg(long, value_name = "N")]
    pub cpus: Option<u16>,
    /// Memory of a part, as sbatch takes it, for example 64G
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<String>,
    /// Partition
    #[arg(long, value_name = "NAME")]
    pub partition: Option<String>,
    /// Account
    #[arg(long, value_name = "NAME")]
    pub account: Option<String>,
    /// Parts that run at the same time, at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub at_once: Option<u16>,
    /// A further option of sbatch for the parts, for example --sbatch=--constraint=h200; repeatable
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true)]
    pub sbatch: Vec<String>,
    /// A line of shell before each part, for example --before='module load cuda'; repeatable
    #[arg(long, value_name = "COMMAND", allow_hyphen_values = true)]
    pub before: Vec<String>,
    /// The run: a benchmark and its flags, without --part and --out
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}
