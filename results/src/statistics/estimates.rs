//! Estimates with 95 % intervals: success rates, their means and differences.

use super::estimate::Estimate;
use super::intervals::{score_interval, wilson};

/// A success rate. Episodes that could not be run are neither in `successes` nor in `n`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Episodes that succeeded.
    pub successes: u32,
    /// Episodes that ran to their end.
    pub n: u32,
    /// Episodes that could not be run.
    pub errors: u32,
    /// Share of successes, 0 to 1, with its Wilson interval; `None` when nothing ran.
    pub estimate: Option<Estimate>,
}

impl Rate {
    /// The rate of `successes` in `n` episodes, with `errors` more that could not be run.
    pub fn new(successes: u32, n: u32, errors: u32) -> Self {
        Self { successes, n, errors, estimate: wilson(successes, n) }
    }
}

/// The mean number of stages completed, with a bootstrap interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Length {
    /// Episodes that ran to their end.
    pub n: u32,
    /// Episodes that could not be run.
    pub errors: u32,
    /// Mean number of stages completed; `None` when nothing ran.
    pub estimate: Option<Estimate>,
}

/// `a - b` for independent estimates.
///
/// The distance to each end is the root sum of squares of the corresponding distances of `a` and
/// `b`; for two Wilson intervals that is Newcombe's hybrid score interval.
///
/// Source: Newcombe 1998, method 10; Zou and Donner 2008 for other estimates.
pub fn difference(a: Estimate, b: Estimate) -> Estimate {
    let value = a.value - b.value;
    let below = ((a.value - a.low).powi(2) + (b.high - b.value).powi(2)).sqrt();
    let above = ((a.high - a.value).powi(2) + (b.value - b.low).powi(2)).sqrt();
    Estimate { value, low: value - below, high: value + above }
}

/// The mean of the success rates of suites, each suite weighted equally; `None` where one of them
/// has no episode, or there is none.
///
/// Its interval is Wilson's at the mean rate, for an effective sample size of the squared number
/// of suites over the sum of 1/n. With equal n that is the number of all episodes, so the interval
/// can be checked from `k/n`. The variance of a stratified sample is at most that of a pooled one:
/// for equal n the interval is never too narrow, and slightly too wide where suites differ.
pub fn suites_mean(rates: &[Rate]) -> Option<Estimate> {
    if rates.is_empty() || rates.iter().any(|rate| rate.n == 0) {
        return None;
    }
    if let [only] = rates {
        return wilson(only.successes, only.n);
    }
    if rates.iter().all(|rate| rate.n == rates[0].n) {
        let successes = rates.iter().map(|rate| rate.successes).sum();
        return wilson(successes, rates.iter().map(|rate| rate.n).sum());
    }
    let share = |rate: &Rate| f64::from(rate.successes) / f64::from(rate.n);
    let mean = rates.iter().map(share).sum::<f64>() / rates.len() as f64;
    Some(score_interval(mean, effective_size(rates)))
}

/// How many episodes of one suite say as much about a rate as `rates` say about their mean.
fn effective_size(rates: &[Rate]) -> f64 {
    let count = rates.len() as f64;
    count * count / rates.iter().map(|rate| f64::from(rate.n).recip()).sum::<f64>()
}

/// How far below and above their mean another mean of as many episodes must be for the interval
/// of the [`difference`] to exclude 0; `None` on a side where no rate is far enough.
pub fn nearest_different_mean(rates: &[Rate]) -> [Option<f64>; 2] {
    let Some(own) = suites_mean(rates) else { return [None; 2] };
    let size = effective_size(rates);
    [0.0, 1.0].map(|end| nearest_different(own, end, |value| score_interval(value, size)))
}

/// As [`nearest_different_mean`] for an average length out of `stages`, where the other one has an
/// interval that reaches as far below and above it.
pub fn nearest_different_length(own: Estimate, stages: u16) -> [Option<f64>; 2] {
    let (below, above) = (own.value - own.low, own.high - own.value);
    let other = |value| Estimate { value, low: value - below, high: value + above };
    [0.0, f64::from(stages)].map(|end| nearest_different(own, end, other))
}

/// The distance from `own` to the nearest value towards `end` whose estimate differs from it.
fn nearest_different(own: Estimate, end: f64, other: impl Fn(f64) -> Estimate) -> Option<f64> {
    let differs = |value: f64| {
        let found = difference(other(value), own);
        found.low > 0.0 || found.high < 0.0
    };
    if !differs(end) {
        return None;
    }
    let (mut near, mut far) = (own.value, end);
    for _ in 0..60 {
        let middle = f64::midpoint(near, far);
        if differs(middle) { far = middle } else { near = middle }
    }
    Some((far - own.value).abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::newcombe::nearest_different as nearest_different_count;

    #[track_caller]
    fn assert_close(found: f64, expected: f64, tolerance: f64) {
        assert!((found - expected).abs() <= tolerance, "{found} is not {expected}");
    }

    #[test]
    fn without_episodes_there_is_no_estimate() {
        assert_eq!(Rate::new(0, 0, 3).estimate, None);
        assert_eq!(suites_mean(&[]), None);
        assert_eq!(suites_mean(&[Rate::new(1, 2, 0), Rate::new(0, 0, 1)]), None);
    }

    #[test]
    fn the_mean_of_the_papers_libero_suites_is_1922_of_2000() {
        let suites = [481, 494, 471, 476].map(|k| Rate::new(k, 500, 0));
        assert_eq!(suites_mean(&suites), wilson(1922, 2000));
    }

    #[test]
    fn a_missing_episode_hardly_moves_the_mean_of_suites() {
        let mut suites = [481, 494, 471, 476].map(|k| Rate::new(k, 500, 0));
        let whole = suites_mean(&suites).unwrap();
        suites[3] = Rate::new(475, 499, 1);
        let less = suites_mean(&suites).unwrap();
        assert_close(less.low, whole.low, 1e-4);
        assert_close(less.high, whole.high, 1e-4);
    }

    #[test]
    fn the_nearest_different_mean_is_that_of_counts() {
        // `confint_proportions_2indep(k, 2000, 1000, 2000, method="newcomb")` excludes 0 from
        // k = 1062 on, and down from 938: 3.1 points.
        let suites = [250; 4].map(|k| Rate::new(k, 500, 0));
        let [below, above] = nearest_different_mean(&suites).map(Option::unwrap);
        assert_close(below, 0.031, 5e-4);
        assert_close(above, 0.031, 5e-4);
        // At the paper's rates the range is narrower, and a perfect run has nothing above it.
        let suites = [481, 494, 471, 476].map(|k| Rate::new(k, 500, 0));
        let counts = nearest_different_count((1922, 2000), 2000, 0.05);
        for (found, count) in nearest_different_mean(&suites).into_iter().zip(counts) {
            assert_close(found.unwrap(), (f64::from(count.unwrap()) / 2000.0 - 0.961).abs(), 5e-4);
        }
        assert_eq!(nearest_different_mean(&[500; 4].map(|k| Rate::new(k, 500, 0)))[1], None);
        assert_eq!(nearest_different_mean(&[]), [None; 2]);
    }

    #[test]
    fn no_length_is_beyond_the_scale() {
        let wide = Estimate { value: 2.0, low: 0.33, high: 5.0 };
        assert_eq!(nearest_different_length(wide, 5), [None; 2]);
        let narrow = Estimate { value: 4.64, low: 4.55, high: 4.72 };
        for found in nearest_different_length(narrow, 5) {
            assert_close(found.unwrap(), 0.09_f64.hypot(0.08), 1e-9);
        }
    }

    #[test]
    fn a_difference_agrees_with_newcombe_in_statsmodels() {
        // `confint_proportions_2indep(k1, n1, k2, n2, method="newcomb")`, 0.15.0.
        for (a, b, low, high) in [
            ((465, 500), (476, 500), -0.052_113_531_8, 0.007_549_393_4),
            ((1950, 2000), (1922, 2000), 0.003_077_848_5, 0.025_149_061_0),
            ((73, 96), (73, 96), -0.120_086_571_4, 0.120_086_571_4),
        ] {
            let found = difference(wilson(a.0, a.1).unwrap(), wilson(b.0, b.1).unwrap());
            assert_close(found.low, low, 1e-9);
            assert_close(found.high, high, 1e-9);
        }
    }
}
