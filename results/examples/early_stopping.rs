//! Prints how often stopping early claims a difference, and after how many episodes: 10,000
//! simulated runs of at most 500 episodes for every pair of rates.
//!
//! `cargo run --release -p udvla-results --example early_stopping`

use rayon::prelude::*;
use udvla_results::statistics::random::uniform;
use udvla_results::statistics::sequential::{Direction, Evidence, FALSE_ALARMS, Reach};

const RUNS: u64 = 10_000;
const EPISODES: u64 = 500;
/// The reference's rate and the policy's.
const RATES: [(f64, f64); 13] = [
    (0.5, 0.5),
    (0.76, 0.76),
    (0.9, 0.9),
    (0.928, 0.928),
    (0.961, 0.961),
    (0.99, 0.99),
    (0.9, 0.95),
    (0.9, 0.8),
    (0.961, 0.92),
    (0.961, 0.85),
    (0.76, 0.6),
    (0.5, 0.75),
    (0.95, 0.5),
];

/// The reference of the policy.
#[derive(Clone, Copy)]
enum Against {
    /// A published rate, taken as exact.
    Rate,
    /// The same episodes of a baseline; each episode has a difficulty of its own.
    Baseline,
}

fn main() {
    println!(
        "{RUNS} simulated runs of at most {EPISODES} episodes, evaluated after every one; at most \
         {} % may claim a difference that does not exist\n",
        FALSE_ALARMS * 100.0
    );
    println!(
        "| against | reference | policy | claims below, % | claims above, % | median episodes |"
    );
    println!("|---|--:|--:|--:|--:|--:|");
    for (name, against) in [("a rate", Against::Rate), ("a baseline", Against::Baseline)] {
        for (reference, policy) in RATES {
            let ends: Vec<Option<(Direction, u64)>> = (0..RUNS)
                .into_par_iter()
                .map(|run| play(against, reference, policy, run))
                .collect();
            let share = |direction: Direction| {
                let claims = ends.iter().flatten().filter(|end| end.0 == direction).count();
                claims as f64 * 100.0 / RUNS as f64
            };
            let mut stops: Vec<u64> = ends.iter().flatten().map(|end| end.1).collect();
            stops.sort_unstable();
            let median = stops.get(stops.len() / 2).map_or("–".to_owned(), u64::to_string);
            let (below, above) = (share(Direction::Below), share(Direction::Above));
            println!("| {name} | {reference} | {policy} | {below:.1} | {above:.1} | {median} |");
        }
    }
}

fn play(against: Against, reference: f64, policy: f64, run: u64) -> Option<(Direction, u64)> {
    let mut evidence = Evidence::default();
    (0..EPISODES).find_map(|episode| {
        let draw = |which: u64| uniform(0, (run * EPISODES + episode) * 3 + which);
        let (difference, reach) = match against {
            Against::Rate => (solved(draw(0) < policy) - reference, Reach::around(reference)),
            Against::Baseline => {
                // Half of the episodes are easier than the mean, half harder.
                let easy = draw(2) < 0.5;
                let at =
                    |rate: f64| rate + if easy { 1.0 } else { -1.0 } * rate.min(1.0 - rate) / 2.0;
                let pair = solved(draw(0) < at(policy)) - solved(draw(1) < at(reference));
                (pair, Reach::OF_A_PAIR)
            }
        };
        evidence.observe(difference, reach);
        Some((evidence.decided()?, episode + 1))
    })
}

fn solved(success: bool) -> f64 {
    f64::from(u8::from(success))
}
