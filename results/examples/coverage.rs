//! Prints how often the Wilson interval contains the true rate: 10,000 simulated runs for every rate
//! of a grid.
//!
//! `cargo run --release -p udvla-results --example coverage`

use rayon::prelude::*;
use udvla_results::statistics::random::uniform;
use udvla_results::statistics::{Estimate, wilson};

const RUNS: u64 = 10_000;
const RATES: [f64; 13] = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.76, 0.8, 0.9, 0.95, 0.961];

fn main() {
    println!(
        "share of {RUNS} simulated runs whose 95 % interval contains the true rate, in percent\n"
    );
    println!("| interval | n | {} | mean |", RATES.map(|rate| rate.to_string()).join(" | "));
    println!("|---|--:|{}--:|", "--:|".repeat(RATES.len()));
    for n in [24, 50, 500] {
        let shares = RATES.map(|rate| coverage(n, rate) * 100.0);
        let cells = shares.map(|share| format!("{share:.1}")).join(" | ");
        let mean = shares.iter().sum::<f64>() / shares.len() as f64;
        println!("| Wilson | {n} | {cells} | {mean:.1} |");
    }
}

fn coverage(n: u32, rate: f64) -> f64 {
    let intervals: Vec<Estimate> = (0..=n).filter_map(|k| wilson(k, n)).collect();
    let contains = |run: &u64| {
        let first = run * u64::from(n) + rate.to_bits();
        let solved = |i: &u64| uniform(0, first.wrapping_add(*i)) < rate;
        let hits = (0..u64::from(n)).filter(solved).count();
        (intervals[hits].low..=intervals[hits].high).contains(&rate)
    };
    (0..RUNS).into_par_iter().filter(contains).count() as f64 / RUNS as f64
}
