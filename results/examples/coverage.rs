//! Prints how often the intervals hold the truth: 10,000 simulated runs for every rate of a grid.
//!
//! `cargo run --release -p udvla-results --example coverage`

use rayon::prelude::*;
use udvla_results::statistics::{Estimate, clopper_pearson, jeffreys, wilson};

const RUNS: u64 = 10_000;
const RATES: [f64; 13] = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.76, 0.8, 0.9, 0.95, 0.961];

type Interval = fn(u32, u32) -> Option<Estimate>;

fn main() {
    let methods: [(&str, Interval); 3] =
        [("Wilson", wilson), ("Clopper-Pearson", clopper_pearson), ("Jeffreys", jeffreys)];
    println!(
        "share of {RUNS} simulated runs whose 95 % interval holds the true rate, in percent\n"
    );
    println!("| interval | n | {} | mean |", RATES.map(|rate| rate.to_string()).join(" | "));
    println!("|---|--:|{}--:|", "--:|".repeat(RATES.len()));
    for (name, interval) in methods {
        for n in [24, 50, 500] {
            let shares = RATES.map(|rate| covered(interval, n, rate) * 100.0);
            let cells = shares.map(|share| format!("{share:.1}")).join(" | ");
            let mean = shares.iter().sum::<f64>() / shares.len() as f64;
            println!("| {name} | {n} | {cells} | {mean:.1} |");
        }
    }
}

fn covered(interval: Interval, n: u32, rate: f64) -> f64 {
    let intervals: Vec<Estimate> = (0..=n).filter_map(|k| interval(k, n)).collect();
    let holds = |run: &u64| {
        let first = run * u64::from(n) + rate.to_bits();
        let hits = (0..u64::from(n)).filter(|i| random(first.wrapping_add(*i)) < rate).count();
        (intervals[hits].low..=intervals[hits].high).contains(&rate)
    };
    (0..RUNS).into_par_iter().filter(holds).count() as f64 / RUNS as f64
}

/// A number from 0 to 1 that only its index decides (SplitMix64).
fn random(index: u64) -> f64 {
    let mut z = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}
