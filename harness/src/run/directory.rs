//! A run directory before its first record: made or taken over, and locked.

use std::fs::{self, DirEntry, File};
use std::io::{self, ErrorKind};
use std::path::Path;

use anyhow::{Context, Result};
use udvla_results::run::read::{MANIFEST_FILE, RECORDS_FILE};

use super::owner::{LOCK, OWNER, Owner};
use crate::exit::Refused;
use crate::plan::TakeOver;

/// Folders of every run.
const FOLDERS: [&str; 3] = ["logs", "actions", "videos"];
/// What else a run makes beside them before its first record.
const LATER: [&str; 2] = ["futures", "scratch"];

/// A directory that this process may write to.
#[derive(Debug)]
pub struct Prepared {
    /// Whether this process made it.
    pub created: bool,
    /// Held as long as the run goes on.
    pub owner: Owner,
    /// The records, to be appended to.
    pub records: File,
}

/// Makes a directory for a run, or takes one that holds a run or nothing of value, and locks it.
///
/// # Errors
/// [`Refused`] when another process uses it, or it holds something else than a run.
pub fn prepare(directory: &Path, take_over: TakeOver) -> Result<Prepared> {
    let unusable = || format!("cannot use `{}` as a run directory", directory.display());
    let created = !directory.exists();
    if !created {
        check_contents(directory)?;
    }
    for folder in FOLDERS {
        fs::create_dir_all(directory.join(folder)).map_err(|error| match error.kind() {
            ErrorKind::NotADirectory => no_folder(directory).because(error).into(),
            _ => anyhow::Error::new(error).context(unusable()),
        })?;
    }
    let owner = Owner::take(directory, take_over)?;
    remove_temporary_files(directory).with_context(unusable)?;
    let records = File::options().create(true).append(true).open(directory.join(RECORDS_FILE));
    let records = records.with_context(unusable)?;
    if created {
        sync_with_parent(directory).with_context(unusable)?;
    }
    Ok(Prepared { created, owner, records })
}

/// Whether a directory holds no run and nothing of value: it is empty, or its run was killed before
/// it had a manifest.
///
/// # Errors
/// When it cannot be read.
pub fn is_vacant(directory: &Path) -> io::Result<bool> {
    let is_locked = fs::symlink_metadata(directory.join(LOCK)).is_ok_and(|lock| lock.is_file());
    for entry in fs::read_dir(directory)? {
        if !is_of_a_start(&entry?, is_locked)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn no_folder(directory: &Path) -> Refused {
    let text = format!("`{}` cannot be a run directory", directory.display());
    Refused::new(text).hint("name a new folder with `--out`")
}

/// Checks that a folder holds a run or nothing.
///
/// # Errors
/// [`Refused`] when it is a file, or holds something else.
pub fn check_contents(directory: &Path) -> Result<()> {
    let unusable = || format!("cannot use `{}` as a run directory", directory.display());
    if !directory.is_dir() {
        return Err(no_folder(directory).because("it is a file").into());
    }
    if is_vacant(directory).with_context(unusable)? {
        return Ok(());
    }
    let length = |name| fs::metadata(directory.join(name)).map_or(0, |metadata| metadata.len());
    if length(MANIFEST_FILE) > 0 {
        return Ok(());
    }
    if length(RECORDS_FILE) > 0 {
        let text = format!("`{}` has records but no `{MANIFEST_FILE}`", directory.display());
        let hint = "restore that file, or name a new folder with `--out`";
        return Err(Refused::new(text).hint(hint).into());
    }
    let text = format!("`{}` exists and is not a run directory", directory.display());
    Err(Refused::new(text).hint("name a new folder with `--out`").into())
}

/// Whether a run makes such an entry before its manifest. It locks its directory before it writes
/// anything else than empty folders: without a lock, what a folder holds is someone else's.
fn is_of_a_start(entry: &DirEntry, is_locked: bool) -> io::Result<bool> {
    let name = entry.file_name();
    let name = name.to_string_lossy();
    let name = name.as_ref();
    if [MANIFEST_FILE, RECORDS_FILE, LOCK].contains(&name) {
        return Ok(entry.metadata()?.len() == 0);
    }
    if !entry.file_type()?.is_dir() {
        return Ok(is_locked && (name == OWNER || is_temporary(name)));
    }
    let is_empty = fs::read_dir(entry.path())?.next().is_none();
    Ok(match name {
        "actions" => is_empty,
        _ if FOLDERS.contains(&name) => is_empty || is_locked,
        _ => is_locked && LATER.contains(&name),
    })
}

/// Whether a file was being written when its process was killed: `.tmp` and six letters or digits.
fn is_temporary(name: &str) -> bool {
    let random = name.strip_prefix(".tmp");
    random.is_some_and(|it| it.len() == 6 && it.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

fn remove_temporary_files(directory: &Path) -> io::Result<()> {
    for folder in [directory.to_owned(), directory.join("actions")] {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let is_file = entry.file_type()?.is_file();
            if is_file && is_temporary(&entry.file_name().to_string_lossy()) {
                fs::remove_file(entry.path())?;
            }
        }
    }
    Ok(())
}

/// Makes the names of a new directory and of its contents survive a power cut.
fn sync_with_parent(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()?;
    match directory.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => File::open(parent)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(directory: &Path) -> String {
        prepare(directory, TakeOver::No).unwrap_err().to_string()
    }

    #[test]
    fn what_a_killed_start_leaves_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("run");
        fs::create_dir_all(directory.join("logs")).unwrap();
        fs::create_dir_all(directory.join("scratch/worker-00")).unwrap();
        for name in ["run.json", "episodes.jsonl", "lock", "owner.json", ".tmpa1B2c3"] {
            fs::write(directory.join(name), "").unwrap();
        }
        fs::write(directory.join("logs/worker-00.log"), "it started").unwrap();
        assert!(is_vacant(&directory).unwrap());
        let prepared = prepare(&directory, TakeOver::No).unwrap();
        assert!(!prepared.created);
        assert!(!directory.join(".tmpa1B2c3").exists());
        assert!(refusal(&directory).contains("in use by another process"));
    }

    #[test]
    fn anything_else_is_left_alone() {
        for (name, text) in [
            ("thesis.tex", ""),
            (".tmp", "x"),
            (".tmpThesis", "x"),
            ("data/x", ""),
            ("scratch/thesis/a.tex", "x"),
            ("logs/worker-00.log", "x"),
            ("videos/holiday.mp4", "x"),
            ("futures/x", ""),
            ("lock", "x"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            assert!(refusal(folder.path()).contains("is not a run directory"), "{name}");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "{name}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text, "{name}");
            fs::write(folder.path().join(MANIFEST_FILE), "").unwrap();
            assert!(refusal(folder.path()).contains("is not a run directory"), "{name}");
        }
    }

    #[test]
    fn a_file_is_refused_and_so_is_what_lies_below_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("notes.txt");
        fs::write(&file, "precious").unwrap();
        for directory in [file.clone(), file.join("run")] {
            let error = prepare(&directory, TakeOver::No).unwrap_err();
            let refused = error.downcast_ref::<Refused>().expect("a refusal");
            assert!(refused.next_step().is_some_and(|hint| hint.contains("--out")), "{error}");
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    }

    #[test]
    fn records_without_a_manifest_are_not_taken_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(RECORDS_FILE), "{}\n").unwrap();
        assert!(refusal(folder.path()).contains("has records but no `run.json`"));
        let actions = tempfile::tempdir().unwrap();
        fs::create_dir(actions.path().join("actions")).unwrap();
        fs::write(actions.path().join("actions/long-task00-trial000.safetensors"), "x").unwrap();
        assert!(refusal(actions.path()).contains("is not a run directory"));
    }
}
