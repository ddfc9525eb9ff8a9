//! What `--stop-early` holds a run against.

use std::path::Path;

use anyhow::Result;
use udvla_results::early::{Watch, WatchError};
use udvla_results::manifest::Manifest;
use udvla_results::paper::Paper;

use crate::commands::gate;
use crate::exit::Refused;

/// The watch that was asked for: the paper, a run directory, or a stored baseline.
///
/// # Errors
/// [`Refused`] when there is no such baseline, or the run cannot be held against it.
pub(crate) fn watch(asked: &str, manifest: &Manifest) -> Result<Watch> {
    let watch = match asked {
        "paper" => Watch::paper(manifest, &Paper::bundled()),
        path => Watch::baseline(manifest, &gate::baseline(Path::new(path))?),
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
