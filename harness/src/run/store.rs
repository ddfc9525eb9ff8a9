//! An open run directory: read, appended to, discarded.
//!
//! Only the dispatcher's thread writes to it, except for videos and logs (the workers) and images
//! of predicted futures (the worker threads).

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use safetensors::tensor::{Dtype, TensorView};
use udvla_results::run::actions::digest;
use udvla_results::run::damage::Damage;
use udvla_results::run::files::{link_out_of, write_atomic};
use udvla_results::run::manifest::Manifest;
use udvla_results::run::read::{MANIFEST_FILE, RECORDS_FILE, Run};
use udvla_results::run::record::{EpisodeRecord, Status};
use udvla_results::run::seal::{Chain, RecordsEnd, manifest_text};
use udvla_results::run::timeline::Timeline;
use udvla_sims::wire;

use super::clock;
use super::directory::{self, Prepared};
use super::owner::Owner;
use crate::exit::Refused;
use crate::plan::TakeOver;

/// An open run directory.
#[derive(Debug)]
pub struct Store {
    directory: PathBuf,
    records: File,
    /// Bytes of whole records.
    length: u64,
    /// What the next record is chained to; none in a run that began without checksums.
    chain: Option<Chain>,
    /// What is done with a run that is not as it was written.
    damage: Damage,
    /// Whether this process created the directory.
    created: bool,
    owner: Owner,
}

impl Store {
    /// Creates the directory, or opens the run that is in it, and locks it.
    ///
    /// # Errors
    /// When another process uses it, or it contains something else than a run.
    pub fn open(directory: &Path, take_over: TakeOver) -> Result<Self> {
        if directory.is_dir() {
            refuse_links(directory)?;
        }
        let Prepared { created, owner, records } = directory::prepare(directory, take_over)?;
        let length = records.metadata().context("cannot read the records")?.len();
        let (directory, damage) = (directory.to_owned(), Damage::Refuse);
        Ok(Self { directory, records, length, chain: None, damage, created, owner })
    }

    /// Whether an episode has a record.
    pub fn has_records(&self) -> bool {
        self.length > 0
    }

    /// Removes the directory again if this process created it and no episode has a record.
    pub fn discard_if_unused(self) {
        if self.created && !self.has_records() {
            // It has a manifest, empty folders and the logs of workers that never opened.
            let _ = fs::remove_dir_all(&self.directory);
        }
    }

    /// The run that is in the directory already, if there is one. An incomplete last line, left by
    /// a crash, is removed.
    ///
    /// # Errors
    /// When it is damaged anywhere else and `damage` does not accept that: nothing is dropped
    /// silently.
    pub fn previous_run(&mut self, damage: Damage) -> Result<Option<Run>> {
        self.damage = damage;
        let manifest = self.directory.join(MANIFEST_FILE);
        let is_empty = fs::metadata(&manifest).map_or(true, |metadata| metadata.len() == 0);
        if is_empty && !self.has_records() {
            return Ok(None);
        }
        let run = self.read()?;
        let bytes = self.record_bytes()?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        if whole < bytes.len() {
            self.truncate(whole as u64)?;
        }
        Ok(Some(run))
    }

    /// The run as it is in the directory now.
    ///
    /// # Errors
    /// As [`read_run`].
    pub fn read(&self) -> Result<Run> {
        read_run(&self.directory, self.damage)
    }

    /// Replaces the manifest in one step: a reader sees the old one or the new one. It says where
    /// the records end now.
    ///
    /// # Errors
    /// When it cannot be written, or another process took the directory over.
    pub fn write_manifest(&mut self, manifest: &Manifest) -> Result<()> {
        self.owner.check()?;
        if let Some(id) = &manifest.id
            && self.chain.as_ref().is_none_or(|chain| chain.run() != id)
        {
            let end = RecordsEnd::of(&self.record_bytes()?);
            self.chain = Some(Chain::new(id.clone(), end));
        }
        let records = self.chain.as_ref().map(|chain| chain.end().clone());
        let manifest = Manifest { records, ..manifest.clone() };
        let text = match manifest.id {
            Some(_) => manifest_text(&manifest),
            None => serde_json::to_string_pretty(&manifest)? + "\n",
        };
        self.write(MANIFEST_FILE, text.as_bytes())
    }

    /// Appends a record with one write, after its actions (`width` numbers per step, 0 where nobody
    /// recorded any) are on disk with their timeline.
    ///
    /// # Errors
    /// When a file cannot be written, or another process took the directory over; the records then
    /// end with the last whole one.
    pub fn append(
        &mut self,
        mut record: EpisodeRecord,
        actions: &[f32],
        width: usize,
        timeline: &Timeline,
    ) -> Result<EpisodeRecord> {
        self.owner.check()?;
        if record.status == Status::Ok && width > 0 {
            let name = format!("actions/{}.safetensors", record.key());
            let steps = actions.len() / width;
            let bytes = wire::to_bytes(actions);
            let view = TensorView::new(Dtype::F32, vec![steps, width], &bytes)?;
            let file = safetensors::serialize([("actions", view)], Some(timeline.to_metadata()))?;
            self.write(&name, &file)?;
            record.actions = Some(name);
            record.actions_sha256 = self.chain.as_ref().map(|_| digest(&file));
        }
        let text = serde_json::to_string(&record)?;
        let line =
            self.chain.as_ref().map_or_else(|| text.clone() + "\n", |chain| chain.line(&text));
        let written =
            self.records.write_all(line.as_bytes()).and_then(|()| self.records.sync_data());
        if let Err(error) = written {
            let _ = self.truncate(self.length);
            let path = self.directory.join(RECORDS_FILE);
            return Err(error).with_context(|| format!("cannot write `{}`", path.display()));
        }
        self.length += line.len() as u64;
        self.chain.iter_mut().for_each(|chain| chain.advance(&line));
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

    fn record_bytes(&self) -> Result<Vec<u8>> {
        let path = self.directory.join(RECORDS_FILE);
        fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))
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

/// Refuses a run directory with a link that leads out of it: nothing is written or read through it.
///
/// # Errors
/// [`Refused`] with the link.
pub fn refuse_links(directory: &Path) -> Result<()> {
    let link = match link_out_of(directory) {
        Ok(None) => return Ok(()),
        Ok(Some(link)) => link,
        // A directory that is not there is another error, of those who read it.
        Err(error) if [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&error.kind()) => {
            return Ok(());
        }
        Err(error) => {
            let text = format!("cannot look for links in `{}`", directory.display());
            return Err(anyhow::Error::new(error).context(text));
        }
    };
    let text = format!("`{}` is a link that leads out of the run directory", link.display());
    Err(Refused::new(text).hint("replace it with the file or folder itself, or remove it").into())
}

/// Reads the run in a directory.
///
/// # Errors
/// [`Refused`] when it is not a run directory, or damaged and `damage` does not accept that.
pub fn read_run(directory: &Path, damage: Damage) -> Result<Run> {
    Run::read_with(directory, damage).map_err(|error| {
        if directory::is_vacant(directory).unwrap_or(false) {
            let text = format!("`{}` holds no run yet", directory.display());
            let hint = format!(
                "repeat the command that was to start it, with `--out {}`",
                directory.display()
            );
            return Refused::new(text).hint(hint).into();
        }
        let refused = Refused::new(format!("cannot read `{}`", directory.display()));
        refused.maybe_hint(error.hint()).because(error).into()
    })
}
