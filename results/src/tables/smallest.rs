//! How far another run must be from this one to differ significantly, as a note under its table.

use super::format::plural;
use super::summary::SuiteSummary;
use super::verdict::LEVEL;
use crate::statistics::newcombe::nearest_different;
use crate::statistics::{Rate, nearest_different_length, nearest_different_mean};

/// The note of a suite; `None` where nothing ran.
pub(super) fn of_suite(suite: &SuiteSummary) -> Option<String> {
    if let Some(chain) = &suite.chain {
        let sides = nearest_different_length(chain.length.estimate?, suite.stages);
        return Some(note(
            suite.counts.ok,
            "sequence",
            sides.map(|side| Some(format!("{:.2}", side?))),
        ));
    }
    let Rate { successes, n, .. } = suite.rate;
    if n == 0 {
        return None;
    }
    let distance = |k: u32| f64::from(k.abs_diff(successes)) / f64::from(n);
    let sides = nearest_different((successes, n), n, LEVEL).map(|k| k.map(distance));
    Some(note(n, "episode", points(sides)))
}

/// The note of the average over `suites`; `None` where one has no episode.
pub(super) fn of_average(suites: &[SuiteSummary]) -> Option<String> {
    let rates: Vec<Rate> = suites.iter().map(|suite| suite.rate).collect();
    if rates.iter().any(|rate| rate.n == 0) {
        return None;
    }
    let n = rates.iter().map(|rate| rate.n).sum();
    Some(note(n, "episode", points(nearest_different_mean(&rates))))
}

fn points(sides: [Option<f64>; 2]) -> [Option<String>; 2] {
    sides.map(|side| Some(format!("{:.1} points", side? * 100.0)))
}

fn note(n: u32, noun: &str, sides: [Option<String>; 2]) -> String {
    let [below, above] = sides.map(|side| side.unwrap_or_else(|| "none".into()));
    let other = plural(n, noun);
    format!(
        "smallest significant difference to another run of {other}: {below} below, {above} above (5 %)"
    )
}
