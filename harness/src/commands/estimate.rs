//! How long a run takes, from the measured rate of an earlier one.

use std::fmt;
use std::path::{Path, PathBuf};

use udvla_results::run::read::Run;
use udvla_results::run::record::Status;

use crate::plan::Plan;

/// A measured rate, applied to a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// Hours for all episodes of the plan.
    pub hours: f64,
    /// The run that was measured.
    pub from: PathBuf,
    /// Its episodes.
    pub measured: usize,
    /// Mean wall-clock time of one, in seconds.
    pub seconds: f64,
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { hours, from, measured, seconds } = self;
        let from = from.display();
        match hours {
            hours if *hours < 1.0 => write!(f, "{:.0} minutes", (hours * 60.0).max(1.0))?,
            hours => write!(f, "{hours:.1} hours")?,
        }
        write!(f, ", from {measured} episodes of {seconds:.1} s each in `{from}`")
    }
}

/// From the latest run of the same benchmark and policy beside the plan's directory; `None` if
/// there is none with an episode that ran.
pub fn of(plan: &Plan) -> Option<Estimate> {
    let beside = plan.directory.parent().filter(|parent| !parent.as_os_str().is_empty());
    let folders = std::fs::read_dir(beside.unwrap_or(Path::new("."))).ok()?.flatten();
    let runs = folders.filter_map(|folder| measured(plan, &folder.path()));
    runs.max_by(|(one, _), (other, _)| one.cmp(other)).map(|(_, estimate)| estimate)
}

/// When a run of the same benchmark and policy started, and what it says of the plan.
fn measured(plan: &Plan, directory: &Path) -> Option<(String, Estimate)> {
    let Run { manifest, records, .. } = Run::read(directory).ok()?;
    let same = manifest.protocol.benchmark == plan.protocol.benchmark
        && manifest.subject.policy.as_deref() == Some(plan.policy.name());
    let ran = records.values().filter(|record| same && record.status == Status::Ok);
    let times: Vec<f64> = ran.map(|record| record.seconds.wall).collect();
    let seconds = times.iter().sum::<f64>() / times.len() as f64;
    let hours = plan.episodes().len() as f64 * seconds / plan.execution.workers as f64 / 3600.0;
    let estimate = Estimate { hours, from: directory.into(), measured: times.len(), seconds };
    (!times.is_empty()).then_some((manifest.started, estimate))
}
