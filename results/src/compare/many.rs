//! Several runs of one protocol, compared in pairs.

use serde::Serialize;

use super::pairs::{CompareError, RunComparison, compare};
use crate::run::read::Run;
use crate::statistics::holm;

/// Name of the part that pools the suites of a comparison.
const ALL: &str = "all";

/// Which runs are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pairing {
    /// Every run with every later one.
    Each,
    /// The first run with every other one.
    AgainstFirst,
}

/// Two of several runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PairComparison {
    /// Position of A among the runs.
    pub a: usize,
    /// Position of B among the runs.
    pub b: usize,
    /// Their comparison; its p values are corrected over all pairs.
    pub comparison: RunComparison,
}

/// Two of several runs that cannot be compared.
#[derive(Debug, thiserror::Error)]
#[error("run {} and run {} cannot be compared", .a + 1, .b + 1)]
pub struct PairError {
    /// Position of A among the runs.
    pub a: usize,
    /// Position of B among the runs.
    pub b: usize,
    /// Why.
    pub source: CompareError,
}

/// Compares pairs of `runs`, in order. Holm's correction is over every suite of every pair, and
/// over the pairs for all suites together.
///
/// # Errors
/// When the protocols of a pair differ, or no episode ran to its end in both.
pub fn compare_many(runs: &[Run], pairing: Pairing) -> Result<Vec<PairComparison>, PairError> {
    let first = match pairing {
        Pairing::Each => 0..runs.len(),
        Pairing::AgainstFirst => 0..runs.len().min(1),
    };
    let pairs = first.flat_map(|a| (a + 1..runs.len()).map(move |b| (a, b)));
    let compared = pairs.map(|(a, b)| {
        let comparison = compare(&runs[a], &runs[b]);
        let comparison = comparison.map_err(|source| PairError { a, b, source })?;
        Ok(PairComparison { a, b, comparison })
    });
    let mut compared: Vec<PairComparison> = compared.collect::<Result<_, _>>()?;
    correct(&mut compared, |name| name != ALL);
    correct(&mut compared, |name| name == ALL);
    Ok(compared)
}

/// Corrects the p values of the parts whose name `belongs` as one family.
fn correct(compared: &mut [PairComparison], belongs: impl Fn(&str) -> bool) {
    let mut parts: Vec<_> = compared
        .iter_mut()
        .flat_map(|pair| &mut pair.comparison.parts)
        .filter(|part| belongs(&part.name))
        .collect();
    let p_values: Vec<f64> = parts.iter().map(|part| part.mcnemar).collect();
    for (part, corrected) in parts.iter_mut().zip(holm(&p_values)) {
        part.holm = corrected;
    }
}
