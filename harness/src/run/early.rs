//! What `--stop-early` compares a run with.

use std::path::Path;

use anyhow::Result;
use udvla_results::compare::early::{Watch, WatchError};
use udvla_results::compare::gate::Baseline;
use udvla_results::paper::Paper;
use udvla_results::run::damage::Damage;
use udvla_results::run::manifest::Manifest;
use udvla_results::run::read::Run;

use super::store::read_run;
use crate::exit::Refused;

/// The watch for `reference`: `paper`, a run directory, or a file with a baseline.
///
/// # Errors
/// [`Refused`] when there is no such baseline, or the run cannot be compared with it.
pub fn watch(reference: &str, manifest: &Manifest, damage: Damage) -> Result<Watch> {
    let watch = match reference {
        "paper" => Watch::paper(manifest, &Paper::bundled()),
        path => Watch::baseline(manifest, &baseline(Path::new(path), damage)?),
    };
    Ok(watch.map_err(|error| {
        let hint = match &error {
            WatchError::Protocol(_) => "name a run of the same protocol",
            WatchError::Lacking { .. } => "run no more than the baseline did, or complete it first",
            WatchError::Withheld(_) => "name a run or a baseline instead of `paper`",
            WatchError::Order(_) => "leave `--stop-early` out, or use the default reset mode",
        };
        Refused::new("`--stop-early` is not possible here").because(error).hint(hint)
    })?)
}

/// The baseline in a run directory or a file.
///
/// # Errors
/// [`Refused`] when it is neither.
pub fn baseline(path: &Path, damage: Damage) -> Result<Run> {
    if path.is_dir() {
        return read_run(path, damage);
    }
    let damaged = || Refused::new(format!("`{}` is not a baseline", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| {
        damaged().because(error).hint("`udvla-eval gate RUN --save-baseline FILE` writes one")
    })?;
    let baseline = Baseline::from_text(&text).map_err(|error| {
        damaged().because(error).hint("write it again: `udvla-eval gate RUN --save-baseline FILE`")
    })?;
    baseline.run().map_err(|error| damaged().because(error).into())
}
