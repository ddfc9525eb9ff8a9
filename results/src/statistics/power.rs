//! How many episodes a given interval width or power takes.

use super::intervals::{normal_cdf, normal_quantile, score_interval, z95};

/// Searches end here.
const MOST: u32 = 100_000_000;

/// The fewest episodes for which the half width of the Wilson interval at `rate` is at most
/// `half_width`; `None` beyond 100 million.
///
/// # Panics
/// If `rate` is not in 0 to 1 or `half_width` not above 0.
pub fn episodes_for_interval(rate: f64, half_width: f64) -> Option<u32> {
    assert!((0.0..=1.0).contains(&rate) && half_width > 0.0, "{rate} ± {half_width}");
    least(|n| {
        let interval = score_interval(rate, f64::from(n));
        (interval.high - interval.low) / 2.0 <= half_width
    })
}

/// The fewest sequences for which the half width of the average length's interval is at most
/// `half_width`, for lengths of that standard deviation; `None` beyond 100 million.
///
/// # Panics
/// If `half_width` is not above 0.
pub fn sequences_for_interval(deviation: f64, half_width: f64) -> Option<u32> {
    assert!(half_width > 0.0, "± {half_width}");
    least(|n| z95() * deviation / f64::from(n).sqrt() <= half_width)
}

/// The fewest episodes per policy, unpaired, for which a two-sided 5 % test distinguishes rates
/// of `a` and `b` with probability `power`; `None` where they are equal.
///
/// Source: Cohen 1988, the arcsine transform, as `statsmodels`' `NormalIndPower`.
pub fn episodes_per_policy(a: f64, b: f64, power: f64) -> Option<u32> {
    least(|n| power_of_two_rates(a, b, n) >= power)
}

/// The power of a two-sided 5 % test of `n` unpaired episodes per policy for rates of `a` and `b`.
pub fn power_of_two_rates(a: f64, b: f64, n: u32) -> f64 {
    let effect = 2.0 * (a.sqrt().asin() - b.sqrt().asin()).abs();
    let shift = effect * (f64::from(n) / 2.0).sqrt();
    normal_cdf(shift - z95()) + normal_cdf(-shift - z95())
}

/// The fewest paired episodes for which McNemar's two-sided 5 % test finds a difference with
/// probability `power`, if only A solves a share of `only_a` and only B one of `only_b`; `None`
/// where these are equal.
///
/// Source: Connor 1987.
pub fn episodes_in_pairs(only_a: f64, only_b: f64, power: f64) -> Option<u32> {
    let (discordant, difference) = (only_a + only_b, (only_a - only_b).abs());
    if difference == 0.0 {
        return None;
    }
    let spread = (discordant - difference * difference).max(0.0).sqrt();
    let root = z95() * discordant.sqrt() + normal_quantile(power) * spread;
    let n = (root / difference).powi(2).ceil();
    (n <= f64::from(MOST)).then_some(n as u32)
}

/// The smallest number that is enough, by bisection; `enough` is monotone.
fn least(enough: impl Fn(u32) -> bool) -> Option<u32> {
    let (mut low, mut high) = (0, MOST);
    if !enough(high) {
        return None;
    }
    while high - low > 1 {
        let middle = u32::midpoint(low, high);
        if enough(middle) { high = middle } else { low = middle }
    }
    Some(high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::wilson;

    #[test]
    fn sizes_agree_with_statsmodels() {
        // `NormalIndPower().solve_power(proportion_effectsize(a, b), alpha=0.05, power=0.8)`,
        // rounded up.
        for (a, b, n) in [(0.90, 0.95, 424), (0.90, 0.92, 3205), (0.927, 0.937, 9936)] {
            assert_eq!(episodes_per_policy(a, b, 0.8), Some(n), "{a} {b}");
        }
        assert_eq!(episodes_per_policy(0.9, 0.9, 0.8), None);
    }

    #[test]
    fn the_number_for_an_interval_is_enough_and_one_less_is_not() {
        let n = episodes_for_interval(0.95, 0.02).unwrap();
        let half = |n: u32| {
            let interval = score_interval(0.95, f64::from(n));
            (interval.high - interval.low) / 2.0
        };
        assert!(half(n) <= 0.02 && half(n - 1) > 0.02, "{n}");
        assert!(wilson(1922, 2000).unwrap().high - 0.961 < 0.01);
        assert_eq!(episodes_for_interval(0.5, 1.0), Some(1));
    }

    #[test]
    fn pairs_that_mostly_agree_need_fewer_episodes() {
        let paired = episodes_in_pairs(0.06, 0.01, 0.8).unwrap();
        assert!(paired < episodes_per_policy(0.95, 0.90, 0.8).unwrap(), "{paired}");
        assert_eq!(episodes_in_pairs(0.02, 0.02, 0.8), None);
    }

    #[test]
    fn the_papers_500_sequences_give_its_width() {
        let n = sequences_for_interval(0.967, 0.085).unwrap();
        assert!((480..520).contains(&n), "{n}");
    }
}
