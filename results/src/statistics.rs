//! Estimates with 95 % intervals: success rates, average lengths, their means and differences.

use rayon::prelude::*;
use statrs::distribution::{ContinuousCDF, Normal};

/// Resamples of the bootstrap.
const RESAMPLES: u64 = 10_000;
/// Where the bootstrap's random numbers start; fixed, so that a table never changes by itself.
const SEED: u64 = 20_251_118;

/// A number with its two-sided 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The number itself.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

impl Estimate {
    /// The estimate on another scale: all three numbers times `factor`, which is positive.
    pub fn times(self, factor: f64) -> Self {
        Self { value: self.value * factor, low: self.low * factor, high: self.high * factor }
    }
}

/// A success rate: episodes that could not be run are apart, neither in `successes` nor in `n`.
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
    /// The rate of `successes` in `n` episodes, beside `errors` that could not be run.
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

/// Wilson's score interval for `successes` in `n`; `None` when `n` is 0.
///
/// Source: Wilson 1927; recommended for small n by Brown, Cai and DasGupta 2001.
///
/// # Panics
/// If there are more successes than episodes.
pub fn wilson(successes: u32, n: u32) -> Option<Estimate> {
    assert!(successes <= n, "{successes} successes of {n}");
    if n == 0 {
        return None;
    }
    let (z, size) = (z95(), f64::from(n));
    let value = f64::from(successes) / size;
    let denominator = 1.0 + z * z / size;
    let centre = (value + z * z / (2.0 * size)) / denominator;
    let half = z / denominator * (value * (1.0 - value) / size + (z / (2.0 * size)).powi(2)).sqrt();
    // At both ends the interval touches 0 or 1 exactly; the formula only nearly does.
    let low = if successes == 0 { 0.0 } else { centre - half };
    let high = if successes == n { 1.0 } else { centre + half };
    Some(Estimate { value, low, high })
}

/// The unweighted mean of independent estimates; `None` when there is none.
///
/// Its interval joins theirs by the method of variance estimates recovery: the distance to each
/// end is the root of the summed squares of their distances, divided by their count. Unlike the
/// stratified normal interval it keeps a width where a rate is 0 or 1 and stays within 0 and 1;
/// unlike a bootstrap it has no resampling noise; for one estimate it is that estimate.
///
/// Source: Zou and Donner 2008.
pub fn mean(parts: &[Estimate]) -> Option<Estimate> {
    if parts.is_empty() {
        return None;
    }
    let count = parts.len() as f64;
    let value = parts.iter().map(|part| part.value).sum::<f64>() / count;
    let below: f64 = parts.iter().map(|part| (part.value - part.low).powi(2)).sum();
    let above: f64 = parts.iter().map(|part| (part.high - part.value).powi(2)).sum();
    Some(Estimate { value, low: value - below.sqrt() / count, high: value + above.sqrt() / count })
}

/// `a - b` for independent estimates.
///
/// The same recovery of variances as in [`mean`]; for two Wilson intervals it is Newcombe's
/// hybrid score interval.
///
/// Source: Newcombe 1998, method 10.
pub fn difference(a: Estimate, b: Estimate) -> Estimate {
    let value = a.value - b.value;
    let below = ((a.value - a.low).powi(2) + (b.high - b.value).powi(2)).sqrt();
    let above = ((a.high - a.value).powi(2) + (b.value - b.low).powi(2)).sqrt();
    Estimate { value, low: value - below, high: value + above }
}

/// The mean of `lengths`, each the stages an episode completed out of `stages`.
///
/// The interval is a percentile bootstrap over whole episodes, for the stages within one are not
/// independent. Where all episodes have the same length the bootstrap would answer with a point;
/// there the interval is that of Wilson for "always this length", the rest at 0 or at `stages`.
pub fn average_length(lengths: &[u16], stages: u16, errors: u32) -> Length {
    let n = u32::try_from(lengths.len()).expect("a run has fewer than 2^32 episodes");
    let estimate = lengths.first().map(|&first| {
        if lengths.iter().all(|&length| length == first) {
            constant_length(first, stages, n)
        } else {
            bootstrap_mean(lengths)
        }
    });
    Length { n, errors, estimate }
}

/// The two-sided 95 % quantile of the standard normal distribution.
fn z95() -> f64 {
    Normal::standard().inverse_cdf(0.975)
}

fn constant_length(length: u16, stages: u16, n: u32) -> Estimate {
    let share = wilson(n, n).expect("there is at least one episode").low;
    let (value, most) = (f64::from(length), f64::from(stages));
    Estimate { value, low: value * share, high: value * share + most * (1.0 - share) }
}

fn bootstrap_mean(lengths: &[u16]) -> Estimate {
    // In order, so that equal counts have equal intervals whatever the order of the episodes.
    let mut lengths = lengths.to_vec();
    lengths.sort_unstable();
    let n = lengths.len() as u64;
    let total = |draw: u64| -> u64 {
        let numbers = (0..n).map(|i| random(draw * n + i));
        // The high part of the product is uniform in 0..n to within 2^-32 for any real run.
        let picks = numbers.map(|number| (u128::from(number) * u128::from(n)) >> 64);
        picks.map(|pick| u64::from(lengths[pick as usize])).sum()
    };
    let mut totals: Vec<u64> = (0..RESAMPLES).into_par_iter().map(total).collect();
    totals.sort_unstable();
    let quantile =
        |share: f64| totals[(share * (RESAMPLES - 1) as f64).round() as usize] as f64 / n as f64;
    let sum: u64 = lengths.iter().map(|&length| u64::from(length)).sum();
    Estimate { value: sum as f64 / n as f64, low: quantile(0.025), high: quantile(0.975) }
}

/// The random number at `index` of the stream at [`SEED`] (SplitMix64): a function of the index,
/// so that the bootstrap is the same on any number of threads.
fn random(index: u64) -> u64 {
    let mut z = SEED.wrapping_add((index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
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
    fn an_interval_holds_its_value_and_stays_within_0_and_1() {
        for n in 1..60 {
            for k in 0..=n {
                let Estimate { value, low, high } = wilson(k, n).unwrap();
                assert!(0.0 <= low && low <= value && value <= high && high <= 1.0, "{k}/{n}");
            }
        }
    }

    #[test]
    fn without_episodes_there_is_no_estimate() {
        assert_eq!(Rate::new(0, 0, 3).estimate, None);
        assert_eq!(average_length(&[], 5, 3).estimate, None);
        assert_eq!(mean(&[]), None);
    }

    #[test]
    fn the_mean_of_the_papers_libero_suites_has_the_recovered_interval() {
        let suites: Vec<_> = [481, 494, 471, 476].map(|k| wilson(k, 500).unwrap()).to_vec();
        let found = mean(&suites).unwrap();
        assert_close(found.value, 0.961, 1e-12);
        // The same sums over statsmodels' Wilson intervals in numpy.
        assert_close(found.low, 0.950_693_851_5, 1e-9);
        assert_close(found.high, 0.967_921_969_6, 1e-9);
        assert_eq!(mean(&suites[..1]).unwrap(), suites[0]);
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

    #[test]
    fn the_papers_calvin_length_has_the_normal_width() {
        // Table 2 gives these counts of lengths 0 to 5; 1.96 s / sqrt(500) is 0.0848, and
        // `scipy.stats.bootstrap` with 100,000 resamples gives [4.552, 4.722].
        let counts = [4, 12, 16, 16, 32, 420];
        let lengths: Vec<u16> =
            (0..6).flat_map(|length| vec![length; counts[length as usize]]).collect();
        let found = average_length(&lengths, 5, 0).estimate.unwrap();
        assert_close(found.value, 4.64, 1e-12);
        assert_close(found.low, 4.552, 0.005);
        assert_close(found.high, 4.722, 0.005);
    }

    #[test]
    fn a_constant_length_keeps_a_width() {
        let found = average_length(&[5; 10], 5, 0).estimate.unwrap();
        assert_close(found.low, 5.0 * 0.722_467_200_1, 1e-8);
        assert_eq!(found.high, 5.0);
        assert_eq!(average_length(&[0; 10], 5, 0).estimate.unwrap().low, 0.0);
    }

    #[test]
    fn the_bootstrap_does_not_depend_on_threads_or_the_order_of_episodes() {
        let lengths: Vec<u16> = (0..97).map(|i| i % 6).collect();
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let backwards: Vec<u16> = lengths.iter().rev().copied().collect();
        assert_eq!(one.install(|| bootstrap_mean(&lengths)), bootstrap_mean(&backwards));
    }
}
