//! Reading of small checkpoint files, with errors that name them.

use std::io;
use std::path::Path;

use super::error::CheckpointError;
use crate::files;

/// Reads a text file of the checkpoint.
pub(super) fn read_text(file: &Path) -> Result<String, CheckpointError> {
    files::read_text(file).map_err(|source| unreadable(file, source))
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
