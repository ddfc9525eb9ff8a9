//! Whether a run is good enough: against a baseline, or against the paper.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::pairs::{CompareError, Part, compare};
use crate::paper::Paper;
use crate::run::manifest::{Manifest, RunStatus};
use crate::run::read::Run;
use crate::run::record::EpisodeRecord;
use crate::run::seal::{is_whole, with_digest};
use crate::statistics::margins::{Decision, not_worse};
use crate::statistics::newcombe::difference_p;
use crate::statistics::{Estimate, PairedCounts, holm, paired_difference_p};
use crate::tables::counts::Counts;
use crate::tables::format::plural;
use crate::tables::summary::Summary;
use crate::tables::verdict::PaperComparison;

/// The error rate of a gate's failures over all suites.
const LEVEL: f64 = 0.05;
/// Version of the baseline file that this build writes.
pub const BASELINE_SCHEMA: u16 = 1;

/// A run as one file, to compare later runs with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// Version of the file's format.
    pub baseline_schema: u16,
    /// The run's manifest.
    pub manifest: Manifest,
    /// Its records.
    pub records: Vec<EpisodeRecord>,
    /// What must be said of the run, see [`Run::notes`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A decision and the numbers behind it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Gate {
    /// The reference.
    pub against: String,
    /// The margin as a share of the scale.
    pub margin: f64,
    /// The first check's decision, or `fail` where any check fails.
    pub decision: Decision,
    /// The main check first, then every suite where there are several.
    pub checks: Vec<Check>,
    /// What must be said of the runs, for example damage that was accepted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// One number compared with its reference.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// What it is about: a suite, or all.
    pub name: String,
    /// The compared numbers as text.
    pub numbers: String,
    /// The run minus the reference, as a share of the scale.
    pub difference: Estimate,
    /// Whether the run is not worse.
    pub decision: Decision,
    /// The p value against a loss of exactly the margin, where it is a rate.
    #[serde(skip)]
    p: Option<f64>,
    /// The p value of a suite below the margin, corrected by Holm over the suites.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holm: Option<f64>,
}

/// Why there is no decision.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum GateError {
    #[error("{which} is not complete: {why}")]
    Partial { which: &'static str, why: String },
    #[error("the run and its baseline cannot be compared")]
    Compare(#[from] CompareError),
    #[error("the run has {run} episodes, its baseline {baseline}, and {both} in common")]
    Episodes { run: usize, baseline: usize, both: usize },
    #[error("the run says nothing about the paper's number: {0}")]
    Withheld(String),
    #[error("the baseline has schema {0}, this build reads schema {BASELINE_SCHEMA}")]
    Schema(u16),
    #[error("the file is not a baseline")]
    Json(#[from] serde_json::Error),
    #[error("the baseline was changed after it was written")]
    Changed,
}

impl Baseline {
    /// The baseline made of `run`.
    pub fn of(run: &Run) -> Self {
        let records = run.records.values().cloned().collect();
        let (manifest, notes) = (run.manifest.clone(), run.notes.clone());
        Self { baseline_schema: BASELINE_SCHEMA, manifest, records, notes }
    }

    /// The file's text, with a digest of its content.
    pub fn to_text(&self) -> String {
        with_digest(&serde_json::to_string(self).expect("a baseline is plain data"))
    }

    /// Reads a file. One of an earlier version has no digest.
    ///
    /// # Errors
    /// When it is not a baseline, or was changed.
    pub fn from_text(text: &str) -> Result<Self, GateError> {
        let value: Value = serde_json::from_str(text)?;
        match is_whole(&value) {
            Some(false) => Err(GateError::Changed),
            Some(true) | None => Ok(serde_json::from_value(value)?),
        }
    }

    /// The run it was made of.
    ///
    /// # Errors
    /// When the file has another version.
    pub fn run(self) -> Result<Run, GateError> {
        if self.baseline_schema != BASELINE_SCHEMA {
            return Err(GateError::Schema(self.baseline_schema));
        }
        let records = self.records.into_iter().map(|record| (record.key(), record)).collect();
        Ok(Run { manifest: self.manifest, records, torn_line: None, notes: self.notes })
    }
}

/// Refuses a run with errors, missing episodes or another status than complete.
///
/// # Errors
/// [`GateError::Partial`], with what is missing.
pub fn whole(run: &Run, which: &'static str) -> Result<(), GateError> {
    let Counts { asked, errors, .. } = Counts::of_run(run);
    let planned = run.manifest.episodes();
    let missing = planned.iter().filter(|key| !run.records.contains_key(*key)).count();
    let why = if asked == 0 {
        "it has no episodes".to_owned()
    } else if errors > 0 {
        plural(errors, "error")
    } else if let Some(stop) = &run.manifest.stopped_early {
        format!("it stopped early, {}", stop.reason())
    } else if missing > 0 {
        format!("{missing} of {asked} episodes are missing")
    } else if run.manifest.status != RunStatus::Complete {
        "it has not ended".into()
    } else {
        return Ok(());
    };
    Err(GateError::Partial { which, why })
}

/// Compares a run with a baseline on the same episodes.
///
/// # Errors
/// When either is not complete, or they differ in protocol or episodes.
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
    let check = |part: &Part| {
        let (numbers, difference) = match part.length {
            Some(length) => ("average length".to_owned(), length.over(f64::from(stages))),
            None => {
                (format!("{}/{} against {}/{}", part.b, part.n, part.a, part.n), part.difference)
            }
        };
        let pairs = PairedCounts {
            both: part.b - part.only_b,
            only_a: part.only_b,
            only_b: part.only_a,
            neither: part.n - part.b - part.only_a,
        };
        let rate = part.length.is_none();
        let p = rate.then(|| paired_difference_p(pairs, -margin));
        Check { p, ..Check::new(part.name.clone(), numbers, difference, margin) }
    };
    let mut checks: Vec<Check> = comparison.parts.iter().map(check).collect();
    // `all` is the last part and the main check.
    checks.rotate_right(1);
    let notes = [&run.notes[..], &baseline.notes[..]].concat();
    Ok(Gate { notes, ..Gate::new("baseline".into(), margin, checks) })
}

/// Compares a run with the paper's numbers.
///
/// # Errors
/// When it is not complete, or says nothing about them.
pub fn against_paper(run: &Run, paper: &Paper, margin: f64) -> Result<Gate, GateError> {
    whole(run, "the run")?;
    let summary = Summary::new(run, paper);
    if let Some(reason) = without_paper(&summary) {
        return Err(GateError::Withheld(reason));
    }
    let average = summary.average.iter().map(|average| ("average", average.paper.as_ref(), 1));
    let suites = summary.suites.iter().map(|suite| {
        let scale = if suite.chain.is_some() { suite.stages } else { 1 };
        (suite.name.as_str(), suite.paper.as_ref(), scale)
    });
    let checks = average
        .chain(suites)
        .map(|(name, comparison, scale)| paper_check(name, comparison, scale, margin));
    let against = summary.published.as_ref().map_or_else(|| paper.paper.clone(), |row| row.label());
    let gate = Gate::new(against, margin, checks.collect::<Result<_, _>>()?);
    Ok(Gate { notes: run.notes.clone(), ..gate })
}

/// Why one of the run's numbers is not set beside the paper's.
fn without_paper(summary: &Summary) -> Option<String> {
    let suites = summary.suites.iter().map(|suite| (suite.name.as_str(), suite.partial.as_ref()));
    let average = summary.average.iter().map(|average| ("average", average.partial.as_ref()));
    let mut partial = suites.chain(average).filter_map(|(name, why)| Some((name, why?)));
    let partial = partial.next().map(|(name, why)| format!("{name}: {why}"));
    partial.map(|partial| summary.incomparable.clone().unwrap_or(partial))
}

fn paper_check(
    name: &str,
    comparison: Option<&PaperComparison>,
    scale: u16,
    margin: f64,
) -> Result<Check, GateError> {
    let Some(comparison) = comparison else {
        return Err(GateError::Withheld(format!("it has none for {name}")));
    };
    let Some(difference) = comparison.difference else {
        let reason = comparison.verdict.reason().unwrap_or("nothing ran");
        return Err(GateError::Withheld(format!("{name}: {reason}")));
    };
    let published = comparison.published.estimate.value;
    let measured = published + difference.value;
    let numbers = format!("{measured:.3} against {published:.3} ({})", comparison.published.source);
    let tests = comparison.tests;
    let p = tests.map(|tests| difference_p(tests.measured, comparison.published.count(), -margin));
    Ok(Check { p, ..Check::new(name.into(), numbers, difference.over(f64::from(scale)), margin) })
}

impl Check {
    fn new(name: String, numbers: String, difference: Estimate, margin: f64) -> Self {
        Self {
            name,
            numbers,
            difference,
            decision: not_worse(difference, margin),
            p: None,
            holm: None,
        }
    }
}

/// Takes back the failures of suites, which all come after the main check, that are not significant
/// by Holm over the suites.
fn correct(checks: &mut [Check]) {
    let suites: &mut [Check] = checks.get_mut(1..).unwrap_or_default();
    let fails = |check: &Check| check.decision == Decision::Fail;
    // A suite that does not fail is no claim.
    let p_value = |check: &Check| if fails(check) { check.p.unwrap_or(0.0) } else { 1.0 };
    let corrected = holm(&suites.iter().map(p_value).collect::<Vec<_>>());
    for (check, p) in suites.iter_mut().zip(corrected) {
        if !fails(check) {
            continue;
        }
        check.holm = check.p.map(|_| p);
        if p >= LEVEL {
            check.decision = Decision::Inconclusive;
        }
    }
}

impl Gate {
    fn new(against: String, margin: f64, mut checks: Vec<Check>) -> Self {
        correct(&mut checks);
        let failed = checks.iter().any(|check| check.decision == Decision::Fail);
        let main = checks.first().map_or(Decision::Inconclusive, |check| check.decision);
        let decision = if failed { Decision::Fail } else { main };
        Self { against, margin, decision, checks, notes: Vec::new() }
    }
}
