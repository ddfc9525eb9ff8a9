//! Intervals of one success rate.

use statrs::distribution::{ContinuousCDF, Normal};

use super::estimate::Estimate;

/// Wilson's score interval for `successes` in `n`; `None` when `n` is 0.
///
/// Source: Wilson 1927; recommended for small n by Brown, Cai and DasGupta 2001.
///
/// # Panics
/// If there are more successes than episodes.
pub fn wilson(successes: u32, n: u32) -> Option<Estimate> {
    assert!(successes <= n, "{successes} successes of {n}");
    (n > 0).then(|| wilson_at((successes, n), z95()))
}

/// Wilson's interval for successes in episodes, of which there is one, at the normal quantile `z`.
pub(super) fn wilson_at((successes, n): (u32, u32), z: f64) -> Estimate {
    let value = f64::from(successes) / f64::from(n);
    let Estimate { low, high, .. } = score_interval_at(value, f64::from(n), z);
    // At the extremes the interval ends at exactly 0 or 1; the formula only comes close.
    let low = if successes == 0 { 0.0 } else { low };
    let high = if successes == n { 1.0 } else { high };
    Estimate { value, low, high }
}

/// Wilson's interval at any `value` for an effective sample size of `size` episodes.
pub(super) fn score_interval(value: f64, size: f64) -> Estimate {
    score_interval_at(value, size, z95())
}

fn score_interval_at(value: f64, size: f64, z: f64) -> Estimate {
    let denominator = 1.0 + z * z / size;
    let center = (value + z * z / (2.0 * size)) / denominator;
    let half = z / denominator * (value * (1.0 - value) / size + (z / (2.0 * size)).powi(2)).sqrt();
    Estimate { value, low: center - half, high: center + half }
}

/// The two-sided 95 % quantile of the standard normal distribution.
pub(super) fn z95() -> f64 {
    normal_quantile(0.975)
}

/// The quantile function of the standard normal distribution.
pub(super) fn normal_quantile(probability: f64) -> f64 {
    Normal::standard().inverse_cdf(probability)
}

/// The distribution function of the standard normal distribution.
pub(super) fn normal_cdf(x: f64) -> f64 {
    Normal::standard().cdf(x)
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

    #[test]
    fn wilson_agrees_with_statsmodels() {
        for (k, n, low, high) in WILSON {
            let found = wilson(k, n).unwrap();
            let close = (found.low - low).abs() < 1e-9 && (found.high - high).abs() < 1e-9;
            assert!(close, "{k}/{n}: {found:?} is not [{low}, {high}]");
        }
    }

    #[test]
    fn every_interval_holds_its_value_and_stays_within_0_and_1() {
        for (n, k) in (1..40).flat_map(|n| (0..=n).map(move |k| (n, k))) {
            let Estimate { value, low, high } = wilson(k, n).unwrap();
            let ordered = 0.0 <= low && low <= value && value <= high && high <= 1.0;
            assert!(ordered, "{k}/{n}: {value} [{low}, {high}]");
        }
    }

    #[test]
    fn without_episodes_there_is_no_interval() {
        assert_eq!(wilson(0, 0), None);
    }
}
