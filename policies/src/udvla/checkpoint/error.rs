//! Why a checkpoint cannot be opened, written or put on a device.

use std::io;
use std::path::PathBuf;

use super::target::Target;
use crate::tokens::TokenError;

/// Why a checkpoint cannot be opened, written or put on a device.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages describe variants and fields")]
pub enum CheckpointError {
    #[error("the {what} `{}` is not a directory", .dir.display())]
    MissingDirectory { what: &'static str, dir: PathBuf },
    #[error("the {what} `{}` is missing", .file.display())]
    MissingFile { what: &'static str, file: PathBuf },
    #[error("cannot read `{}`", .file.display())]
    Read { file: PathBuf, source: io::Error },
    #[error("cannot write `{}`", .file.display())]
    Write { file: PathBuf, source: io::Error },
    #[error("`{}` is not a valid {what}", .file.display())]
    Json { what: &'static str, file: PathBuf, source: serde_json::Error },
    #[error("`{}` has format {version}, this program reads format {supported}", .file.display())]
    Format { file: PathBuf, version: u32, supported: u32 },
    #[error("`{}`: {reason}", .file.display())]
    Config { file: PathBuf, reason: String },
    #[error("the weight file `{}` is truncated or damaged: {reason}", .file.display())]
    Truncated { file: PathBuf, reason: String },
    #[error("the weight file `{}` has no valid safetensors header", .file.display())]
    Header { file: PathBuf, source: safetensors::SafeTensorError },
    #[error("tensor `{tensor}` is missing from `{}`", .file.display())]
    MissingTensor { file: PathBuf, tensor: String },
    #[error("tensor `{tensor}` of `{}` has no place in the configured model", .file.display())]
    SurplusTensor { file: PathBuf, tensor: String },
    #[error("tensor `{tensor}` of `{}` has shape {actual:?}, expected {expected:?}", .file.display())]
    Shape { file: PathBuf, tensor: String, expected: Vec<i64>, actual: Vec<usize> },
    #[error("tensor `{tensor}` of `{}` is {dtype}, expected F64, F32, F16 or BF16", .file.display())]
    Dtype { file: PathBuf, tensor: String, dtype: String },
    #[error("`{}` has no settings for benchmark `{name}`, only for {known}", .file.display())]
    Benchmark { file: PathBuf, name: String, known: String },
    #[error("the {what} of `{}` cannot be used", .dir.display())]
    Tokens { what: &'static str, dir: PathBuf, source: TokenError },
    #[error("device `{name}` cannot be used: {reason}")]
    Device { name: String, reason: String },
    #[error("{what} `{value}` is not one of {known}")]
    Choice { what: &'static str, value: String, known: String },
    #[error("{reason}")]
    Decoding { reason: String },
    #[error("target `{asked}` was asked for, the checkpoint `{}` has `{own}`", .file.display())]
    Target { file: PathBuf, asked: Target, own: Target },
    #[error("tensor `{tensor}` of `{}` is not finite as {dtype}", .file.display())]
    NotFinite { file: PathBuf, tensor: String, dtype: &'static str },
    #[error("`{}` already exists and is not empty", .dir.display())]
    NotEmpty { dir: PathBuf },
    #[error("libtorch failed while loading {what}")]
    Torch { what: String, source: tch::TchError },
}

impl CheckpointError {
    /// The next step for the user, where one is known. Long because it lists every variant.
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
                "leave `--target` out: what the generated images show is a property of the weights \
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
