//! The run directory: made or continued, locked, appended to. Only the dispatcher's thread
//! writes to it; videos and logs are the workers' own.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use safetensors::tensor::{Dtype, TensorView};
use udvla_results::manifest::Manifest;
use udvla_results::record::{EpisodeRecord, Status};
use udvla_sims::episode::EpisodeKey;
use udvla_sims::wire;

use crate::exit::Refused;

/// An open run directory.
#[derive(Debug)]
pub struct Store {
    directory: PathBuf,
    records: File,
    length: u64,
    made: bool,
    _lock: File,
}

impl Store {
    /// Makes the directory, or opens it where it is a run already, and locks it.
    ///
    /// # Errors
    /// When another process uses it, or it holds something that is no run.
    pub fn open(directory: &Path) -> Result<Self> {
        let made = !directory.exists();
        let foreign = || -> io::Result<bool> {
            Ok(!made
                && !directory.join("run.json").exists()
                && fs::read_dir(directory)?.next().is_some())
        };
        let at = || format!("cannot use `{}` as a run directory", directory.display());
        if foreign().with_context(at)? {
            let text = format!("`{}` exists and is no run directory", directory.display());
            return Err(Refused::new(text).hint("name a new folder with `--out`").into());
        }
        for folder in ["logs", "actions", "videos"] {
            fs::create_dir_all(directory.join(folder)).with_context(at)?;
        }
        let lock = File::create(directory.join("lock")).with_context(at)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let text = format!("`{}` is in use by another process", directory.display());
                let hint = "wait for it to end, or name a new folder with `--out`";
                return Err(Refused::new(text).hint(hint).into());
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(at),
        }
        let path = directory.join("episodes.jsonl");
        let records = OpenOptions::new().create(true).append(true).open(path).with_context(at)?;
        let length = records.metadata().with_context(at)?.len();
        Ok(Self { directory: directory.to_owned(), records, length, made, _lock: lock })
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Removes the directory again if this process made it and no run began in it.
    pub fn discard_if_empty(self) {
        if self.made && self.length == 0 && !self.directory.join("run.json").exists() {
            // What stands in it is an empty skeleton and the logs of workers that never opened.
            let _ = fs::remove_dir_all(&self.directory);
        }
    }

    /// The manifest of the run that is in the directory already, if there is one.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn manifest(&self) -> Result<Option<Manifest>> {
        let path = self.directory.join("run.json");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read `{}`", path.display()));
            }
        };
        let manifest = serde_json::from_str(&text).map_err(|error| {
            Refused::new(format!("`{}` is damaged", path.display())).because(error)
        })?;
        Ok(Some(manifest))
    }

    /// Writes the manifest in one step: a reader sees the old one or the new one.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write_manifest(&self, manifest: &Manifest) -> Result<()> {
        let text = serde_json::to_string_pretty(manifest)? + "\n";
        replace(&self.directory.join("run.json"), text.as_bytes())
    }

    /// The last record of each episode. A last line that a crash tore is cut off.
    ///
    /// # Errors
    /// When a line other than the last is damaged: nothing is dropped in silence.
    pub fn records(&mut self) -> Result<HashMap<EpisodeKey, EpisodeRecord>> {
        let path = self.directory.join("episodes.jsonl");
        let bytes = fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        if whole < bytes.len() {
            self.cut(whole as u64)?;
        }
        let mut records = HashMap::new();
        for (index, line) in bytes[..whole].split(|byte| *byte == b'\n').enumerate() {
            if line.is_empty() {
                continue;
            }
            let record: EpisodeRecord = serde_json::from_slice(line).map_err(|error| {
                Refused::new(format!("`{}` is damaged in line {}", path.display(), index + 1))
                    .because(error)
                    .hint("remove that line to run its episode again")
            })?;
            records.insert(record.key(), record);
        }
        Ok(records)
    }

    /// Appends a record with one write, after its actions are safe.
    ///
    /// # Errors
    /// When the disk refuses; the file then ends with the last whole record.
    pub fn append(
        &mut self,
        mut record: EpisodeRecord,
        actions: &[f32],
        width: usize,
    ) -> Result<EpisodeRecord> {
        if record.status == Status::Ok {
            let name = format!("actions/{}.safetensors", record.key());
            let steps = actions.len() / width.max(1);
            let bytes = wire::to_bytes(actions);
            let view = TensorView::new(Dtype::F32, vec![steps, width], &bytes)?;
            let file = safetensors::serialize([("actions", view)], None)?;
            replace(&self.directory.join(&name), &file)?;
            record.actions = Some(name);
        }
        let line = serde_json::to_string(&record)? + "\n";
        let written =
            self.records.write_all(line.as_bytes()).and_then(|()| self.records.sync_data());
        if let Err(error) = written {
            let _ = self.cut(self.length);
            let path = self.directory.join("episodes.jsonl");
            return Err(error).with_context(|| format!("cannot write `{}`", path.display()));
        }
        self.length += line.len() as u64;
        Ok(record)
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.records.set_len(length)?;
        self.length = length;
        Ok(())
    }
}

/// Writes a file beside its final name and renames it.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let part = path.with_extension("part");
    File::create(&part)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_data()
        })
        .and_then(|()| fs::rename(&part, path))
        .inspect_err(|_| {
            let _ = fs::remove_file(&part);
        })
        .with_context(|| format!("cannot write `{}`", path.display()))
}

/// Refuses to continue a run as something else, naming every field that differs.
///
/// # Errors
/// When protocol, subject, setting or seed differ.
pub fn same_run(directory: &Path, before: &Manifest, now: &Manifest) -> Result<()> {
    let mut fields = vec![];
    if before.protocol_fingerprint != now.protocol_fingerprint {
        fields.extend(protocol_differences(before, now));
    }
    fields.extend(differences("subject", &before.subject, &now.subject));
    fields.extend(differences("setting", &before.setting, &now.setting));
    if fields.is_empty() {
        return Ok(());
    }
    let text = format!("`{}` was started with another {}", directory.display(), fields.join("; "));
    Err(Refused::new(text).hint("start a new run with `--out`").into())
}

fn protocol_differences(before: &Manifest, now: &Manifest) -> Vec<String> {
    let (old, new) = (&before.protocol, &now.protocol);
    if (&old.name, old.version) != (&new.name, new.version) {
        return vec![format!(
            "protocol ({} version {}, now {} version {})",
            old.name, old.version, new.name, new.version
        )];
    }
    let text = |map: &BTreeMap<String, serde_json::Value>| -> BTreeMap<String, String> {
        map.iter().map(|(name, value)| (name.clone(), value.to_string())).collect()
    };
    let fields = differences("protocol", &text(&old.environment), &text(&new.environment));
    if fields.is_empty() { vec!["protocol (its suites)".into()] } else { fields }
}

fn differences(
    what: &str,
    before: &BTreeMap<String, String>,
    now: &BTreeMap<String, String>,
) -> Vec<String> {
    let names: std::collections::BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let show = |value: Option<&String>| value.map_or("none".into(), |value| format!("`{value}`"));
    names
        .into_iter()
        .filter(|name| before.get(*name) != now.get(*name))
        .map(|name| {
            format!("{what}.{name} ({}, now {})", show(before.get(name)), show(now.get(name)))
        })
        .collect()
}
