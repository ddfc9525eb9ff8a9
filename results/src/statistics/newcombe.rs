//! Newcombe's interval for the difference of two rates at any level, and the p values that
//! correspond to it.

use super::intervals::{normal_cdf, wilson_at};

/// Normal quantiles beyond this one are p values of 0.
const FARTHEST: f64 = 38.0;

/// Successes and episodes.
pub type Count = (u32, u32);

/// The p value of a difference of rates `a - b` against `null`: twice the smaller tail at which
/// Newcombe's interval ends at `null`. Below 0.05 exactly where the 95 % interval does not contain
/// `null`.
///
/// # Panics
/// If one of them has no episode, or more successes than episodes.
pub fn difference_p(a: Count, b: Count, null: f64) -> f64 {
    2.0 * (1.0 - normal_cdf(quantile(a, b, null).abs()))
}

/// The p value of the claim that the rates differ by less than `margin`: that of the nearer end.
/// Below 0.05 exactly where the 95 % interval of the difference lies within the margin.
///
/// # Panics
/// As [`difference_p`].
pub fn equivalence_p(a: Count, b: Count, margin: f64) -> f64 {
    let above = quantile(a, b, -margin);
    let below = -quantile(a, b, margin);
    2.0 * (1.0 - normal_cdf(above.min(below)))
}

/// The numbers of successes out of `n` that are nearest to the rate of `reference`, below and
/// above, and differ from it with a p value under `level`; `None` where no number does.
///
/// # Panics
/// If `n` or the episodes of `reference` are 0.
pub fn nearest_different(reference: Count, n: u32, level: f64) -> [Option<u32>; 2] {
    let rate = f64::from(reference.0) / f64::from(reference.1);
    let different = |k: &u32| difference_p((*k, n), reference, 0.0) < level;
    let middle = (rate * f64::from(n)).floor() as u32;
    [(0..=middle).rev().find(different), (middle..=n).find(different)]
}

/// The normal quantile at which the interval of `a - b` ends at `null`; negative where the
/// difference is below `null`.
fn quantile(a: Count, b: Count, null: f64) -> f64 {
    let share = |(k, n): Count| f64::from(k) / f64::from(n);
    let distance = share(a) - share(b) - null;
    if distance < 0.0 {
        return -quantile(b, a, -null);
    }
    let reach = |z: f64| {
        let (a_low, b_high) = (wilson_at(a, z).low, wilson_at(b, z).high);
        ((share(a) - a_low).powi(2) + (b_high - share(b)).powi(2)).sqrt()
    };
    let (mut low, mut high) = (0.0, FARTHEST);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if reach(middle) < distance { low = middle } else { high = middle }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::{difference, wilson};

    #[test]
    fn a_p_value_is_below_5_percent_exactly_where_the_interval_lies_on_one_side() {
        let reference = (476, 500);
        for k in 440..=500 {
            let found = difference(wilson(k, 500).unwrap(), wilson(476, 500).unwrap());
            let outside = found.low > 0.0 || found.high < 0.0;
            let p = difference_p((k, 500), reference, 0.0);
            assert_eq!(p < 0.05, outside, "{k}: {p} {found:?}");
            let within = found.low > -0.05 && found.high < 0.05;
            let p = equivalence_p((k, 500), reference, 0.05);
            assert_eq!(p < 0.05, within, "{k}: {p} {found:?}");
        }
    }

    #[test]
    fn equal_rates_have_a_p_value_of_1_and_far_ones_of_almost_0() {
        assert!((difference_p((50, 100), (5, 10), 0.0) - 1.0).abs() < 1e-9);
        assert!(difference_p((0, 500), (500, 500), 0.0) < 1e-12);
    }

    #[test]
    fn the_nearest_different_counts_are_different_and_their_neighbors_are_not() {
        let p = |k| difference_p((k, 500), (476, 500), 0.0);
        let [Some(below), Some(above)] = nearest_different((476, 500), 500, 0.05) else {
            panic!("500 episodes can show a difference")
        };
        assert!(p(below) < 0.05 && p(below + 1) >= 0.05, "{below}");
        assert!(p(above) < 0.05 && p(above - 1) >= 0.05, "{above}");
        // Ten episodes cannot be better than 95 %.
        assert_eq!(nearest_different((476, 500), 10, 0.05)[1], None);
    }
}
