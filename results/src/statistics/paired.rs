//! Two policies on the same episodes.

use statrs::distribution::{Binomial, Discrete, DiscreteCDF};

use super::bootstrap::stratified_mean;
use super::intervals::{normal_cdf, z95};
use super::{Estimate, wilson};

/// Outcomes of two policies, A and B, on the same episodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PairedCounts {
    /// Episodes that both solved.
    pub both: u32,
    /// Episodes that only A solved.
    pub only_a: u32,
    /// Episodes that only B solved.
    pub only_b: u32,
    /// Episodes that neither solved.
    pub neither: u32,
}

impl PairedCounts {
    /// Counts pairs of outcomes, A's first.
    pub fn of(outcomes: impl IntoIterator<Item = (bool, bool)>) -> Self {
        let mut pairs = Self::default();
        for outcome in outcomes {
            match outcome {
                (true, true) => pairs.both += 1,
                (true, false) => pairs.only_a += 1,
                (false, true) => pairs.only_b += 1,
                (false, false) => pairs.neither += 1,
            }
        }
        pairs
    }

    /// Number of episodes.
    pub fn n(self) -> u32 {
        self.both + self.only_a + self.only_b + self.neither
    }

    /// The same pairs with A and B exchanged.
    pub fn swapped(self) -> Self {
        Self { only_a: self.only_b, only_b: self.only_a, ..self }
    }
}

/// The exact two-sided p value of McNemar's test: the discordant pairs are Binomial(b + c, 1/2)
/// if the policies do not differ.
///
/// Source: McNemar 1947.
pub fn mcnemar(pairs: PairedCounts) -> f64 {
    let Some((fewer, distribution)) = discordant(pairs) else { return 1.0 };
    (2.0 * distribution.cdf(fewer)).min(1.0)
}

/// McNemar's mid-p test: counts half of the probability of the observed table. Less conservative
/// than [`mcnemar`] and close to its nominal level.
///
/// Source: Fagerland, Lydersen and Laake 2013.
pub fn mcnemar_mid_p(pairs: PairedCounts) -> f64 {
    let Some((fewer, distribution)) = discordant(pairs) else { return 1.0 };
    if pairs.only_a == pairs.only_b {
        return 1.0 - distribution.pmf(fewer);
    }
    2.0 * distribution.cdf(fewer) - distribution.pmf(fewer)
}

/// The rate of A minus that of B with Tango's score interval; `None` without episodes.
///
/// Source: Tango 1998.
pub fn paired_difference(pairs: PairedCounts) -> Option<Estimate> {
    if pairs.n() == 0 {
        return None;
    }
    let value = (f64::from(pairs.only_a) - f64::from(pairs.only_b)) / f64::from(pairs.n());
    let z = z95();
    let low = crossing(-1.0, value, |delta| tango(pairs, delta) > z);
    let high = crossing(value, 1.0, |delta| tango(pairs, delta) > -z);
    Some(Estimate { value, low, high })
}

/// The p value of the rate of A minus that of B against `null`: below 0.05 exactly where Tango's
/// interval does not contain it; 1 without episodes.
pub fn paired_difference_p(pairs: PairedCounts, null: f64) -> f64 {
    if pairs.n() == 0 { 1.0 } else { 2.0 * normal_cdf(-tango(pairs, null).abs()) }
}

/// The mean of `differences` in completed stages between two policies, for episodes of `stages`;
/// `None` without episodes.
///
/// The interval is a bootstrap over episodes. Where all differences are equal it is Wilson's for
/// "always this difference", with the remaining share anywhere on the scale.
pub fn paired_length_difference(differences: &[i32], stages: u16) -> Option<Estimate> {
    let &first = differences.first()?;
    if let Some(estimate) = stratified_mean(&[differences.to_vec()]) {
        return Some(estimate);
    }
    let n = u32::try_from(differences.len()).expect("a run has fewer than 2^32 episodes");
    let share = wilson(n, n).expect("there is at least one episode").low;
    let (value, most) = (f64::from(first), f64::from(stages));
    let spread = most * (1.0 - share);
    let (low, high) = (value * share - spread, value * share + spread);
    Some(Estimate { value, low: low.max(-most), high: high.min(most) })
}

/// min(b, c) of the discordant pairs, and Binomial(b + c, 1/2); `None` without discordant pairs.
fn discordant(pairs: PairedCounts) -> Option<(u64, Binomial)> {
    let discordant = pairs.only_a + pairs.only_b;
    let distribution = Binomial::new(0.5, u64::from(discordant)).expect("a half is a probability");
    (discordant > 0).then(|| (u64::from(pairs.only_a.min(pairs.only_b)), distribution))
}

/// The score statistic for a true difference of `delta`; decreases in `delta`.
fn tango(pairs: PairedCounts, delta: f64) -> f64 {
    let n = f64::from(pairs.n());
    let (a, b) = (f64::from(pairs.only_a), f64::from(pairs.only_b));
    // The maximum likelihood estimate of the rate of "only B" given `delta`: a quadratic root.
    let linear = (2.0 * n - a + b) * delta - a - b;
    let constant = -b * delta * (1.0 - delta);
    let only_b = ((linear * linear - 8.0 * n * constant).max(0.0).sqrt() - linear) / (4.0 * n);
    let variance = n * (2.0 * only_b + delta * (1.0 - delta));
    let distance = a - b - n * delta;
    match variance > 0.0 {
        true => distance / variance.sqrt(),
        false if distance == 0.0 => 0.0,
        false => distance.signum() * f64::INFINITY,
    }
}

/// Where `before` changes from true to false between `low` and `high`, by bisection.
fn crossing(mut low: f64, mut high: f64, before: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if before(middle) { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_outcomes_are_no_evidence_of_a_difference() {
        let pairs = PairedCounts { both: 30, neither: 20, ..PairedCounts::default() };
        assert_eq!(paired_difference_p(pairs, 0.0), 1.0);
        assert!(paired_difference_p(pairs, 0.2) < 0.01);
    }

    #[test]
    fn a_p_value_is_below_5_percent_exactly_where_tangos_interval_lies_on_one_side() {
        for only_a in 0..40 {
            let pairs = PairedCounts { both: 60, only_a, only_b: 5, neither: 10 };
            let found = paired_difference(pairs).unwrap();
            for null in [-0.1, 0.0, 0.05] {
                let outside = null < found.low || null > found.high;
                let p = paired_difference_p(pairs, null);
                assert_eq!(p < 0.05, outside, "{only_a} {null}: {p} {found:?}");
            }
        }
    }

    fn pairs(both: u32, only_a: u32, only_b: u32, neither: u32) -> PairedCounts {
        PairedCounts { both, only_a, only_b, neither }
    }

    #[test]
    fn equal_runs_differ_by_nothing_with_a_width() {
        let found = paired_difference(pairs(90, 0, 0, 10)).unwrap();
        let z = z95() * z95();
        assert_eq!(found.value, 0.0);
        // Without discordant pairs Tango's interval is z^2 / (n + z^2) on either side.
        assert!((found.high - z / (100.0 + z)).abs() < 1e-9, "{found:?}");
        assert!((found.low + found.high).abs() < 1e-12, "{found:?}");
        assert_eq!((mcnemar(pairs(90, 0, 0, 10)), mcnemar_mid_p(pairs(0, 0, 0, 0))), (1.0, 1.0));
    }

    #[test]
    fn exchanging_the_policies_turns_the_sign() {
        let (one, other) = (pairs(300, 25, 9, 66), pairs(300, 9, 25, 66));
        let (a, b) = (paired_difference(one).unwrap(), paired_difference(other).unwrap());
        assert!((a.low + b.high).abs() < 1e-9 && (a.high + b.low).abs() < 1e-9, "{a:?} {b:?}");
        assert_eq!(mcnemar(one), mcnemar(other));
        assert!(mcnemar_mid_p(one) < mcnemar(one));
    }

    #[test]
    fn all_or_nothing_stays_within_one() {
        for pairs in [pairs(0, 5, 0, 0), pairs(0, 0, 5, 0), pairs(0, 1, 0, 0), pairs(0, 3, 3, 0)] {
            let Estimate { value, low, high } = paired_difference(pairs).unwrap();
            assert!(-1.0 <= low && low <= value && value <= high && high <= 1.0, "{pairs:?}");
        }
        assert_eq!(paired_difference(PairedCounts::default()), None);
    }

    #[test]
    fn lengths_that_always_differ_alike_keep_a_width() {
        let found = paired_length_difference(&[0; 20], 5).unwrap();
        assert!(found.low < 0.0 && found.high > 0.0 && found.value == 0.0, "{found:?}");
        assert_eq!(paired_length_difference(&[5; 4], 5).unwrap().high, 5.0);
        assert_eq!(paired_length_difference(&[], 5), None);
    }
}
