//! The files of executed actions that records name.

use std::io;
use std::path::Path;

use sha2::{Digest, Sha256};
use udvla_sims::protocol::hex;

use super::files::read_inside;
use super::record::EpisodeRecord;

/// Episodes that a note names; the others are counted.
const NAMED: usize = 3;

/// The executed actions of an episode, a safetensors file.
///
/// # Errors
/// When the record names no file, the file cannot be read, or its checksum is another one than
/// the record's.
pub fn read(dir: &Path, record: &EpisodeRecord) -> io::Result<Vec<u8>> {
    let name = record.actions.as_ref().ok_or_else(|| io::Error::other("the record names none"))?;
    let bytes = read_inside(dir, Path::new(name))?;
    match &record.actions_sha256 {
        Some(written) if *written != digest(&bytes) => {
            Err(io::Error::other(format!("`{name}` was changed after it was written")))
        }
        _ => Ok(bytes),
    }
}

/// SHA-256 (hex) of a file's content.
pub fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Which files with a checksum are missing or changed; `None` where all are as written.
pub(super) fn note<'a>(
    dir: &Path,
    records: impl Iterator<Item = &'a EpisodeRecord>,
) -> Option<String> {
    let stored = records.filter(|record| record.actions_sha256.is_some());
    let lacking: Vec<String> = stored
        .filter(|record| read(dir, record).is_err())
        .map(|record| record.key().to_string())
        .collect();
    if lacking.is_empty() {
        return None;
    }
    let (named, rest) = lacking.split_at(lacking.len().min(NAMED));
    let rest = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
    Some(format!("stored actions are missing or changed: {}{rest}", named.join(", ")))
}
