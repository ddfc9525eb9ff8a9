//! What a run directory holds about an episode besides its record: actions, images, remarks.
//!
//! Names of files are derived from the episode's key, never taken from a record, and a link that
//! leads out of the run directory is refused.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use udvla_sims::episode::EpisodeKey;

use super::files::read_inside;
use super::timeline::Timeline;

/// Actions as they were played.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StoredActions {
    /// Numbers per control step.
    pub width: usize,
    /// Control step after control step, f32 in little-endian bytes.
    pub bytes: Vec<u8>,
    /// The course of the episode; absent in files of older versions.
    pub timeline: Option<Timeline>,
}

/// A remark of the policy on one of its calls.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct StoredRemark {
    /// The call, from 0.
    pub call: u32,
    /// Its kind, for example `no-end-of-actions`.
    pub kind: String,
    /// What it says.
    pub text: String,
    /// When it was made, UTC.
    #[serde(skip)]
    pub time: String,
}

/// Why stored actions cannot be shown.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum EvidenceError {
    #[error("cannot read `{name}`")]
    Read { name: String, source: io::Error },
    #[error("`{name}` is not a file of actions")]
    Format { name: String, source: safetensors::SafeTensorError },
    #[error("`{name}` has no float32 actions of two axes")]
    Shape { name: String },
    #[error("the timeline in `{name}` is damaged")]
    Timeline { name: String, source: serde_json::Error },
}

/// Reads `actions/<episode>.safetensors`.
///
/// # Errors
/// When the file is missing, outside of the directory, or not one of actions.
pub fn actions(dir: &Path, key: &EpisodeKey) -> Result<StoredActions, EvidenceError> {
    let name = format!("actions/{key}.safetensors");
    let bytes = read_inside(dir, Path::new(&name))
        .map_err(|source| EvidenceError::Read { name: name.clone(), source })?;
    let format = |source| EvidenceError::Format { name: name.clone(), source };
    let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(format)?;
    let file = SafeTensors::deserialize(&bytes).map_err(format)?;
    let view = file.tensor("actions").map_err(format)?;
    let (Dtype::F32, &[_, width]) = (view.dtype(), view.shape()) else {
        return Err(EvidenceError::Shape { name });
    };
    let timeline = Timeline::from_metadata(metadata.metadata().as_ref())
        .map_err(|source| EvidenceError::Timeline { name: name.clone(), source })?;
    Ok(StoredActions { width, bytes: view.data().to_vec(), timeline })
}

/// Images of predicted futures by call, each relative to the run directory; empty if none were
/// saved.
pub fn futures(dir: &Path, key: &EpisodeKey) -> BTreeMap<u32, String> {
    let folder = format!("futures/{key}");
    let entries = inside(dir, &folder).and_then(fs::read_dir).into_iter().flatten().flatten();
    let file = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        let call = name.strip_prefix("call-")?.strip_suffix(".png")?.parse().ok()?;
        Some((call, format!("{folder}/{name}")))
    };
    entries.filter_map(file).collect()
}

/// The policy's remarks by episode, from `logs/policy.log`; empty if there were none.
pub fn remarks(dir: &Path) -> BTreeMap<String, Vec<StoredRemark>> {
    let log = read_inside(dir, Path::new("logs/policy.log")).unwrap_or_default();
    let mut remarks: BTreeMap<String, Vec<StoredRemark>> = BTreeMap::new();
    for (key, remark) in String::from_utf8_lossy(&log).lines().filter_map(remark) {
        remarks.entry(key).or_default().push(remark);
    }
    remarks
}

/// A line of the log: `TIME EPISODE call N: kind: text`.
fn remark(line: &str) -> Option<(String, StoredRemark)> {
    let (time, rest) = line.split_once(' ')?;
    let (key, rest) = rest.split_once(" call ")?;
    let (call, rest) = rest.split_once(": ")?;
    let (kind, text) = rest.split_once(": ")?;
    let remark = StoredRemark {
        call: call.parse().ok()?,
        kind: kind.into(),
        text: text.into(),
        time: time.into(),
    };
    Some((key.into(), remark))
}

/// The path of an existing file or folder of a run directory.
///
/// # Errors
/// When there is none, or when it is reached by a link that leads out of the directory.
pub fn inside(dir: &Path, name: &str) -> io::Result<PathBuf> {
    let path = dir.join(name).canonicalize()?;
    match path.starts_with(dir.canonicalize()?) {
        true => Ok(path),
        false => Err(io::Error::other("it is outside of the run directory")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_log_is_split_at_its_first_colons() {
        let line = "2026-11-24T01:02:03Z long-task03-trial001 call 4: odd: a: b call 5: c";
        let (key, found) = remark(line).unwrap();
        assert_eq!((key.as_str(), found.call, &*found.kind), ("long-task03-trial001", 4, "odd"));
        assert_eq!(found.text, "a: b call 5: c");
        assert!(remark("2026-11-24T01:02:03Z the policy is open").is_none());
    }

    #[test]
    fn nothing_outside_of_the_run_directory_is_read() {
        let (run, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let key = EpisodeKey { suite: "long".into(), task: 0, trial: 0 };
        let file = format!("{key}.safetensors");
        fs::write(other.path().join(&file), "secret").unwrap();
        fs::create_dir(run.path().join("futures")).unwrap();
        std::os::unix::fs::symlink(other.path(), run.path().join("actions")).unwrap();
        let out = run.path().join("futures").join(key.to_string());
        std::os::unix::fs::symlink(other.path(), out).unwrap();
        fs::write(other.path().join("call-000.png"), "secret").unwrap();
        assert!(matches!(actions(run.path(), &key), Err(EvidenceError::Read { .. })));
        assert!(futures(run.path(), &key).is_empty());
    }

    #[test]
    fn a_pipe_in_the_place_of_a_file_holds_nothing_up() {
        let run = tempfile::tempdir().unwrap();
        let key = EpisodeKey { suite: "long".into(), task: 0, trial: 0 };
        for name in [format!("actions/{key}.safetensors"), "logs/policy.log".into()] {
            let path = run.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        }
        assert!(matches!(actions(run.path(), &key), Err(EvidenceError::Read { .. })));
        assert!(remarks(run.path()).is_empty());
    }
}
