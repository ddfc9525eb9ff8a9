//! A run directory made of several that are parts of one run.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use udvla_sims::episode::EpisodeKey;

use super::files::{MANIFEST_FILE, RECORDS_FILE, read_inside, write_atomic};
use super::manifest::{EpisodeCounts, Manifest, MergedRun, RunStatus, SCHEMA};
use super::merge::Pooled;
use super::read::Run;
use super::record::{EpisodeRecord, Status};
use super::seal::{Chain, RecordsEnd, manifest_text};
use super::{actions, evidence};

/// The policy's remarks in a run directory.
const REMARKS: &str = "logs/policy.log";

/// Why parts cannot be made one directory.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum WriteError {
    #[error("`{}` carries no checksums (schema {schema})", .dir.display())]
    Unsealed { dir: PathBuf, schema: u16 },
    #[error("cannot copy {what} of {key} in `{}`", .dir.display())]
    Copy { what: &'static str, key: EpisodeKey, dir: PathBuf, source: io::Error },
    #[error("cannot write `{}`", .path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// The planned episodes without a record, whatever part they are in.
pub fn missing(run: &Run) -> Vec<EpisodeKey> {
    let planned = run.manifest.plan.iter().flat_map(|planned| planned.episodes());
    planned.filter(|key| !run.records.contains_key(key)).collect()
}

/// Writes the pooled run into the empty folder `out`: the records in the plan's order under the id
/// `id`, with their actions, videos and predicted images. `run.json` comes last: without it the
/// folder is no run.
///
/// # Errors
/// See [`WriteError`].
pub fn write(out: &Path, id: String, pooled: &Pooled) -> Result<Manifest, WriteError> {
    for (dir, part) in &pooled.parts {
        let Manifest { id, schema, .. } = &part.manifest;
        if id.is_none() {
            return Err(WriteError::Unsealed { dir: dir.clone(), schema: *schema });
        }
    }
    for (dir, part) in &pooled.parts {
        for record in part.records.values() {
            copy_files(dir, out, record)?;
        }
    }
    let failed = |path: PathBuf| move |source| WriteError::Write { path, source };
    let remarks: Vec<u8> = pooled.parts.iter().flat_map(|(dir, _)| remarks(dir)).collect();
    if !remarks.is_empty() {
        let path = out.join(REMARKS);
        create(&path, &remarks).map_err(failed(path))?;
    }
    let mut chain = Chain::new(id.clone(), RecordsEnd::empty());
    let mut text = String::new();
    for record in pooled.run.records.values() {
        let record = serde_json::to_string(record).expect("a record is plain data");
        let line = chain.line(&record);
        chain.advance(&line);
        text += &line;
    }
    let path = out.join(RECORDS_FILE);
    write_atomic(&path, text.as_bytes()).map_err(failed(path))?;
    let manifest = manifest(out, id, chain.end().clone(), pooled);
    let path = out.join(MANIFEST_FILE);
    write_atomic(&path, manifest_text(&manifest).as_bytes()).map_err(failed(path))?;
    Ok(manifest)
}

fn manifest(out: &Path, id: String, records: RecordsEnd, pooled: &Pooled) -> Manifest {
    let Pooled { run, parts } = pooled;
    let count = |status| {
        let of_status = run.records.values().filter(|record| record.status == status);
        of_status.count() as u32
    };
    let (ok, error) = (count(Status::Ok), count(Status::Error));
    let asked = run.manifest.plan.iter().map(|planned| u32::from(planned.trials)).sum();
    let status = match (ok + error == asked, error) {
        (false, _) => RunStatus::Interrupted,
        (true, 0) => RunStatus::Complete,
        (true, _) => RunStatus::CompleteWithErrors,
    };
    let merged = parts.iter().map(|(_, part)| MergedRun {
        run: part.manifest.run.clone(),
        id: part.manifest.id.clone().unwrap_or_default(),
        parts: part.manifest.parts.clone(),
        episodes: part.records.len() as u32,
        machine: part.manifest.machine.clone(),
    });
    let ends = parts.iter().filter_map(|(_, part)| part.manifest.ended.clone());
    Manifest {
        schema: SCHEMA,
        run: out.file_name().map_or("run".into(), |name| name.to_string_lossy().into_owned()),
        id: Some(id),
        status,
        parts: vec![],
        episodes: EpisodeCounts { asked, ok, error },
        records: Some(records),
        ended: ends.max(),
        stopped_early: None,
        merged: merged.collect(),
        ..run.manifest.clone()
    }
}

/// Copies what belongs to a record; actions must be as they were written.
fn copy_files(dir: &Path, out: &Path, record: &EpisodeRecord) -> Result<(), WriteError> {
    let key = record.key();
    let failed = |what| {
        let (key, dir) = (key.clone(), dir.to_path_buf());
        move |source| WriteError::Copy { what, key, dir, source }
    };
    if let Some(name) = &record.actions {
        let copied = actions::read(dir, record).and_then(|bytes| create(&out.join(name), &bytes));
        copied.map_err(failed("the actions"))?;
    }
    if let Some(name) = &record.video {
        // A run goes on without a video that could not be made.
        match read_inside(dir, Path::new(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            read => {
                let copied = read.and_then(|bytes| create(&out.join(name), &bytes));
                copied.map_err(failed("the video"))?;
            }
        }
    }
    for name in evidence::futures(dir, &key).into_values() {
        let read = read_inside(dir, Path::new(&name));
        let copied = read.and_then(|bytes| create(&out.join(&name), &bytes));
        copied.map_err(failed("the predicted images"))?;
    }
    Ok(())
}

/// The policy's remarks, whole lines; none where it made none.
fn remarks(dir: &Path) -> Vec<u8> {
    let mut log = read_inside(dir, Path::new(REMARKS)).unwrap_or_default();
    if !log.is_empty() && log.last() != Some(&b'\n') {
        log.push(b'\n');
    }
    log
}

/// A new file, in a folder that is made if need be.
fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = File::create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// The first episodes of a list by name, and how many more there are.
pub fn named(keys: &[EpisodeKey]) -> String {
    const NAMED: usize = 5;
    let names: BTreeSet<String> = keys.iter().take(NAMED).map(EpisodeKey::to_string).collect();
    let names: Vec<String> = names.into_iter().collect();
    match keys.len().saturating_sub(NAMED) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}
