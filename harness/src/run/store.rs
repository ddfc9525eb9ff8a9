//! The run directory: created or continued, locked, appended to.
//!
//! Only the dispatcher's thread writes to it, except for videos and logs (the workers) and images
//! of predicted futures (the worker threads).

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use safetensors::tensor::{Dtype, TensorView};
use udvla_results::run::files::write_atomic;
use udvla_results::run::manifest::Manifest;
use udvla_results::run::read::{MANIFEST_FILE, RECORDS_FILE, Run};
use udvla_results::run::record::{EpisodeRecord, Status};
use udvla_results::run::timeline::Timeline;
use udvla_sims::wire;

use super::clock;
use crate::exit::Refused;

/// An open run directory.
#[derive(Debug)]
pub struct Store {
    directory: PathBuf,
    records: File,
    /// Bytes of whole records.
    length: u64,
    /// Whether this process created the directory.
    created: bool,
    _lock: File,
}

impl Store {
    /// Creates the directory, or opens the run that is in it, and locks it.
    ///
    /// # Errors
    /// When another process uses it, or it contains something else than a run.
    pub fn open(directory: &Path) -> Result<Self> {
        let unusable = || format!("cannot use `{}` as a run directory", directory.display());
        let created = !directory.exists();
        if !created && is_foreign(directory).with_context(unusable)? {
            let text = format!("`{}` exists and is not a run directory", directory.display());
            return Err(Refused::new(text).hint("name a new folder with `--out`").into());
        }
        for folder in ["logs", "actions", "videos"] {
            fs::create_dir_all(directory.join(folder)).with_context(unusable)?;
        }
        let lock = File::create(directory.join("lock")).with_context(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let text = format!("`{}` is in use by another process", directory.display());
                let hint = "wait for it to end, or name a new folder with `--out`";
                return Err(Refused::new(text).hint(hint).into());
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(unusable),
        }
        let path = directory.join(RECORDS_FILE);
        let records =
            OpenOptions::new().create(true).append(true).open(path).with_context(unusable)?;
        let length = records.metadata().with_context(unusable)?.len();
        Ok(Self { directory: directory.to_owned(), records, length, created, _lock: lock })
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Removes the directory again if this process created it and no run began in it.
    pub fn discard_if_empty(self) {
        if self.created && self.length == 0 && !self.directory.join(MANIFEST_FILE).exists() {
            // It has empty folders and the logs of workers that never opened.
            let _ = fs::remove_dir_all(&self.directory);
        }
    }

    /// The run that is in the directory already, if there is one. An incomplete last line, left by
    /// a crash, is removed.
    ///
    /// # Errors
    /// When it is damaged anywhere else: nothing is dropped silently.
    pub fn previous_run(&mut self) -> Result<Option<Run>> {
        if !self.directory.join(MANIFEST_FILE).exists() {
            return Ok(None);
        }
        let path = self.directory.join(RECORDS_FILE);
        let bytes = fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        if whole < bytes.len() {
            self.truncate(whole as u64)?;
        }
        read_run(&self.directory).map(Some)
    }

    /// Replaces the manifest in one step: a reader sees the old one or the new one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_manifest(&self, manifest: &Manifest) -> Result<()> {
        let text = serde_json::to_string_pretty(manifest)? + "\n";
        self.write(MANIFEST_FILE, text.as_bytes())
    }

    /// Appends a record with one write, after its actions (`width` numbers per step) are on disk with
    /// their timeline.
    ///
    /// # Errors
    /// When a file cannot be written; the records then end with the last whole one.
    pub fn append(
        &mut self,
        mut record: EpisodeRecord,
        actions: &[f32],
        width: usize,
        timeline: &Timeline,
    ) -> Result<EpisodeRecord> {
        if record.status == Status::Ok {
            let name = format!("actions/{}.safetensors", record.key());
            let steps = actions.len() / width.max(1);
            let bytes = wire::to_bytes(actions);
            let view = TensorView::new(Dtype::F32, vec![steps, width], &bytes)?;
            let file = safetensors::serialize([("actions", view)], Some(timeline.to_metadata()))?;
            self.write(&name, &file)?;
            record.actions = Some(name);
        }
        let line = serde_json::to_string(&record)? + "\n";
        let written =
            self.records.write_all(line.as_bytes()).and_then(|()| self.records.sync_data());
        if let Err(error) = written {
            let _ = self.truncate(self.length);
            let path = self.directory.join(RECORDS_FILE);
            return Err(error).with_context(|| format!("cannot write `{}`", path.display()));
        }
        self.length += line.len() as u64;
        Ok(record)
    }

    /// Appends a line with its time to the policy's log.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn log_policy(&self, line: &str) -> Result<()> {
        let path = self.directory.join("logs/policy.log");
        let now = clock::now();
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .and_then(|mut log| writeln!(log, "{now} {line}"))
            .with_context(|| format!("cannot write `{}`", path.display()))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.directory.join(name);
        write_atomic(&path, bytes).with_context(|| format!("cannot write `{}`", path.display()))
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.records.set_len(length)?;
        self.length = length;
        Ok(())
    }
}

/// Whether a directory has contents but no run.
fn is_foreign(directory: &Path) -> io::Result<bool> {
    Ok(!directory.join(MANIFEST_FILE).exists() && fs::read_dir(directory)?.next().is_some())
}

/// Reads the run in a directory.
///
/// # Errors
/// [`Refused`] when it is not a run directory, or damaged.
pub fn read_run(directory: &Path) -> Result<Run> {
    Run::read(directory).map_err(|error| {
        let refused = Refused::new(format!("cannot read `{}`", directory.display()));
        refused.maybe_hint(error.hint()).because(error).into()
    })
}
