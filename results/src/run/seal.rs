//! Checksums: every record names its run and the record before it, and carries a digest of
//! itself; the manifest carries a digest of its content.
//!
//! The digests are not keyed: they find accidents and edits by hand, not somebody who computes
//! them anew.

use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use udvla_sims::protocol::hex;

use super::manifest::Manifest;
pub use super::manifest::RecordsEnd;

/// Stands for the digest of the record before the first one.
pub const NO_RECORD: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Between a line's content and its digest.
const LAST_KEY: &str = r#","sha256":""#;
/// After the digest of a line.
const CLOSE: &str = r#""}"#;
/// The key of an object's own digest.
const DIGEST: &str = "digest";

/// The end of a file of records, to which lines are appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    run: String,
    end: RecordsEnd,
}

/// What a sealed line says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// Id of its run.
    pub run: String,
    /// Digest of the line before it.
    pub previous: String,
    /// Its own digest, hex.
    pub sha256: String,
}

/// Why a line is not one that a run wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealFault {
    /// It has no digest.
    Missing,
    /// Its digest is another one.
    Broken,
}

#[derive(Deserialize)]
struct Names {
    run: String,
    previous: String,
}

impl Chain {
    /// The end of the records of the run with that id, whose lines are `end`.
    pub fn new(run: String, end: RecordsEnd) -> Self {
        Self { run, end }
    }

    /// `record`, a JSON object, as the next line, with its newline.
    ///
    /// # Panics
    /// If `record` is not an object with a key.
    pub fn line(&self, record: &str) -> String {
        let content = record.strip_suffix('}').expect("a record is an object");
        let Self { run, end } = self;
        let content = format!(r#"{content},"run":"{run}","previous":"{}""#, end.sha256);
        let sha256 = hex(&Sha256::digest(content.as_bytes()));
        format!("{content}{LAST_KEY}{sha256}{CLOSE}\n")
    }

    /// Moves the end behind a line that [`Chain::line`] made and that is written.
    pub fn advance(&mut self, line: &str) {
        self.end.lines += 1;
        self.end.sha256 = digest_of(line).to_owned();
    }

    /// Id of the run.
    pub fn run(&self) -> &str {
        &self.run
    }

    /// How many lines there are, and the digest of the last one.
    pub fn end(&self) -> &RecordsEnd {
        &self.end
    }
}

impl RecordsEnd {
    /// The end of records of which none is written yet.
    pub fn empty() -> Self {
        Self { lines: 0, sha256: NO_RECORD.into() }
    }

    /// The end of the whole lines in `bytes`, whether or not their digests hold.
    pub fn of(bytes: &[u8]) -> Self {
        let lines: Vec<&[u8]> = bytes
            .split_inclusive(|&byte| byte == b'\n')
            .filter(|line| line.last() == Some(&b'\n'))
            .collect();
        let last = lines.last().and_then(|line| std::str::from_utf8(line).ok());
        let sha256 = match last.map(digest_of) {
            Some(digest) if digest.len() == NO_RECORD.len() => digest.to_owned(),
            _ => NO_RECORD.into(),
        };
        Self { lines: lines.len() as u32, sha256 }
    }
}

/// The digest at the end of a line; empty without one.
fn digest_of(line: &str) -> &str {
    let line = line.trim_end_matches('\n').strip_suffix(CLOSE).unwrap_or_default();
    line.rsplit_once(LAST_KEY).map_or("", |(_, digest)| digest)
}

impl Seal {
    /// The seal of a line, without regard to its place in the file.
    ///
    /// # Errors
    /// See [`SealFault`].
    pub fn of(line: &[u8]) -> Result<Self, SealFault> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let text = std::str::from_utf8(line).map_err(|_| SealFault::Broken)?;
        let sealed = text.strip_suffix(CLOSE).and_then(|text| text.rsplit_once(LAST_KEY));
        let (content, sha256) = sealed.ok_or(SealFault::Missing)?;
        if hex(&Sha256::digest(content.as_bytes())) != sha256 {
            return Err(SealFault::Broken);
        }
        let Names { run, previous } = serde_json::from_str(text).map_err(|_| SealFault::Missing)?;
        Ok(Self { run, previous, sha256: sha256.to_owned() })
    }
}

/// An id for a new run: 32 random hexadecimal digits.
///
/// # Errors
/// When the system gives no random bytes.
pub fn new_run_id() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(hex(&bytes))
}

/// The text of `run.json`: the manifest, and its digest as the last key.
///
/// # Panics
/// Never: a manifest is an object of text, numbers and JSON.
pub fn manifest_text(manifest: &Manifest) -> String {
    with_digest(&serde_json::to_string_pretty(manifest).expect("a manifest is plain data"))
}

/// A JSON object's text, and the digest of its content as the last key.
///
/// # Panics
/// If it is not an object.
pub fn with_digest(object: &str) -> String {
    let content: Value = serde_json::from_str(object).expect("it was made by serde_json");
    let digest = json_digest(&content);
    match object.strip_suffix("\n}") {
        Some(open) => format!("{open},\n  \"{DIGEST}\": \"{digest}\"\n}}\n"),
        None => {
            let open = object.strip_suffix('}').expect("it is an object");
            format!("{open},\"{DIGEST}\":\"{digest}\"}}\n")
        }
    }
}

/// Whether the content of an object is what was written; `None` where it has no digest.
pub fn is_whole(content: &Value) -> Option<bool> {
    let mut content = content.clone();
    let written = content.as_object_mut()?.remove(DIGEST)?;
    Some(written == json_digest(&content))
}

/// `sha256:` and the SHA-256 of a JSON value with sorted keys and without spaces.
pub fn json_digest(value: &Value) -> String {
    format!("sha256:{}", hex(&Sha256::digest(value.to_string().as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_its_run_and_its_predecessor_and_nothing_else_verifies() {
        let mut chain = Chain::new("a1".into(), RecordsEnd::empty());
        let first = chain.line(r#"{"task":1}"#);
        chain.advance(&first);
        let second = chain.line(r#"{"task":2}"#);
        let (one, two) =
            (Seal::of(first.as_bytes()).unwrap(), Seal::of(second.as_bytes()).unwrap());
        assert_eq!((one.run.as_str(), one.previous.as_str()), ("a1", NO_RECORD));
        assert_eq!(two.previous, one.sha256);
        assert_eq!(RecordsEnd::of(first.as_bytes()), *chain.end());
        for at in 0..first.len() - 1 {
            for bit in 0..8 {
                let mut bytes = first.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                assert!(Seal::of(&bytes).is_err(), "byte {at}, bit {bit}");
            }
        }
    }

    #[test]
    fn a_line_without_a_digest_is_told_from_a_changed_one() {
        assert_eq!(Seal::of(b"{\"task\":1}\n"), Err(SealFault::Missing));
        let line = Chain::new("a1".into(), RecordsEnd::empty()).line(r#"{"task":1}"#);
        let changed = line.replace("\"task\":1", "\"task\":2");
        assert_eq!(Seal::of(changed.as_bytes()), Err(SealFault::Broken));
    }

    #[test]
    fn run_ids_differ() {
        let (one, other) = (new_run_id().unwrap(), new_run_id().unwrap());
        assert!(one.len() == 32 && one != other, "{one} {other}");
    }
}
