//! Whether a run is good enough: against a baseline, or against the paper.

use serde::{Deserialize, Serialize};
use udvla_sims::episode::EpisodeKey;

use crate::compare::{CompareError, Ends, compare};
use crate::counts::counted;
use crate::manifest::{Manifest, RunStatus};
use crate::paper::Paper;
use crate::read::Run;
use crate::record::{EpisodeRecord, Status};
use crate::statistics::margins::{Decision, not_worse};
use crate::summary::Summary;
use crate::verdict::Comparison;

/// The version of the baseline file that this build writes.
pub const BASELINE_SCHEMA: u16 = 1;

/// A run as a file to compare later runs with: its manifest and the records' outcomes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// Version of the file's format.
    pub baseline_schema: u16,
    /// The run's manifest.
    pub manifest: Manifest,
    /// Its records.
    pub records: Vec<EpisodeRecord>,
}

/// A decision with the numbers behind it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Gate {
    /// What the run was held against.
    pub against: String,
    /// The margin as a share of the scale.
    pub margin: f64,
    /// `pass`, `fail` or `inconclusive`: the headline's, or `fail` where any part fails.
    pub decision: &'static str,
    /// The headline first, then every suite where there are several.
    pub checks: Vec<Check>,
}

/// One number held against another.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// What it is about.
    pub name: String,
    /// What is compared, in words.
    pub numbers: String,
    /// The run less what it is held against, a share of the scale.
    pub difference: Ends,
    /// `pass`, `fail` or `inconclusive`.
    pub decision: &'static str,
}

/// Why there is no decision.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// A run that is not whole.
    #[error("{which} is not whole: {why}")]
    Partial {
        /// Which run.
        which: &'static str,
        /// What is missing.
        why: String,
    },
    /// The runs cannot be compared.
    #[error("the run and its baseline cannot be compared")]
    Compare(#[from] CompareError),
    /// The run has other episodes than its baseline.
    #[error("the run has {run} episodes, its baseline {baseline}, and {both} in common")]
    Episodes {
        /// Episodes of the run.
        run: usize,
        /// Episodes of the baseline.
        baseline: usize,
        /// Episodes that both have.
        both: usize,
    },
    /// The run says nothing about the paper's numbers.
    #[error("the run says nothing about the paper's number: {0}")]
    Withheld(String),
    /// A baseline file of another version.
    #[error("the baseline has schema {0}, this build reads schema {BASELINE_SCHEMA}")]
    Schema(u16),
}

impl Baseline {
    /// The baseline that `run` is.
    pub fn of(run: &Run) -> Self {
        let records = run.records.values().cloned().collect();
        Self { baseline_schema: BASELINE_SCHEMA, manifest: run.manifest.clone(), records }
    }

    /// The run that this was made of.
    ///
    /// # Errors
    /// When the file has another version.
    pub fn run(self) -> Result<Run, GateError> {
        if self.baseline_schema != BASELINE_SCHEMA {
            return Err(GateError::Schema(self.baseline_schema));
        }
        let records = self.records.into_iter().map(|record| (record.key(), record)).collect();
        Ok(Run { manifest: self.manifest, records, torn_line: None })
    }
}

/// Refuses a run with errors, missing episodes or another status than complete.
///
/// # Errors
/// [`GateError::Partial`], with what is missing.
pub fn whole(run: &Run, which: &'static str) -> Result<(), GateError> {
    let asked: Vec<EpisodeKey> = run.manifest.episodes();
    let errors = run.records.values().filter(|record| record.status == Status::Error).count();
    let missing = asked.iter().filter(|key| !run.records.contains_key(*key)).count();
    let why = if asked.is_empty() {
        "it has no episodes".to_owned()
    } else if errors > 0 {
        counted(errors as u32, "error")
    } else if let Some(stop) = &run.manifest.stopped_early {
        format!("it stopped early, {}", stop.words())
    } else if missing > 0 {
        format!("{missing} of {} episodes are missing", asked.len())
    } else if run.manifest.status != RunStatus::Complete {
        "it has not ended".into()
    } else {
        return Ok(());
    };
    Err(GateError::Partial { which, why })
}

/// Holds a run against a baseline on equal episodes.
///
/// # Errors
/// When either is not whole, or they differ in protocol or episodes.
pub fn against_baseline(run: &Run, baseline: &Run, margin: f64) -> Result<Gate, GateError> {
    whole(run, "the run")?;
    whole(baseline, "the baseline")?;
    let comparison = compare(baseline, run)?;
    let both = run.records.keys().filter(|key| baseline.records.contains_key(*key)).count();
    if both != run.records.len() || both != baseline.records.len() {
        let (run, baseline) = (run.records.len(), baseline.records.len());
        return Err(GateError::Episodes { run, baseline, both });
    }
    let stages = run.records.values().map(|record| record.stages).max().unwrap_or(1);
    let check = |part: &crate::compare::Part| {
        let (numbers, difference) = match part.length {
            Some(length) => ("average length".to_owned(), scaled(length, f64::from(stages))),
            None => {
                (format!("{}/{} against {}/{}", part.b, part.n, part.a, part.n), part.difference)
            }
        };
        check(part.name.clone(), numbers, difference, margin)
    };
    let mut checks: Vec<Check> = comparison.parts.iter().map(check).collect();
    checks.rotate_right(1);
    Ok(decided("baseline".into(), margin, checks))
}

/// Holds a run against the paper's numbers.
///
/// # Errors
/// When it is not whole, or says nothing about them.
pub fn against_paper(run: &Run, paper: &Paper, margin: f64) -> Result<Gate, GateError> {
    whole(run, "the run")?;
    let summary = Summary::new(run, paper);
    let suites = summary.suites.iter().map(|suite| {
        let scale = if suite.chain.is_some() { f64::from(suite.stages) } else { 1.0 };
        (suite.name.as_str(), suite.paper.as_ref(), scale)
    });
    let average = summary.average.iter().map(|average| ("average", average.paper.as_ref(), 1.0));
    let mut checks = Vec::new();
    for (name, comparison, scale) in average.chain(suites) {
        checks.push(paper_check(name, comparison, scale, margin)?);
    }
    Ok(decided(paper.paper.clone(), margin, checks))
}

fn paper_check(
    name: &str,
    comparison: Option<&Comparison>,
    scale: f64,
    margin: f64,
) -> Result<Check, GateError> {
    let Some(comparison) = comparison else {
        return Err(GateError::Withheld(format!("it has none for {name}")));
    };
    let Some(difference) = comparison.difference else {
        let reason = comparison.verdict.reason().unwrap_or("nothing ran");
        return Err(GateError::Withheld(format!("{name}: {reason}")));
    };
    let published = &comparison.published;
    let ours = published.estimate.value + difference.value;
    let numbers =
        format!("{ours:.3} against {:.3} ({})", published.estimate.value, published.source);
    Ok(check(name.into(), numbers, scaled(difference.into(), scale), margin))
}

fn scaled(ends: Ends, scale: f64) -> Ends {
    Ends { value: ends.value / scale, low: ends.low / scale, high: ends.high / scale }
}

fn check(name: String, numbers: String, difference: Ends, margin: f64) -> Check {
    let decision = not_worse(difference.into(), margin).word();
    Check { name, numbers, difference, decision }
}

fn decided(against: String, margin: f64, checks: Vec<Check>) -> Gate {
    let failed = checks.iter().any(|check| check.decision == Decision::Fail.word());
    let headline = checks.first().map_or(Decision::Inconclusive.word(), |check| check.decision);
    let decision = if failed { Decision::Fail.word() } else { headline };
    Gate { against, margin, decision, checks }
}
