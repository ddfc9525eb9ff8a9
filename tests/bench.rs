//! `bench` where it needs neither a model nor Python: its figures are there and fit together.

use serde_json::Value;

use crate::support::udvla;

fn figures(words: &[&str]) -> Value {
    let ended = udvla(words);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    serde_json::from_str(&ended.stdout).unwrap()
}

#[test]
fn the_pipeline_is_measured_per_number_of_workers() {
    let words = ["--workers=1,3", "--latency=4", "--step-time=0.2", "--episodes=1"];
    let figures = figures(&[&["bench", "pipeline"][..], &words].concat());
    let rows = figures["workers"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    for (row, workers) in rows.iter().zip([1.0, 3.0]) {
        let number = |key: &str| row[key].as_f64().unwrap();
        assert_eq!(number("workers"), workers);
        // Ten tasks at least, of 28 chunks of 10 steps.
        assert!(number("calls") <= 280.0 && number("calls") * number("rows_per_batch") > 200.0);
        // A wait is never shorter than asked for.
        assert!(number("busy") > 0.2 && number("busy") <= 1.0, "{row}");
        assert!(number("possible") > 0.2 && number("possible") <= 1.0, "{row}");
        assert!(number("steps_per_second") < workers * 10.0 / 0.006, "{row}");
    }
    assert_eq!(rows[0]["rows_per_batch"], 1.0);
}

#[test]
fn a_simulator_is_measured_with_and_without_images() {
    let fake = env!("CARGO_BIN_EXE_udvla-sim-fake");
    let words = ["--steps=40", "--resets=2", "--workers=2", "--sim-option=step_ms=1"];
    let figures =
        figures(&[&["bench", "sims", "libero", "--simulator", fake][..], &words].concat());
    for kind in ["without_images", "with_images"] {
        let step = figures[kind]["step_milliseconds"]["wall"]["smallest"].as_f64().unwrap();
        assert!((1.0..100.0).contains(&step), "{kind}: {step}");
        assert!(figures[kind]["megabytes"]["median"].as_f64().unwrap() > 0.5);
    }
    assert_eq!(
        (figures["suite"].as_str(), figures["workers"].as_u64()),
        (Some("spatial"), Some(2))
    );
    let ended = udvla(&["bench", "sims", "libero", "--simulator", fake, "--suite", "none"]);
    assert_eq!(ended.code, 2);
    assert!(
        ended.stderr.contains("its suites are spatial, object, goal, long"),
        "{}",
        ended.stderr
    );
}
