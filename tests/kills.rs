//! Runs whose process is killed at random moments, from the first millisecond on.
//!
//! `UDVLA_TEST_KILLS` is the number of kills (40), `UDVLA_TEST_SEED` chooses their moments.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::support::{Ended, Run, assert_same_outcomes, udvla};

const WORDS: [&str; 9] = [
    "--policy=random",
    "--suite=goal",
    "--task=0",
    "--task=1",
    "--task=2",
    "--task=3",
    "--trials=1",
    "--sim-option=step_ms=6",
    "--workers=2",
];

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a whole number"))
}

/// A number in 0..1 for a case (SplitMix64).
fn random(seed: u64, case: u64) -> f64 {
    let mut z = seed.wrapping_add((case + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// When a case is killed: of ten, one in the first 20 ms, two in the first second, the others in
/// the whole time that a run takes.
fn moment(seed: u64, case: u64, whole: Duration) -> Duration {
    let span = match case % 10 {
        0 => Duration::from_millis(20),
        1 | 2 => Duration::from_secs(1),
        _ => whole,
    };
    span.mul_f64(random(seed, case))
}

fn completed(run: &Run, case: u64) -> Ended {
    let directory = run.directory();
    if case.is_multiple_of(2) {
        return run.go();
    }
    let ended = udvla(&["resume", "--no-progress", &directory.display().to_string()]);
    if has_manifest(&directory) {
        return ended;
    }
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    if directory.exists() {
        assert!(ended.stderr.contains("hint: repeat the command"), "{}", ended.stderr);
    }
    run.go()
}

fn has_manifest(directory: &Path) -> bool {
    std::fs::metadata(directory.join("run.json")).is_ok_and(|metadata| metadata.len() > 0)
}

/// How far a killed run had got.
fn progress(run: &Run, episodes: usize) -> &'static str {
    if !run.directory().exists() {
        return "no directory";
    }
    if !has_manifest(&run.directory()) {
        return "no manifest";
    }
    match run.records().len() {
        0 => "no record",
        count if count < episodes => "some records",
        _ if !run.directory().join("report.html").exists() => "no report",
        _ => "everything",
    }
}

#[test]
fn a_run_killed_at_any_moment_is_completed_by_its_command_or_by_resume() {
    let (kills, seed) = (setting("UDVLA_TEST_KILLS", 40), setting("UDVLA_TEST_SEED", 1));
    let calm = Run::fake(&WORDS);
    let begun = Instant::now();
    assert_eq!(calm.go().code, 0);
    let (whole, expected) = (begun.elapsed(), calm.records());
    let next = AtomicU64::new(0);
    let reached = Mutex::new(BTreeMap::new());
    let kill = || loop {
        let case = next.fetch_add(1, Ordering::Relaxed);
        if case >= kills {
            return;
        }
        let run = Run::fake(&WORDS);
        let mut child = run.start().unwrap();
        let after = moment(seed, case, whole);
        std::thread::sleep(after);
        child.kill().unwrap();
        child.wait().unwrap();
        let got = progress(&run, expected.len());
        *reached.lock().unwrap().entry(got).or_insert(0) += 1;
        let ended = completed(&run, case);
        let case = format!("case {case} of seed {seed}, killed after {after:?}");
        assert_eq!(ended.code, 0, "{case}: {}", ended.stderr);
        let lines = std::fs::read_to_string(run.directory().join("episodes.jsonl")).unwrap();
        assert_eq!(lines.lines().count(), expected.len(), "{case}");
        assert_same_outcomes(&expected, &run.records());
    };
    std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(kill))));
    println!("killed with: {:?}", reached.lock().unwrap());
}
