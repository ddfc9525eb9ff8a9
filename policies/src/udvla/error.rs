//! Why a checkpoint cannot be opened, written or put on a device.

use std::io;
use std::path::PathBuf;

use super::prompt::Target;
use crate::tokens::TokenError;

/// Why a checkpoint cannot be opened, written or put on a device.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// There is no such directory.
    #[error("the {what} `{}` is not a directory", .dir.display())]
    MissingDirectory {
        /// What the directory is for.
        what: &'static str,
        /// Where it was looked for.
        dir: PathBuf,
    },
    /// A file that the checkpoint names, or that its format requires, is not there.
    #[error("the {what} `{}` is missing", .file.display())]
    MissingFile {
        /// What the file is for.
        what: &'static str,
        /// Where it was looked for.
        file: PathBuf,
    },
    /// A file cannot be read.
    #[error("cannot read `{}`", .file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file or directory cannot be written.
    #[error("cannot write `{}`", .file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file is not the JSON that it should be.
    #[error("`{}` is not a valid {what}", .file.display())]
    Json {
        /// What the file should hold.
        what: &'static str,
        /// The file.
        file: PathBuf,
        /// Where it stops being that.
        source: serde_json::Error,
    },
    /// A checkpoint of another format version.
    #[error("`{}` has format {found}, this program reads format {known}", .file.display())]
    Format {
        /// The manifest.
        file: PathBuf,
        /// The version it names.
        found: u32,
        /// The version that this program reads.
        known: u32,
    },
    /// A configuration that contradicts itself, another file, or what this program can run.
    #[error("`{}`: {reason}", .file.display())]
    Config {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A weight file ends before or after the data that its header announces.
    #[error("the weight file `{}` is truncated or damaged: {reason}", .file.display())]
    Truncated {
        /// The weight file.
        file: PathBuf,
        /// How far it goes.
        reason: String,
    },
    /// A weight file has no valid header.
    #[error("the weight file `{}` has no valid safetensors header", .file.display())]
    Header {
        /// The weight file.
        file: PathBuf,
        /// What the parser said.
        source: safetensors::SafeTensorError,
    },
    /// A tensor that the model needs is in none of its weight files.
    #[error("tensor `{tensor}` is missing from `{}`", .file.display())]
    MissingTensor {
        /// The weight file, or the directory when there are several.
        file: PathBuf,
        /// The tensor's name.
        tensor: String,
    },
    /// A tensor of the model's layers that the configuration leaves no place for.
    #[error("tensor `{tensor}` of `{}` has no place in the configured model", .file.display())]
    SurplusTensor {
        /// The weight file.
        file: PathBuf,
        /// The tensor's name.
        tensor: String,
    },
    /// A tensor has another shape than the configuration says.
    #[error("tensor `{tensor}` of `{}` has shape {found:?}, wanted {wanted:?}", .file.display())]
    Shape {
        /// The weight file.
        file: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// The shape by the configuration.
        wanted: Vec<i64>,
        /// The shape in the file.
        found: Vec<usize>,
    },
    /// A tensor is stored in a number format that this program does not read.
    #[error("tensor `{tensor}` of `{}` is {found}, wanted F64, F32, F16 or BF16", .file.display())]
    Dtype {
        /// The weight file.
        file: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// The format's name.
        found: String,
    },
    /// The checkpoint is not meant for this benchmark.
    #[error("`{}` has no settings for benchmark `{wanted}`, only for {known}", .file.display())]
    Benchmark {
        /// The manifest.
        file: PathBuf,
        /// The benchmark asked for.
        wanted: String,
        /// The benchmarks it has, as a list in words.
        known: String,
    },
    /// A tokenizer or a statistics file cannot be used.
    #[error("the {what} of `{}` cannot be used", .dir.display())]
    Tokens {
        /// Which of them.
        what: &'static str,
        /// The checkpoint's directory.
        dir: PathBuf,
        /// What is wrong.
        source: TokenError,
    },
    /// The device does not exist or cannot be used.
    #[error("device `{wanted}` cannot be used: {reason}")]
    Device {
        /// The device asked for.
        wanted: String,
        /// Why not.
        reason: String,
    },
    /// A number format, attention or preset name that does not exist, or a count out of range.
    #[error("{what} `{wanted}` is not one of {known}")]
    Choice {
        /// What was chosen.
        what: &'static str,
        /// The choice.
        wanted: String,
        /// What there is, as a list in words.
        known: String,
    },
    /// A way to generate that makes no sense, by itself or with this checkpoint.
    #[error("{reason}")]
    Decoding {
        /// What does not go together.
        reason: String,
    },
    /// Another target than the one that the weights were trained for.
    #[error("target `{asked}` was asked for, the checkpoint `{}` has `{own}`", .file.display())]
    Target {
        /// The manifest.
        file: PathBuf,
        /// What was asked for.
        asked: Target,
        /// What the manifest says.
        own: Target,
    },
    /// A number among the weights is not finite.
    #[error("tensor `{tensor}` of `{}` is not finite as {dtype}", .file.display())]
    NotFinite {
        /// The weight file.
        file: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// The number format that it is wanted in.
        dtype: &'static str,
    },
    /// A new checkpoint would overwrite something.
    #[error("`{}` already exists and is not empty", .dir.display())]
    NotEmpty {
        /// The directory.
        dir: PathBuf,
    },
    /// libtorch refused while the weights were loaded.
    #[error("libtorch failed while loading {what}")]
    Torch {
        /// What was being loaded.
        what: String,
        /// What it said.
        source: tch::TchError,
    },
}

impl CheckpointError {
    /// The next step for the reader, where one is known.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::MissingDirectory { .. } => {
                "pass a checkpoint directory (docs/checkpoint.md), or write a synthetic one with \
                 `udvla-eval make-checkpoint --preset nano DIR`"
            }
            Self::MissingFile { .. } => {
                "download the file again, or correct its path in `checkpoint.json` \
                 (docs/checkpoint.md)"
            }
            Self::NotFinite { dtype: "f16", .. } => {
                "the number is too large for f16 or broken: pass `--dtype bf16` or `f32`, or \
                 download the weight file again"
            }
            Self::Truncated { .. } | Self::Header { .. } | Self::NotFinite { .. } => {
                "download or copy the weight file again and compare its size with the source"
            }
            Self::MissingTensor { .. }
            | Self::SurplusTensor { .. }
            | Self::Shape { .. }
            | Self::Dtype { .. } => {
                "check that the weight files and the `config.json` beside them belong together"
            }
            Self::Json { .. } | Self::Format { .. } | Self::Config { .. } => {
                "compare the file with docs/checkpoint.md"
            }
            Self::Benchmark { .. } => "add the benchmark to `checkpoint.json` (docs/checkpoint.md)",
            Self::Tokens { .. } => {
                "download the tokenizer's files again, or correct their paths in `checkpoint.json`"
            }
            Self::Device { .. } => {
                "pass `--device cpu`, or see what `udvla-eval doctor` says about the device"
            }
            Self::Decoding { .. } => {
                "`udvla-eval libero --help` says what goes together; `--decoding ar` and `jacobi` \
                 need `--attention causal` and no steps"
            }
            Self::Target { .. } => {
                "leave `--target` out: what the generated views show is a property of the weights \
                 (`udvla-eval inspect` prints it)"
            }
            Self::NotEmpty { .. } => "pass a directory that does not exist yet",
            Self::Read { .. } | Self::Write { .. } | Self::Choice { .. } | Self::Torch { .. } => {
                return None;
            }
        };
        Some(hint.to_owned())
    }
}
