//! Two policies on different episodes: tests of equal success rates.

use rayon::prelude::*;
use statrs::function::factorial::ln_binomial;

/// Values of the common rate that Boschloo's test looks at before it refines the worst ones.
const GRID: u32 = 1000;
/// Tables as unlikely as the one seen count as such in spite of rounding.
const TIE: f64 = 1.0 + 1e-9;

/// Successes and episodes of policies A and B.
///
/// A and B are named, not laid out in a matrix: Boschloo's p value of a table differs from that
/// of the table transposed, for only the numbers of episodes are fixed by the experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TwoSamples {
    /// Successes and episodes of A.
    pub a: (u32, u32),
    /// Successes and episodes of B.
    pub b: (u32, u32),
}

/// What is tested against equal rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// A's rate is the lower one.
    Lower,
    /// A's rate is the higher one.
    Higher,
    /// The rates differ.
    Either,
}

/// The p value of Fisher's exact test; the two-sided one adds up all tables that are as unlikely
/// as the one seen.
///
/// # Panics
/// If there are more successes than episodes.
pub fn fisher(samples: TwoSamples, side: Side) -> f64 {
    let ((k, n), (j, m)) = checked(samples);
    let column = Column::new(n, m, k + j);
    let sum = |wanted: &dyn Fn(u32, f64) -> bool| {
        let values = column.from..=column.to;
        let kept = values.zip(&column.weights).filter(|&(x, &weight)| wanted(x, weight));
        kept.map(|(_, &weight)| weight).sum::<f64>().min(1.0)
    };
    match side {
        Side::Lower => sum(&|x, _| x <= k),
        Side::Higher => sum(&|x, _| x >= k),
        Side::Either => {
            let seen = column.weights[(k - column.from) as usize] * TIE;
            sum(&|_, weight| weight <= seen)
        }
    }
}

/// The p value of Boschloo's exact test: Fisher's one-sided p value is the statistic, and the
/// p value is the largest over all common rates. The two-sided one is twice the smaller of both.
/// Never larger than Fisher's for the same side, and exact.
///
/// Source: Boschloo 1970.
///
/// # Panics
/// If there are more successes than episodes.
pub fn boschloo(samples: TwoSamples, side: Side) -> f64 {
    let ((k, n), (j, m)) = checked(samples);
    match side {
        Side::Higher => boschloo_higher(samples),
        // A is lower where A's failures are the higher ones.
        Side::Lower => boschloo_higher(TwoSamples { a: (n - k, n), b: (m - j, m) }),
        Side::Either => {
            let sides = [Side::Lower, Side::Higher].map(|side| boschloo(samples, side));
            (2.0 * sides[0].min(sides[1])).min(1.0)
        }
    }
}

fn checked(samples: TwoSamples) -> ((u32, u32), (u32, u32)) {
    for (successes, n) in [samples.a, samples.b] {
        assert!(successes <= n, "{successes} successes of {n}");
    }
    (samples.a, samples.b)
}

/// How successes that are `total` for both share out by chance.
struct Column {
    from: u32,
    to: u32,
    /// The probability of every number of A's successes.
    weights: Vec<f64>,
}

impl Column {
    fn new(n: u32, m: u32, total: u32) -> Self {
        let (from, to) = (total.saturating_sub(m), total.min(n));
        let all = ln_choose(n + m, total);
        let weight = |x: u32| (ln_choose(n, x) + ln_choose(m, total - x) - all).exp();
        Self { from, to, weights: (from..=to).map(weight).collect() }
    }
}

fn ln_choose(n: u32, k: u32) -> f64 {
    ln_binomial(u64::from(n), u64::from(k))
}

fn boschloo_higher(samples: TwoSamples) -> f64 {
    let ((_, n), (_, m)) = (samples.a, samples.b);
    if n == 0 || m == 0 {
        return 1.0;
    }
    let most = most_of_b(n, m, fisher(samples, Side::Higher) * TIE);
    let (a, b) = (Coefficients::new(n), Coefficients::new(m));
    let chance = |rate: f64| {
        let cumulated = b.cumulated(rate);
        let rows = a.weights(rate).into_iter().zip(&most);
        rows.filter_map(|(weight, most)| Some(weight * cumulated[(*most)? as usize])).sum::<f64>()
    };
    let rate = |step: u32| f64::from(step) / f64::from(GRID);
    let found: Vec<f64> = (0..=GRID).into_par_iter().map(|step| chance(rate(step))).collect();
    let mut steps: Vec<u32> = (1..GRID).collect();
    steps.sort_by(|&x, &y| found[y as usize].total_cmp(&found[x as usize]));
    let refined = steps.iter().take(5).map(|&step| peak(rate(step - 1), rate(step + 1), &chance));
    refined.chain(found.iter().copied()).fold(0.0, f64::max).min(1.0)
}

/// For every number of A's successes the most successes of B that leave Fisher's p value at
/// `limit` or below; `None` where no number does.
fn most_of_b(n: u32, m: u32, limit: f64) -> Vec<Option<u32>> {
    let mut most: Vec<Option<u32>> = vec![None; n as usize + 1];
    for total in 0..=n + m {
        let column = Column::new(n, m, total);
        let mut tail = 0.0;
        for (x, weight) in (column.from..=column.to).rev().zip(column.weights.iter().rev()) {
            tail += weight;
            if tail > limit {
                break;
            }
            let of_b = total - x;
            let place = &mut most[x as usize];
            *place = Some(place.map_or(of_b, |before| before.max(of_b)));
        }
    }
    most
}

/// The logarithms of a binomial distribution's coefficients.
struct Coefficients(Vec<f64>);

impl Coefficients {
    fn new(n: u32) -> Self {
        Self((0..=n).map(|k| ln_choose(n, k)).collect())
    }

    /// The probability of every number of successes at `rate`.
    fn weights(&self, rate: f64) -> Vec<f64> {
        let n = self.0.len() - 1;
        let (hit, miss) = (rate.ln(), (-rate).ln_1p());
        // 0 times the logarithm of 0 is none of the factors.
        let power = |log: f64, times: usize| if times == 0 { 0.0 } else { log * times as f64 };
        let weight = |(k, log): (usize, &f64)| (log + power(hit, k) + power(miss, n - k)).exp();
        self.0.iter().enumerate().map(weight).collect()
    }

    fn cumulated(&self, rate: f64) -> Vec<f64> {
        let mut sum = 0.0;
        let add = |weight| {
            sum += weight;
            sum
        };
        self.weights(rate).into_iter().map(add).collect()
    }
}

/// The largest value between two ends around a single peak, by golden sections.
fn peak(mut low: f64, mut high: f64, value: &impl Fn(f64) -> f64) -> f64 {
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    let mut best = 0.0_f64;
    for _ in 0..30 {
        let (x, y) = (high - GOLDEN * (high - low), low + GOLDEN * (high - low));
        let (at_x, at_y) = (value(x), value(y));
        best = best.max(at_x).max(at_y);
        if at_x > at_y { high = y } else { low = x }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boschloo_is_never_above_fisher_on_one_side() {
        for (k, j) in (0..=12).flat_map(|k| (0..=9).map(move |j| (k, j))) {
            let samples = TwoSamples { a: (k, 12), b: (j, 9) };
            for side in [Side::Lower, Side::Higher] {
                let (exact, fisher) = (boschloo(samples, side), fisher(samples, side));
                assert!(exact <= fisher * (1.0 + 1e-7), "{samples:?} {side:?}: {exact} {fisher}");
            }
        }
    }

    #[test]
    fn the_order_of_the_policies_does_not_matter_on_either_side() {
        let (a, b) = ((7, 20), (14, 23));
        for test in [fisher, boschloo] {
            let one = test(TwoSamples { a, b }, Side::Either);
            let other = test(TwoSamples { a: b, b: a }, Side::Either);
            assert!((one - other).abs() < 1e-9, "{one} {other}");
        }
    }

    #[test]
    fn equal_rates_and_empty_samples_say_nothing() {
        for side in [Side::Lower, Side::Higher, Side::Either] {
            assert_eq!(boschloo(TwoSamples { a: (0, 0), b: (3, 4) }, side), 1.0);
            assert!(fisher(TwoSamples { a: (0, 0), b: (3, 4) }, side) > 0.999_999);
        }
        assert!(fisher(TwoSamples { a: (5, 10), b: (5, 10) }, Side::Either) > 0.999_999);
    }
}
