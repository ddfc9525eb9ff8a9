//! The smallest difference that a run could call significant, as a note under its table.

use super::format::plural;
use super::summary::{AverageSummary, SuiteSummary};
use super::verdict::{LEVEL, PaperComparison};
use crate::statistics::newcombe::{Count, nearest_different};
use crate::statistics::{Estimate, difference};

/// The note of a suite; `None` where nothing ran.
pub(super) fn of_suite(suite: &SuiteSummary) -> Option<String> {
    if let Some(chain) = &suite.chain {
        let sides = distances(chain.length.estimate?, suite.paper.as_ref(), 1.0, 2);
        return Some(note(suite.counts.ok, "sequence", suite.paper.as_ref(), "", &sides));
    }
    let n = suite.rate.n;
    if n == 0 {
        return None;
    }
    let paper = judged(suite.paper.as_ref());
    let suites = paper.and_then(|paper| paper.tests).map_or(1, |tests| tests.suites);
    let reference: Count = match paper {
        Some(paper) => paper.published.count(),
        None => (suite.rate.successes, n),
    };
    let rate = f64::from(reference.0) / f64::from(reference.1);
    let counts = nearest_different(reference, n, LEVEL / f64::from(suites));
    let points =
        |k: u32| format!("{:.1} points", (f64::from(k) / f64::from(n) - rate).abs() * 100.0);
    Some(note(n, "episode", paper, correction(suites).as_str(), &counts.map(|k| k.map(points))))
}

/// The note of the average over suites; `None` where a suite has no episode.
pub(super) fn of_average(average: &AverageSummary) -> Option<String> {
    let sides = distances(average.estimate?, average.paper.as_ref(), 100.0, 1);
    let sides = sides.map(|side| side.map(|text| text + " points"));
    Some(note(average.counts.ok, "episode", average.paper.as_ref(), "", &sides))
}

fn judged(paper: Option<&PaperComparison>) -> Option<&PaperComparison> {
    paper.filter(|paper| paper.verdict.reason().is_none())
}

fn correction(suites: u32) -> String {
    if suites > 1 { format!(", Holm over {suites} suites") } else { String::new() }
}

/// How far the interval of a difference reaches below and above it.
fn distances(
    estimate: Estimate,
    paper: Option<&PaperComparison>,
    factor: f64,
    decimals: usize,
) -> [Option<String>; 2] {
    let reference = judged(paper).map_or(estimate, |paper| paper.published.estimate);
    let found = difference(estimate, reference);
    [found.high - found.value, found.value - found.low]
        .map(|reach| Some(format!("{:.decimals$}", reach * factor)))
}

fn note(
    n: u32,
    noun: &str,
    paper: Option<&PaperComparison>,
    correction: &str,
    [below, above]: &[Option<String>; 2],
) -> String {
    let reference = match judged(paper) {
        Some(_) => "the paper's number".to_owned(),
        None => format!("another run of {}", plural(n, noun)),
    };
    let side = |side: &Option<String>, word: &str| match side {
        Some(text) => format!("{text} {word}"),
        None => format!("none {word}"),
    };
    format!(
        "smallest significant difference to {reference}: {}, {} (5 %{correction})",
        side(below, "below"),
        side(above, "above")
    )
}
