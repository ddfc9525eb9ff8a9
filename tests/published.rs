//! The published row that another policy's run is compared with.

use serde_json::{Value, json};

use crate::support::Run;

const WORDS: [&str; 6] = ["--policy", "random", "--suite", "long", "--trials", "1"];

fn with(words: &[&str]) -> Run {
    Run::fake(&[&WORDS[..], words].concat())
}

#[track_caller]
fn refused(words: &[&str], expected: &[&str]) {
    let run = with(words);
    let ended = run.go();
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    for text in expected {
        assert!(ended.stderr.contains(text), "no `{text}` in {}", ended.stderr);
    }
    assert!(!run.directory().exists());
}

/// A file of rows, of which the second is about LIBERO.
fn rows(change: impl FnOnce(&mut Value)) -> tempfile::NamedTempFile {
    let row = |benchmark: &str, values: &[f64], average: f64, n: u32| {
        json!({
            "method": "ours before", "benchmark": benchmark, "values": values, "average": average,
            "n": n, "source": "lab notebook, page 7"
        })
    };
    let mut rows = json!([
        row("simpler", &[50.0, 50.0, 50.0, 50.0], 50.0, 24),
        row("libero", &[90.0, 91.0, 92.0, 80.0], 88.25, 500),
    ]);
    change(&mut rows);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), rows.to_string()).unwrap();
    file
}

#[test]
fn a_row_of_the_papers_table_is_stored_and_shown() {
    let run = with(&["--published", "pi0-FAST"]);
    let ended = run.go();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let published = run.manifest().published.unwrap();
    assert_eq!((published.method.as_str(), published.benchmark.as_str()), ("pi0-FAST", "libero"));
    assert!(ended.stdout.contains("`pi0-FAST` as published"), "{}", ended.stdout);
}

#[test]
fn a_row_of_ones_own_is_taken_for_its_benchmark() {
    let file = rows(|_| ());
    let path = file.path().display().to_string();
    let run = with(&["--published", "ours before", "--published-rows", &path]);
    let ended = run.go();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(run.manifest().published.unwrap().average, 88.25);
    let shown = "`ours before` as published (lab notebook, page 7, n = 500)";
    assert!(ended.stdout.contains(shown), "{}", ended.stdout);
}

#[test]
fn rows_that_do_not_exist_or_fit_are_refused() {
    refused(&["--published", "pi0-fast"], &["nearest: `--published \"pi0-FAST\"`"]);
    refused(&["--published", "UD-VLA"], &["`udvla` is compared with the row `UD-VLA`"]);
    refused(&["--published-rows", "rows.json"], &["without `--published` has no effect"]);
    refused(
        &["--published", "x", "--published-rows", "/nowhere/rows.json"],
        &["/nowhere/rows.json", "docs/bring-your-own-policy.md"],
    );
    let broken: [fn(&mut Value); 3] = [
        |rows| rows[1]["values"] = json!([90.0]),
        |rows| rows[1]["values"][0] = json!(190.0),
        |rows| rows[1]["n"] = json!(0),
    ];
    for change in broken {
        let file = rows(change);
        let path = file.path().display().to_string();
        refused(
            &["--published", "ours before", "--published-rows", &path],
            &["cannot be compared with the published row `ours before`"],
        );
    }
}
