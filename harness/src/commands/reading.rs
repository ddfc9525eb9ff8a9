//! How commands read run directories: what must be said of a run is said, whatever it is read for.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use udvla_results::out::printable::printable_line;
use udvla_results::run::damage::Damage;
use udvla_results::run::read::{MANIFEST_FILE, Run};

use crate::plan::Trust;
use crate::run;

/// Folders below a named one that are searched for runs.
const DEPTH: usize = 3;

/// Run directories at or below `folder`, sorted; links are not followed.
pub fn runs_below(folder: &Path) -> Vec<PathBuf> {
    return search(folder, DEPTH);

    fn search(folder: &Path, depth: usize) -> Vec<PathBuf> {
        if folder.join(MANIFEST_FILE).is_file() {
            return vec![folder.to_owned()];
        }
        if depth == 0 {
            return vec![];
        }
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let mut folders: Vec<PathBuf> = folders.map(|entry| entry.path()).collect();
        folders.sort();
        folders.iter().flat_map(|folder| search(folder, depth - 1)).collect()
    }
}

/// The run in a directory; what must be said of it goes to stderr.
pub fn noted(directory: &Path, damage: Damage) -> Result<Run> {
    let run = run::read(directory, damage)?;
    say_notes(std::slice::from_ref(&run));
    Ok(run)
}

/// Says on stderr what must be said of runs: not every format of a table has room for it.
pub fn say_notes(runs: &[Run]) {
    for note in runs.iter().flat_map(|run| &run.notes) {
        eprintln!("note: {}", printable_line(note));
    }
}

/// Whether the user trusts a run directory.
pub fn trust(given: bool) -> Trust {
    if given { Trust::Directory } else { Trust::Installation }
}
