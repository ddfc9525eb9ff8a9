//! The run directory: made or continued, locked, appended to. Only the dispatcher's thread
//! writes to it; videos and logs are the workers' own, pictures of futures the pool threads'.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use safetensors::tensor::{Dtype, TensorView};
use udvla_results::differences;
use udvla_results::manifest::Manifest;
use udvla_results::read::{MANIFEST_FILE, RECORDS_FILE, Run, RunDirectory};
use udvla_results::record::{EpisodeRecord, Status};
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
                && !directory.join(MANIFEST_FILE).exists()
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
        let path = directory.join(RECORDS_FILE);
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
        if self.made && self.length == 0 && !self.directory.join(MANIFEST_FILE).exists() {
            // What stands in it is an empty skeleton and the logs of workers that never opened.
            let _ = fs::remove_dir_all(&self.directory);
        }
    }

    /// The run that is in the directory already, if there is one. A last line that a crash tore
    /// is cut off.
    ///
    /// # Errors
    /// When it is damaged anywhere else: nothing is dropped in silence.
    pub fn run(&mut self) -> Result<Option<Run>> {
        if !self.directory.join(MANIFEST_FILE).exists() {
            return Ok(None);
        }
        let path = self.directory.join(RECORDS_FILE);
        let bytes = fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        if whole < bytes.len() {
            self.cut(whole as u64)?;
        }
        read(&self.directory).map(Some)
    }

    /// Writes the manifest in one step: a reader sees the old one or the new one.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write_manifest(&self, manifest: &Manifest) -> Result<()> {
        let text = serde_json::to_string_pretty(manifest)? + "\n";
        replace(&self.directory.join(MANIFEST_FILE), text.as_bytes())
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
            let path = self.directory.join(RECORDS_FILE);
            return Err(error).with_context(|| format!("cannot write `{}`", path.display()));
        }
        self.length += line.len() as u64;
        Ok(record)
    }

    /// Appends a line with its time to the policy's log.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn log_policy(&self, line: &str) -> Result<()> {
        let path = self.directory.join("logs/policy.log");
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .and_then(|mut log| writeln!(log, "{now} {line}"))
            .with_context(|| format!("cannot write `{}`", path.display()))
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

/// The run in a directory.
///
/// # Errors
/// [`Refused`] when it is no run directory, or a damaged one.
pub fn read(directory: &Path) -> Result<Run> {
    RunDirectory::read(directory).map_err(|error| {
        let hint = error.hint();
        let refused = Refused::new(format!("cannot read `{}`", directory.display()));
        hint.into_iter().fold(refused.because(error), Refused::hint).into()
    })
}

/// Refuses to continue a run as something else, naming every field that differs.
///
/// # Errors
/// When protocol, subject or setting differ.
pub fn same_run(directory: &Path, before: &Manifest, now: &Manifest) -> Result<()> {
    let fields = differences::all(before, now, "now");
    if fields.is_empty() {
        return Ok(());
    }
    let text = format!("`{}` was started with another {}", directory.display(), fields.join("; "));
    Err(Refused::new(text).hint("start a new run with `--out`").into())
}
