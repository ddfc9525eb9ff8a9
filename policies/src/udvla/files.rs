//! Small files of a checkpoint, and what is said when they cannot be read.

use std::fs;
use std::io;
use std::path::Path;

use super::error::CheckpointError;

/// Reads a text file of the checkpoint.
///
/// # Errors
/// A file that is missing or cannot be read.
pub(super) fn read_text(file: &Path) -> Result<String, CheckpointError> {
    fs::read_to_string(file).map_err(|source| unreadable(file, source))
}

/// Whether `file` is there.
///
/// # Errors
/// It is not, with what it is for.
pub(super) fn require(what: &'static str, file: &Path) -> Result<(), CheckpointError> {
    match file.is_file() {
        true => Ok(()),
        false => Err(CheckpointError::MissingFile { what, file: file.to_owned() }),
    }
}

/// The error of a file that the system does not give.
pub(super) fn unreadable(file: &Path, source: io::Error) -> CheckpointError {
    let file = file.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound => CheckpointError::MissingFile { what: "file", file },
        _ => CheckpointError::Read { file, source },
    }
}
