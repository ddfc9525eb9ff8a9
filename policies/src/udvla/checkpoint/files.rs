//! Reading of small checkpoint files, with errors that name them.

use std::io;
use std::path::Path;

use serde::de::DeserializeOwned;

use super::error::CheckpointError;
use crate::files;
use crate::tokens::{self, Fault};

/// Reads a text file of the checkpoint.
pub(super) fn read_text(file: &Path) -> Result<String, CheckpointError> {
    files::read_text(file).map_err(|source| unreadable(file, source))
}

/// Parses JSON, as Python may have written it; `what` is the role of `file`.
pub(super) fn parse_json<T: DeserializeOwned>(
    what: &'static str,
    text: &str,
    file: &Path,
) -> Result<T, CheckpointError> {
    tokens::parse(text).map_err(|fault| match fault {
        Fault::Json(source) => CheckpointError::Json { what, file: file.to_owned(), source },
        Fault::NoNumber(key) => {
            let reason = format!("`{key}` is no number (NaN or Infinity)");
            CheckpointError::Config { file: file.to_owned(), reason }
        }
    })
}

/// Checks that `file` exists and can be read; `what` is its role.
pub(super) fn require(what: &'static str, file: &Path) -> Result<(), CheckpointError> {
    match files::open(file) {
        Err(source) if source.kind() == io::ErrorKind::NotFound => {
            Err(CheckpointError::MissingFile { what, file: file.to_owned() })
        }
        opened => opened.map(drop).map_err(|source| unreadable(file, source)),
    }
}

/// The error for a file that cannot be opened or read.
pub(super) fn unreadable(file: &Path, source: io::Error) -> CheckpointError {
    let file = file.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound => CheckpointError::MissingFile { what: "file", file },
        _ => CheckpointError::Read { file, source },
    }
}
