//! Two policies on different episodes: a test of equal success rates.

use statrs::function::factorial::ln_binomial;

/// Tables that are as likely as the observed one up to rounding count as ties.
const TIE: f64 = 1.0 + 1e-9;

/// Two-sided p value of Fisher's exact test for successes and episodes of two policies: the
/// probability of all tables that are at most as likely as the observed one.
///
/// The sum is our own: `fishers_exact` of statrs counts tables as ties whose probabilities differ
/// by up to 0.01 %.
///
/// # Panics
/// If there are more successes than episodes.
pub fn fisher(a: (u32, u32), b: (u32, u32)) -> f64 {
    for (successes, n) in [a, b] {
        assert!(successes <= n, "{successes} successes of {n}");
    }
    let successes = a.0 + b.0;
    let ln_choose = |n: u32, k: u32| ln_binomial(n.into(), k.into());
    let all = ln_choose(a.1 + b.1, successes);
    let probability = |k: u32| (ln_choose(a.1, k) + ln_choose(b.1, successes - k) - all).exp();
    let limit = probability(a.0) * TIE;
    let tables = successes.saturating_sub(b.1)..=successes.min(a.1);
    tables.map(probability).filter(|&p| p <= limit).sum::<f64>().min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_the_policies_does_not_matter() {
        let (one, other) = (fisher((7, 20), (14, 23)), fisher((14, 23), (7, 20)));
        assert!((one - other).abs() < 1e-9, "{one} {other}");
    }

    #[test]
    fn equal_rates_and_empty_samples_say_nothing() {
        assert!(fisher((0, 0), (3, 4)) > 0.999_999);
        assert!(fisher((5, 10), (5, 10)) > 0.999_999);
    }
}
