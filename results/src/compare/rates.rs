//! Two evaluations whose episodes cannot be paired, because one is another harness's file.

use std::iter::Sum;

use serde::Serialize;

use super::imports::{ImportedOutcome, Outcomes};
use crate::statistics::{
    Estimate, Length, Rate, Side, TwoSamples, average_length, boschloo, difference, fisher, holm,
    suites_mean,
};

/// Episodes per side up to which Boschloo's test is affordable; Fisher's is used above.
const BOSCHLOO_UP_TO: u32 = 100;

/// Two evaluations, A and B, compared suite by suite.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RateComparison {
    /// Format of A and B, and their protocol if it is known.
    pub sources: [String; 2],
    /// What is left out or doubtful.
    pub warnings: Vec<String>,
    /// Every suite that both have, and their mean where there are several.
    pub parts: Vec<RatePart>,
}

/// A suite, or the mean of several.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RatePart {
    /// The suite's name, or `average`.
    pub name: String,
    /// Episodes of A.
    pub a: Tally,
    /// Episodes of B.
    pub b: Tally,
    /// Rate of B minus rate of A, with Newcombe's interval.
    pub difference: Estimate,
    /// The test of equal rates; `None` for an average.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<RateTest>,
    /// Mean number of stages of B minus that of A, where both state it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<Estimate>,
}

/// Episodes of one side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Episodes with all stages completed.
    pub successes: u32,
    /// Episodes that ran to their end.
    pub n: u32,
    /// Episodes that could not be run, or whose outcome is not stated.
    pub unknown: u32,
}

/// A test of equal rates.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RateTest {
    /// `Boschloo` or `Fisher`.
    pub name: &'static str,
    /// Two-sided p value.
    pub p: f64,
    /// The p value after Holm's correction over the suites.
    pub holm: f64,
}

/// The two evaluations have no suite in common.
#[derive(Debug, thiserror::Error)]
#[error("they have no suite in common: {} and {}", .a.join(", "), .b.join(", "))]
pub struct NoCommonSuite {
    /// Suites of A with episodes that ran.
    pub a: Vec<String>,
    /// Suites of B with episodes that ran.
    pub b: Vec<String>,
}

/// Compares the suites that both have.
///
/// # Errors
/// When there is none.
pub fn compare_rates(a: &Outcomes, b: &Outcomes) -> Result<RateComparison, NoCommonSuite> {
    let both: Vec<&str> = suites(a).into_iter().filter(|name| suites(b).contains(name)).collect();
    if both.is_empty() {
        let names = |outcomes| suites(outcomes).into_iter().map(str::to_owned).collect();
        return Err(NoCommonSuite { a: names(a), b: names(b) });
    }
    let mut parts: Vec<RatePart> =
        both.iter().map(|name| part(name, &a.suites[*name], &b.suites[*name])).collect();
    let p_values: Vec<f64> = parts.iter().filter_map(|part| Some(part.test.as_ref()?.p)).collect();
    for (part, corrected) in parts.iter_mut().zip(holm(&p_values)) {
        part.test.iter_mut().for_each(|test| test.holm = corrected);
    }
    parts.extend(average(&parts));
    let source = |outcomes: &Outcomes| match &outcomes.protocol {
        Some(protocol) => format!("{}, protocol {protocol}", outcomes.format),
        None => format!("{}, protocol not stated", outcomes.format),
    };
    Ok(RateComparison { sources: [source(a), source(b)], warnings: warnings(a, b), parts })
}

/// The suites with an episode that ran.
fn suites(outcomes: &Outcomes) -> Vec<&str> {
    let ran = |episodes: &[ImportedOutcome]| {
        episodes.iter().any(|episode| *episode != ImportedOutcome::Unknown)
    };
    let suites = outcomes.suites.iter().filter(|(_, episodes)| ran(episodes));
    suites.map(|(name, _)| name.as_str()).collect()
}

fn warnings(a: &Outcomes, b: &Outcomes) -> Vec<String> {
    let mut warnings = Vec::new();
    if a.protocol.is_none() || b.protocol.is_none() || a.protocol != b.protocol {
        warnings.push(
            "the protocols are not known to be equal: limits, settling, initial states and \
             success rules may differ, and so may the meaning of the numbers"
                .to_owned(),
        );
    }
    for (name, one, other) in [("A", a, b), ("B", b, a)] {
        let common = suites(other);
        let only: Vec<&str> =
            suites(one).into_iter().filter(|suite| !common.contains(suite)).collect();
        if !only.is_empty() {
            warnings.push(format!("only {name} has {}", only.join(", ")));
        }
        warnings.extend(one.notes.iter().map(|note| format!("{name}: {note}")));
    }
    warnings
}

fn part(name: &str, a: &[ImportedOutcome], b: &[ImportedOutcome]) -> RatePart {
    let (of_a, of_b) = (Tally::of(a), Tally::of(b));
    let estimate =
        |tally: Tally| tally.rate().estimate.expect("suites without episodes were left out");
    let samples = TwoSamples { a: (of_a.successes, of_a.n), b: (of_b.successes, of_b.n) };
    let (test, p) = if of_a.n.max(of_b.n) <= BOSCHLOO_UP_TO {
        ("Boschloo", boschloo(samples, Side::Either))
    } else {
        ("Fisher", fisher(samples, Side::Either))
    };
    let lengths = length(a).zip(length(b));
    RatePart {
        name: name.to_owned(),
        a: of_a,
        b: of_b,
        difference: difference(estimate(of_b), estimate(of_a)),
        test: Some(RateTest { name: test, p, holm: p }),
        length: lengths.and_then(|(a, b)| Some(difference(b.estimate?, a.estimate?))),
    }
}

impl Tally {
    fn of(episodes: &[ImportedOutcome]) -> Self {
        let tally = |outcome: &ImportedOutcome| match outcome {
            ImportedOutcome::Unknown => Self { unknown: 1, ..Self::default() },
            ImportedOutcome::Ran { completed, stages } => {
                Self { successes: u32::from(completed >= stages), n: 1, unknown: 0 }
            }
        };
        episodes.iter().map(tally).sum()
    }

    fn rate(self) -> Rate {
        Rate::new(self.successes, self.n, self.unknown)
    }
}

impl Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        tallies.fold(Self::default(), |sum, tally| Self {
            successes: sum.successes + tally.successes,
            n: sum.n + tally.n,
            unknown: sum.unknown + tally.unknown,
        })
    }
}

/// The mean number of stages, where every episode that ran has the same number above 1.
fn length(episodes: &[ImportedOutcome]) -> Option<Length> {
    let ran = episodes.iter().filter_map(|outcome| match outcome {
        ImportedOutcome::Ran { completed, stages } => Some((*completed, *stages)),
        ImportedOutcome::Unknown => None,
    });
    let (lengths, stages): (Vec<u16>, Vec<u16>) = ran.unzip();
    let &first = stages.first()?;
    let chained = first > 1 && stages.iter().all(|&stages| stages == first);
    let unknown = (episodes.len() - lengths.len()) as u32;
    chained.then(|| average_length(&lengths, first, unknown))
}

/// The mean of several suites, each weighted equally.
fn average(parts: &[RatePart]) -> Option<RatePart> {
    if parts.len() < 2 {
        return None;
    }
    let mean = |side: fn(&RatePart) -> Tally| {
        suites_mean(&parts.iter().map(|part| side(part).rate()).collect::<Vec<_>>())
    };
    Some(RatePart {
        name: "average".into(),
        a: parts.iter().map(|part| part.a).sum(),
        b: parts.iter().map(|part| part.b).sum(),
        difference: difference(mean(|part| part.b)?, mean(|part| part.a)?),
        test: None,
        length: None,
    })
}
