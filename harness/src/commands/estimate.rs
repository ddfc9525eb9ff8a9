//! How long a run takes, from the measured speed of an earlier one.

use std::fmt;
use std::path::{Path, PathBuf};

use udvla_results::run::read::Run;
use udvla_results::run::record::Status;
use udvla_results::tables::format::plural;

use crate::plan::Plan;

/// A measured speed, applied to a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// Hours for all episodes of the plan.
    pub hours: f64,
    /// The run that was measured.
    pub from: PathBuf,
    /// Its episodes.
    pub measured: usize,
    /// Its wall-clock time per episode, in seconds, with so many workers.
    pub seconds: f64,
    /// Its simulators.
    pub workers: usize,
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { hours, from, measured, seconds, workers } = self;
        match hours {
            hours if *hours < 1.0 => write!(f, "{:.0} minutes", (hours * 60.0).max(1.0))?,
            hours => write!(f, "{hours:.1} hours")?,
        }
        let episodes = plural(*measured as u32, "episode");
        let workers = plural(*workers as u32, "worker");
        write!(
            f,
            " at {seconds:.1} s per episode: {episodes} with {workers} in `{}`",
            from.display()
        )
    }
}

/// From the latest run of the same policy on the same suites beside the plan's directory; `None` if
/// there is none with an episode that ran.
pub fn of(plan: &Plan) -> Option<Estimate> {
    let beside = plan.directory.parent().filter(|parent| !parent.as_os_str().is_empty());
    let folders = std::fs::read_dir(beside.unwrap_or(Path::new("."))).ok()?.flatten();
    let runs = folders.filter_map(|folder| measured(plan, &folder.path()));
    runs.max_by(|(one, _), (other, _)| one.cmp(other)).map(|(_, estimate)| estimate)
}

/// When a run of the same policy and suites started, and what it says of the plan.
fn measured(plan: &Plan, directory: &Path) -> Option<(String, Estimate)> {
    let run = Run::read(directory).ok()?;
    let stored = Plan::stored(&run.manifest, directory.into()).ok()??;
    let same = stored.protocol.benchmark == plan.protocol.benchmark
        && stored.suites() == plan.suites()
        && stored.policy == plan.policy;
    if !same {
        return None;
    }
    let seconds = seconds_per_episode(&run)?;
    let measured = run.records.values().filter(|record| record.status == Status::Ok).count();
    let hours = plan.episodes().len() as f64 * seconds / 3600.0;
    let workers = stored.execution.workers;
    Some((
        run.manifest.started,
        Estimate { hours, from: directory.into(), measured, seconds, workers },
    ))
}

/// Wall-clock seconds of a run per episode that ran: of its workers together, without the time
/// between its processes; `None` if none ran.
pub fn seconds_per_episode(run: &Run) -> Option<f64> {
    let ran = run.records.values().filter(|record| record.status == Status::Ok);
    let mut times = Vec::new();
    for record in ran {
        let start: jiff::Timestamp = record.started.parse().ok()?;
        let start = start.as_millisecond() as f64 / 1000.0;
        times.push((start, start + record.seconds.wall));
    }
    times.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let (mut busy, mut until) = (0.0, f64::NEG_INFINITY);
    for &(start, end) in &times {
        busy += (end - until.max(start)).max(0.0);
        until = until.max(end);
    }
    (!times.is_empty()).then(|| busy / times.len() as f64)
}
