//! Two evaluations whose episodes cannot be paired, because one is another harness's file.

use serde::Serialize;

use crate::compare::Ends;
use crate::imports::{Outcome, Outcomes};
use crate::statistics::{
    Length, Rate, Side, TwoSamples, average_length, boschloo, difference, fisher, holm, suites_mean,
};

/// Episodes per side up to which Boschloo's test is affordable; Fisher's is used above.
const BOSCHLOO_UP_TO: u32 = 100;

/// Two evaluations, A and B, suite by suite.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RateComparison {
    /// What A and B were read from, and their protocol where it is known.
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
    /// Successes, episodes and episodes without an outcome of A.
    pub a: Tally,
    /// The same of B.
    pub b: Tally,
    /// The rate of B less that of A, with Newcombe's interval.
    pub difference: Ends,
    /// The test of equal rates; an average has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<RateTest>,
    /// The mean number of stages of B less that of A, where both say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<Ends>,
}

/// Episodes of one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Episodes with all stages completed.
    pub successes: u32,
    /// Episodes that ran to their end.
    pub n: u32,
    /// Episodes that could not be run, or whose end nobody says.
    pub unknown: u32,
}

/// A test of equal rates.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RateTest {
    /// `Boschloo` or `Fisher`.
    pub name: &'static str,
    /// Its two-sided p value.
    pub p: f64,
    /// That value after Holm's correction over the suites.
    pub holm: f64,
}

/// Why there is nothing to compare.
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
    let both: Vec<&String> = ran(a).into_iter().filter(|name| ran(b).contains(name)).collect();
    if both.is_empty() {
        let names = |one| ran(one).into_iter().cloned().collect();
        return Err(NoCommonSuite { a: names(a), b: names(b) });
    }
    let mut parts: Vec<RatePart> =
        both.iter().map(|name| part(name, &a.suites[*name], &b.suites[*name])).collect();
    let p_values: Vec<f64> = parts.iter().filter_map(|part| Some(part.test.as_ref()?.p)).collect();
    for (part, corrected) in parts.iter_mut().zip(holm(&p_values)) {
        part.test.iter_mut().for_each(|test| test.holm = corrected);
    }
    parts.extend(average(&parts));
    let source = |one: &Outcomes| match &one.protocol {
        Some(protocol) => format!("{}, protocol {protocol}", one.format),
        None => format!("{}, protocol not stated", one.format),
    };
    Ok(RateComparison { sources: [source(a), source(b)], warnings: warnings(a, b), parts })
}

/// The suites with an episode that ran.
fn ran(outcomes: &Outcomes) -> Vec<&String> {
    let has = |episodes: &[Outcome]| episodes.iter().any(|one| *one != Outcome::Unknown);
    outcomes.suites.iter().filter(|(_, episodes)| has(episodes)).map(|(name, _)| name).collect()
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
        let only: Vec<&str> = ran(one)
            .into_iter()
            .filter(|suite| !ran(other).contains(suite))
            .map(String::as_str)
            .collect();
        if !only.is_empty() {
            warnings.push(format!("only {name} has {}", only.join(", ")));
        }
        warnings.extend(one.notes.iter().map(|note| format!("{name}: {note}")));
    }
    warnings
}

fn part(name: &str, a: &[Outcome], b: &[Outcome]) -> RatePart {
    let (of_a, of_b) = (tally(a), tally(b));
    let rate = |one: Tally| Rate::new(one.successes, one.n, one.unknown);
    let estimate = |one| rate(one).estimate.expect("suites without episodes were left out");
    let samples = TwoSamples { a: (of_a.successes, of_a.n), b: (of_b.successes, of_b.n) };
    let (name_of_test, p) = if of_a.n.max(of_b.n) <= BOSCHLOO_UP_TO {
        ("Boschloo", boschloo(samples, Side::Either))
    } else {
        ("Fisher", fisher(samples, Side::Either))
    };
    let lengths = length(a).zip(length(b));
    RatePart {
        name: name.to_owned(),
        a: of_a,
        b: of_b,
        difference: difference(estimate(of_b), estimate(of_a)).into(),
        test: Some(RateTest { name: name_of_test, p, holm: p }),
        length: lengths
            .and_then(|(a, b)| Some(difference(b.estimate?, a.estimate?)))
            .map(Ends::from),
    }
}

fn tally(episodes: &[Outcome]) -> Tally {
    let mut tally = Tally { successes: 0, n: 0, unknown: 0 };
    for outcome in episodes {
        match outcome {
            Outcome::Unknown => tally.unknown += 1,
            Outcome::Ran { completed, stages } => {
                tally.n += 1;
                tally.successes += u32::from(completed >= stages);
            }
        }
    }
    tally
}

/// The mean number of stages, where every episode that ran has the same number above 1.
fn length(episodes: &[Outcome]) -> Option<Length> {
    let ran = episodes.iter().filter_map(|outcome| match outcome {
        Outcome::Ran { completed, stages } => Some((*completed, *stages)),
        Outcome::Unknown => None,
    });
    let ran: Vec<(u16, u16)> = ran.collect();
    let stages = ran.first()?.1;
    let alike = stages > 1 && ran.iter().all(|one| one.1 == stages);
    let lengths: Vec<u16> = ran.iter().map(|one| one.0).collect();
    alike.then(|| average_length(&lengths, stages, (episodes.len() - ran.len()) as u32))
}

/// The mean of several suites, each counted alike.
fn average(parts: &[RatePart]) -> Option<RatePart> {
    let rates = |side: fn(&RatePart) -> Tally| -> Vec<Rate> {
        parts.iter().map(side).map(|one| Rate::new(one.successes, one.n, one.unknown)).collect()
    };
    let sum = |side: fn(&RatePart) -> Tally| {
        let add = |sum: Tally, one: Tally| Tally {
            successes: sum.successes + one.successes,
            n: sum.n + one.n,
            unknown: sum.unknown + one.unknown,
        };
        parts.iter().map(side).reduce(add)
    };
    if parts.len() < 2 {
        return None;
    }
    let (a, b) = (suites_mean(&rates(|part| part.a))?, suites_mean(&rates(|part| part.b))?);
    Some(RatePart {
        name: "average".into(),
        a: sum(|part| part.a)?,
        b: sum(|part| part.b)?,
        difference: difference(b, a).into(),
        test: None,
        length: None,
    })
}
