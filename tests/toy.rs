//! The worked example of `docs/add-a-benchmark.md`: what a new benchmark gets from one Rust file,
//! one protocol, one adapter and one line in the registry.

use udvla_eval::benchmarks;

use crate::support::{Run, keep_records, udvla};
use crate::worker::environment;

/// A run of the toy with the embedded Python of LIBERO's environment.
fn toy(arguments: &[&str]) -> Option<Run> {
    let python = environment()?.display().to_string();
    let words = [&["toy", "--python", &python, "--no-progress", "--workers", "2"], arguments];
    Some(Run::new(&words.concat()))
}

#[test]
fn the_example_of_the_guide_runs_to_a_table() {
    let Some(run) = toy(&["--policy", "expert", "--trials", "6"]) else { return };
    let ended = run.go();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(run.records().values().all(|record| record.success() == Some(true)));
    assert!(ended.stdout.contains("6/6"), "{}", ended.stdout);
}

#[test]
fn the_example_of_the_guide_resumes_and_scores_zero_when_idle() {
    let Some(run) = toy(&["--policy", "idle", "--trials", "4"]) else { return };
    assert_eq!(run.go().code, 0);
    keep_records(&run.directory(), 0);
    assert_eq!(run.resume().code, 0);
    let records = run.records();
    assert_eq!(records.len(), 4);
    assert!(records.values().all(|record| record.success() == Some(false)));
}

#[test]
fn the_registry_lists_every_benchmark_once_and_hides_the_example() {
    let names: Vec<_> = benchmarks::ALL.iter().map(|benchmark| benchmark.name()).collect();
    assert_eq!(names, ["libero", "calvin", "simpler", "toy"]);
    let listed = udvla(&["list"]).stdout;
    let listed: Vec<&str> = listed.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(listed, ["libero", "calvin", "simpler", "real"]);
    assert!(udvla(&["list", "toy"]).stdout.contains("raise the first number by 1"));
}

#[test]
fn the_guide_shows_the_files_as_they_are() {
    let guide = include_str!("../docs/add-a-benchmark.md");
    for file in [
        include_str!("../sims/protocols/toy.json"),
        include_str!("../harness/src/benchmarks/toy.rs"),
    ] {
        assert!(guide.contains(file.trim_end()), "docs/add-a-benchmark.md does not show {file}");
    }
}
