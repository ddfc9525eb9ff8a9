//! Pure functions behind every record and every table: `cargo bench --package udvla-results`.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use udvla_results::run::seal::{Chain, RecordsEnd};
use udvla_results::statistics::{PairedCounts, average_length, paired_difference, wilson};

/// A record on its way into `episodes.jsonl`.
fn records(criterion: &mut Criterion) {
    let record = format!(r#"{{"suite":"long","task":3,"trial":7,"text":"{}"}}"#, "x".repeat(700));
    let mut chain = Chain::new("0123456789abcdef".into(), RecordsEnd::empty());
    criterion.bench_function("chain a record", |bencher| {
        bencher.iter(|| {
            let line = chain.line(black_box(&record));
            chain.advance(&line);
        });
    });
}

/// Intervals of LIBERO's suites, CALVIN's average length, a paired comparison.
fn statistics(criterion: &mut Criterion) {
    criterion.bench_function("interval of a rate", |bencher| {
        bencher.iter(|| wilson(black_box(481), black_box(500)));
    });
    let lengths: Vec<u16> = (0..500).map(|index| [5, 5, 5, 4, 5, 2, 5][index % 7]).collect();
    criterion.bench_function("average length of 500 sequences", |bencher| {
        bencher.iter(|| average_length(black_box(&lengths), 5, 0));
    });
    let outcomes = (0..500).map(|index| (index % 3 > 0, index % 4 > 0));
    let pairs = PairedCounts::of(outcomes);
    criterion.bench_function("difference of 500 pairs", |bencher| {
        bencher.iter(|| paired_difference(black_box(pairs)));
    });
}

criterion_group!(benches, records, statistics);
criterion_main!(benches);
