//! The statistics against scipy and statsmodels; `vectors/make.py` made the values.

use serde_json::Value;
use udvla_results::statistics::power::episodes_per_policy;
use udvla_results::statistics::{
    PairedCounts, Side, TwoSamples, average_length, boschloo, fisher, holm, mcnemar, mcnemar_mid_p,
    paired_difference, wilson,
};

fn vectors(name: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("vectors/statistics.json")).unwrap();
    all[name].as_array().unwrap().clone()
}

fn count(value: &Value) -> u32 {
    u32::try_from(value.as_u64().unwrap()).unwrap()
}

#[track_caller]
fn close(found: f64, expected: &Value, tolerance: f64, what: &Value) {
    let expected = expected.as_f64().unwrap();
    assert!((found - expected).abs() <= tolerance, "{found} is not {expected}: {what}");
}

#[test]
fn intervals_of_a_rate_agree() {
    for vector in vectors("intervals") {
        let found = wilson(count(&vector["k"]), count(&vector["n"])).unwrap();
        close(found.low, &vector["wilson"][0], 1e-9, &vector);
        close(found.high, &vector["wilson"][1], 1e-9, &vector);
    }
}

#[test]
fn tests_of_unpaired_rates_agree_in_both_orientations() {
    for vector in vectors("unpaired") {
        let arm = |name: &str| (count(&vector[name][0]), count(&vector[name][1]));
        let samples = TwoSamples { a: arm("a"), b: arm("b") };
        let side = match vector["side"].as_str().unwrap() {
            "Lower" => Side::Lower,
            "Higher" => Side::Higher,
            _ => Side::Either,
        };
        close(fisher(samples, side), &vector["fisher"], 1e-9, &vector);
        // scipy finds the worst common rate by a search of its own.
        close(boschloo(samples, side), &vector["boschloo"], 2e-5, &vector);
    }
}

#[test]
fn tests_and_intervals_of_pairs_agree() {
    for vector in vectors("paired") {
        let of = |index: usize| count(&vector["pairs"][index]);
        let pairs = PairedCounts { both: of(0), only_a: of(1), only_b: of(2), neither: of(3) };
        close(mcnemar(pairs), &vector["mcnemar"], 1e-12, &vector);
        close(mcnemar_mid_p(pairs), &vector["mid_p"], 1e-12, &vector);
        let found = paired_difference(pairs).unwrap();
        close(found.low, &vector["tango"][0], 1e-6, &vector);
        close(found.high, &vector["tango"][1], 1e-6, &vector);
    }
}

#[test]
fn bootstraps_of_lengths_agree() {
    for vector in vectors("lengths") {
        let counts = vector["counts"].as_array().unwrap().iter().map(count);
        let lengths: Vec<u16> =
            (0..6).zip(counts).flat_map(|(length, n)| vec![length; n as usize]).collect();
        let found = average_length(&lengths, 5, 0).estimate.unwrap();
        // Two bootstraps of 10,000 and 100,000 resamples: a tenth of the half width.
        let tolerance = (found.high - found.low) / 20.0;
        close(found.low, &vector["low"], tolerance, &vector);
        close(found.high, &vector["high"], tolerance, &vector);
    }
}

#[test]
fn sample_sizes_and_corrections_agree() {
    for vector in vectors("sizes") {
        let of = |name: &str| vector[name].as_f64().unwrap();
        let found = episodes_per_policy(of("a"), of("b"), of("power")).unwrap();
        assert_eq!(found, count(&vector["n"]), "{vector}");
    }
    let all: Value = serde_json::from_str(include_str!("vectors/statistics.json")).unwrap();
    let p: Vec<f64> = serde_json::from_value(all["holm"]["p"].clone()).unwrap();
    for (found, expected) in holm(&p).iter().zip(all["holm"]["corrected"].as_array().unwrap()) {
        close(*found, expected, 1e-12, expected);
    }
}
