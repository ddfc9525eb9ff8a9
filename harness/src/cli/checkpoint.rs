//! Flags of the commands that open a checkpoint without a simulator.

use std::path::PathBuf;

use clap::Args;
use udvla_policies::udvla::checkpoint::published_settings;
use udvla_policies::udvla::{Attention, Preset, Target};

use super::model::ModelArguments;
use crate::cameras::camera_and_file;

/// `imagine`.
#[derive(Debug, Args)]
pub struct ImagineArguments {
    /// What the cameras see now, PNG files in the order of the benchmark's cameras; `--image` names
    /// them instead
    #[arg(required_unless_present = "image", conflicts_with = "image", value_name = "IMAGE")]
    pub images: Vec<PathBuf>,
    /// What one camera sees now, for example static=now.png; repeat for every camera
    #[arg(long, value_name = "CAMERA=FILE", value_parser = camera_and_file)]
    pub image: Vec<(String, PathBuf)>,
    /// Instruction
    #[arg(long, value_name = "TEXT")]
    pub instruction: String,
    /// The policy's weights and tokenizers: a folder, or hf:OWNER/NAME@REVISION
    #[arg(long, env = "UDVLA_CHECKPOINT", hide_env_values = true, value_name = "DIR")]
    pub checkpoint: PathBuf,
    /// Benchmark layout to use: calvin, libero, simpler
    #[arg(long, default_value = "calvin", value_name = "NAME")]
    pub benchmark: String,
    /// Device that runs the policy: auto, cpu, cuda:N
    #[arg(long, default_value = "auto", value_name = "DEVICE")]
    pub device: String,
    /// Seed of the sampling noise
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub seed: u64,
    /// Image to write: per camera what is seen now, and what is predicted after the actions
    #[arg(short, long, default_value = "imagined.png", value_name = "FILE")]
    pub out: PathBuf,
    /// Also write a strip of the denoising, masked positions in gray
    #[arg(long, value_name = "FILE")]
    pub steps_film: Option<PathBuf>,
    /// Also write the tokens that each denoising step fixed, with their confidence, as JSON
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// How the model decodes.
    #[command(flatten)]
    pub model: ModelArguments,
}

/// `inspect`.
#[derive(Debug, Args)]
pub struct InspectArguments {
    /// The checkpoint directory
    pub checkpoint: PathBuf,
    /// Draw the attention masks of a prompt into this file, SVG or PNG by its extension
    #[arg(long, value_name = "FILE")]
    pub mask: Option<PathBuf>,
    /// Benchmark layout of the masks [default: the checkpoint's first]
    #[arg(long, value_name = "NAME")]
    pub benchmark: Option<String>,
    /// Instruction of the prompt
    #[arg(long, default_value = "push the sliding door to the left side", value_name = "TEXT")]
    pub instruction: String,
}

/// `make-checkpoint`.
#[derive(Debug, Args)]
pub struct MakeArguments {
    /// Size of the model
    #[arg(long, default_value = "nano", value_parser = ["nano", "medium"])]
    pub preset: String,
    /// Seed of the weights
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// What the generated images show
    #[arg(long, value_enum, default_value_t = Target::Future, value_name = "TARGET")]
    pub target: Target,
    /// Folder to write; must be empty or not exist
    pub directory: PathBuf,
}

/// `assemble-checkpoint`.
#[derive(Debug, Args)]
pub struct AssembleArguments {
    /// Folder for `checkpoint.json`; the parts stay where they are
    pub directory: PathBuf,
    /// Language model: a folder with config.json and *.safetensors, or hf:OWNER/NAME@REVISION
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// Vision tokenizer: such a folder, or hf:OWNER/NAME@REVISION
    #[arg(long, value_name = "DIR")]
    pub vision: PathBuf,
    /// Text tokenizer: the folder with emu3.tiktoken, that file, or hf:OWNER/NAME@REVISION
    #[arg(long, value_name = "PATH")]
    pub text: PathBuf,
    /// A benchmark, the folder of its FAST tokenizer and its norm_stats.json (an entry's name after
    /// a colon, if there are several); may be given once per benchmark
    #[arg(
        long = "benchmark",
        required = true,
        value_name = "NAME=FAST,STATS[:ENTRY]",
        value_parser = benchmark_files
    )]
    pub benchmarks: Vec<BenchmarkFiles>,
    /// Attention mask that the weights were trained with [default: by the model's config.json]
    #[arg(long, value_enum, value_name = "MASK")]
    pub attention: Option<Attention>,
    /// What the generated images show
    #[arg(long, value_enum, default_value_t = Target::Future, value_name = "TARGET")]
    pub target: Target,
    /// Display name [default: the model folder's name]
    #[arg(long, value_name = "TEXT")]
    pub name: Option<String>,
}

/// Files of one benchmark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BenchmarkFiles {
    /// Name of the benchmark.
    pub benchmark: String,
    /// Folder of the FAST tokenizer.
    pub fast: PathBuf,
    /// `norm_stats.json`, or its folder.
    pub stats: PathBuf,
    /// Entry in that file; `None` for its only one.
    pub entry: Option<String>,
}

fn benchmark_files(text: &str) -> Result<BenchmarkFiles, String> {
    let parts = text.split_once('=').and_then(|(name, files)| Some((name, files.split_once(',')?)));
    let Some((name, (fast, stats))) = parts else {
        return Err(
            "expected NAME=FAST,STATS, as in libero=fast_libero_all_t10_s50,norm_stats.json".into(),
        );
    };
    let known = published_settings();
    if !known.contains_key(name) {
        let names: Vec<_> = known.into_keys().collect();
        return Err(format!("no benchmark `{name}`, only {}", names.join(", ")));
    }
    let (stats, entry) = match stats.rsplit_once(':') {
        Some((stats, entry)) if !entry.contains('/') => (stats, Some(entry.to_owned())),
        _ => (stats, None),
    };
    Ok(BenchmarkFiles { benchmark: name.into(), fast: fast.into(), stats: stats.into(), entry })
}

/// `bench decode`.
#[derive(Debug, Args)]
pub struct DecodeArguments {
    /// Model with synthetic weights
    #[arg(long, value_enum, default_value_t = Preset::Nano)]
    pub model: Preset,
    /// Measure this checkpoint instead of a synthetic model
    #[arg(long, value_name = "DIR", conflicts_with = "model")]
    pub checkpoint: Option<PathBuf>,
    /// Benchmark layout to use: calvin, libero, simpler
    #[arg(long, default_value = "calvin", value_name = "NAME")]
    pub benchmark: String,
    /// Device that runs the policy: auto, cpu, cuda:N
    #[arg(long, default_value = "auto", value_name = "DEVICE")]
    pub device: String,
    /// Instruction of every sequence [default: a few of different lengths]
    #[arg(long, value_name = "TEXT")]
    pub instruction: Option<String>,
    /// Observations per forward pass
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512))]
    pub batch: u16,
    /// libtorch's threads within an operation [default: half the cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Batches before the measurement
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub warm_up: u16,
    /// Batches to measure
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub repeats: u16,
    /// Seed of the sampling noise
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub seed: u64,
    /// Then decode each sequence of the batch alone, and count the tokens that differ
    #[arg(long)]
    pub alone: bool,
    /// File for the measurements as JSON [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Also write the decoding of the first sequence, for another implementation to repeat
    #[arg(long, value_name = "FILE")]
    pub case: Option<PathBuf>,
    /// How the model decodes.
    #[command(flatten)]
    pub options: ModelArguments,
}
