//! How commands read run directories: what must be said of a run is said, whatever it is read for.

use std::path::Path;

use anyhow::Result;
use udvla_results::out::printable::printable_line;
use udvla_results::run::damage::Damage;
use udvla_results::run::read::Run;

use crate::plan::Trust;
use crate::run;

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
