//! Intervals of one success rate.

use statrs::distribution::{Beta, ContinuousCDF, Normal};

use super::Estimate;

/// Wilson's score interval for `successes` in `n`; `None` when `n` is 0.
///
/// Source: Wilson 1927; recommended for small n by Brown, Cai and DasGupta 2001.
///
/// # Panics
/// If there are more successes than episodes.
pub fn wilson(successes: u32, n: u32) -> Option<Estimate> {
    let value = share(successes, n)?;
    let Estimate { low, high, .. } = score_interval(value, f64::from(n));
    // At both ends the interval touches 0 or 1 exactly; the formula only nearly does.
    let low = if successes == 0 { 0.0 } else { low };
    let high = if successes == n { 1.0 } else { high };
    Some(Estimate { value, low, high })
}

/// The exact interval, which holds the rate in at least 95 % of runs whatever it is; `None` when
/// `n` is 0.
///
/// Source: Clopper and Pearson 1934.
///
/// # Panics
/// If there are more successes than episodes.
pub fn clopper_pearson(successes: u32, n: u32) -> Option<Estimate> {
    let value = share(successes, n)?;
    let (k, rest) = (f64::from(successes), f64::from(n - successes));
    let low = if successes == 0 { 0.0 } else { beta_quantile(k, rest + 1.0, 0.025) };
    let high = if successes == n { 1.0 } else { beta_quantile(k + 1.0, rest, 0.975) };
    Some(Estimate { value, low, high })
}

/// The interval of equal tails of the rate's distribution after `successes` in `n`, before which
/// Jeffreys' prior was held; the ends are 0 and 1 where there was no success or no failure.
/// `None` when `n` is 0.
///
/// Source: Brown, Cai and DasGupta 2001, section 4.1.
///
/// # Panics
/// If there are more successes than episodes.
pub fn jeffreys(successes: u32, n: u32) -> Option<Estimate> {
    let value = share(successes, n)?;
    let (a, b) = (f64::from(successes) + 0.5, f64::from(n - successes) + 0.5);
    let low = if successes == 0 { 0.0 } else { beta_quantile(a, b, 0.025) };
    let high = if successes == n { 1.0 } else { beta_quantile(a, b, 0.975) };
    Some(Estimate { value, low, high })
}

/// The exact one-sided 95 % bound of a rate of 0 or 1: the highest after no success, the lowest
/// after no failure; `None` for any other count, and when `n` is 0.
pub fn one_sided_bound(successes: u32, n: u32) -> Option<f64> {
    let size = f64::from(n);
    match successes {
        _ if n == 0 => None,
        0 => Some(1.0 - 0.05_f64.powf(size.recip())),
        k if k == n => Some(0.05_f64.powf(size.recip())),
        _ => None,
    }
}

/// Wilson's interval at any `value` for a sample worth `size` episodes.
pub(super) fn score_interval(value: f64, size: f64) -> Estimate {
    let z = z95();
    let denominator = 1.0 + z * z / size;
    let centre = (value + z * z / (2.0 * size)) / denominator;
    let half = z / denominator * (value * (1.0 - value) / size + (z / (2.0 * size)).powi(2)).sqrt();
    Estimate { value, low: centre - half, high: centre + half }
}

/// The two-sided 95 % quantile of the standard normal distribution.
pub(super) fn z95() -> f64 {
    normal_quantile(0.975)
}

/// The quantile of the standard normal distribution.
pub(super) fn normal_quantile(share: f64) -> f64 {
    Normal::standard().inverse_cdf(share)
}

/// The distribution function of the standard normal distribution.
pub(super) fn normal_cdf(x: f64) -> f64 {
    Normal::standard().cdf(x)
}

fn share(successes: u32, n: u32) -> Option<f64> {
    assert!(successes <= n, "{successes} successes of {n}");
    (n > 0).then(|| f64::from(successes) / f64::from(n))
}

/// By bisection of the distribution function: statrs inverts it to fewer digits.
fn beta_quantile(a: f64, b: f64, share: f64) -> f64 {
    let beta = Beta::new(a, b).expect("both shapes are positive");
    let (mut low, mut high) = (0.0, 1.0);
    // Sixty halvings of [0, 1] go below the spacing of numbers there.
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if beta.cdf(middle) < share { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `statsmodels.stats.proportion.proportion_confint(k, n, 0.05, "wilson")`, 0.15.0.
    const WILSON: [(u32, u32, f64, f64); 9] = [
        (15, 24, 0.427_099_624_4, 0.788_406_324_4),
        (1922, 2000, 0.951_593_915_0, 0.968_638_567_5),
        (73, 96, 0.666_076_176_8, 0.834_717_787_8),
        (476, 500, 0.929_572_803_2, 0.967_534_793_1),
        (494, 500, 0.974_069_638_9, 0.994_489_004_8),
        (498, 500, 0.985_534_284_8, 0.998_902_369_5),
        (0, 10, 0.0, 0.277_532_799_9),
        (10, 10, 0.722_467_200_1, 1.0),
        (1, 1, 0.206_549_314_4, 1.0),
    ];

    #[track_caller]
    fn assert_close(found: f64, expected: f64, tolerance: f64) {
        assert!((found - expected).abs() <= tolerance, "{found} is not {expected}");
    }

    #[test]
    fn wilson_agrees_with_statsmodels() {
        for (k, n, low, high) in WILSON {
            let found = wilson(k, n).unwrap();
            assert_close(found.low, low, 1e-9);
            assert_close(found.high, high, 1e-9);
        }
    }

    #[test]
    fn every_interval_holds_its_value_and_stays_within_0_and_1() {
        for n in 1..40 {
            for k in 0..=n {
                for interval in [wilson, clopper_pearson, jeffreys] {
                    let Estimate { value, low, high } = interval(k, n).unwrap();
                    let fine = 0.0 <= low && low <= value && value <= high && high <= 1.0;
                    assert!(fine, "{k}/{n}: {value} [{low}, {high}]");
                }
            }
        }
    }

    #[test]
    fn the_exact_interval_holds_wilsons_centre_and_is_wider_at_the_edges() {
        let exact = clopper_pearson(24, 24).unwrap();
        // (0.025)^(1/24).
        assert_close(exact.low, 0.025_f64.powf(1.0 / 24.0), 1e-12);
        assert_close(one_sided_bound(24, 24).unwrap(), 0.882_654_2, 1e-6);
        assert_eq!(one_sided_bound(0, 0), None);
        assert_eq!(one_sided_bound(3, 24), None);
    }

    #[test]
    fn without_episodes_there_is_no_interval() {
        assert_eq!([wilson(0, 0), clopper_pearson(0, 0), jeffreys(0, 0)], [None; 3]);
    }
}
