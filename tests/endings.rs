//! Every run ends: with unrunnable episodes, with simulators that do not start, with a smaller plan.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use udvla_results::run::manifest::RunStatus;
use udvla_results::run::record::Status;

use crate::support::{Ended, Run, assert_same_outcomes, udvla, wait_for};

const SUITE: [&str; 3] = ["--policy=random", "--suite=long", "--trials=2"];

fn poison(episodes: &[(u16, u16)]) -> String {
    let name = |(task, trial)| format!("long-task{task:02}-trial{trial:03}");
    let names: Vec<String> = episodes.iter().copied().map(name).collect();
    format!("--sim-option=poison={}", names.join(","))
}

fn errors(run: &Run) -> usize {
    run.records().values().filter(|record| record.status == Status::Error).count()
}

#[test]
fn unrunnable_episodes_become_errors_and_the_run_ends_each_time() {
    let four_tasks: Vec<_> = (0..4).flat_map(|task| [(task, 0), (task, 1)]).collect();
    for episodes in [
        // The first ones, two whole tasks among them.
        &[(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)],
        &[(1, 1), (3, 0), (5, 1), (8, 0), (9, 1)],
        &four_tasks[..],
    ] {
        let run = Run::fake(&[&SUITE[..], &["--workers=1", &poison(episodes)]].concat());
        let ended = run.go();
        let expected = (20 - episodes.len() as u32, episodes.len() as u32);
        for ended in [ended, run.resume(), run.resume()] {
            assert_eq!(ended.code, 4, "{}", ended.stderr);
            let manifest = run.manifest();
            assert_eq!(manifest.status, RunStatus::CompleteWithErrors);
            assert_eq!((manifest.episodes.ok, manifest.episodes.error), expected);
        }
    }
}

#[test]
fn a_simulator_that_runs_nothing_ends_the_run_and_each_resume_gets_further() {
    let all: Vec<_> = (0..10).flat_map(|task| [(task, 0), (task, 1)]).collect();
    let run = Run::fake(&[&SUITE[..], &["--workers=1", &poison(&all)]].concat());
    let ended = run.go();
    assert_eq!(ended.code, 5, "{}", ended.stderr);
    assert!(ended.stderr.contains("gave up after 6 failures in a row"), "{}", ended.stderr);
    assert_eq!((run.manifest().status, errors(&run)), (RunStatus::GaveUp, 6));
    let codes: Vec<i32> = (0..3).map(|_| run.resume().code).collect();
    assert_eq!((codes, errors(&run)), (vec![5, 5, 4], 20));
}

#[test]
fn an_episode_whose_files_are_missing_ends_only_a_run_that_has_played_nothing() {
    let lack = "--sim-option=lack=long-task00-trial000";
    let first = Run::fake(&[&SUITE[..], &["--workers=1", lack]].concat());
    let ended = first.go();
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("error: the fake lacks a mesh"), "{}", ended.stderr);
    assert!(!first.directory().exists(), "nothing was run");
    let lack = "--sim-option=lack=long-task04-trial001";
    let later = Run::fake(&[&SUITE[..], &["--workers=1", lack]].concat());
    let ended = later.go();
    assert_eq!(ended.code, 4, "{}", ended.stderr);
    let records = later.records();
    let record = records.values().find(|record| record.status == Status::Error).unwrap();
    assert_eq!((records.len(), record.attempts), (20, 1), "another attempt cannot help");
}

/// A simulator program that is the fake one after `prelude`, a piece of a shell script.
struct Script {
    folder: tempfile::TempDir,
}

impl Script {
    fn new(prelude: &str) -> Self {
        let script = Self { folder: tempfile::tempdir().unwrap() };
        let fake = env!("CARGO_BIN_EXE_udvla-sim-fake");
        let text =
            format!("#!/bin/sh\ncd {}\n{prelude}\nexec {fake}\n", script.folder.path().display());
        std::fs::write(script.path(), text).unwrap();
        script.set_mode(0o755);
        script
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("simulator")
    }

    fn set_mode(&self, mode: u32) {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(self.path(), permissions).unwrap();
    }

    fn run(&self, words: &[&str]) -> Run {
        let program = self.path().display().to_string();
        let head = ["libero", "--simulator", &program, "--no-progress"];
        Run::new(&[&head[..], words].concat())
    }
}

#[test]
fn a_first_simulator_that_does_not_start_is_started_again() {
    let script = Script::new("if mkdir once 2>/dev/null; then echo stumbled; exit 7; fi");
    let run = script.run(&[&SUITE[..], &["--workers=1"]].concat());
    let ended = run.go();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stderr.contains("exit code 7); it is started again"), "{}", ended.stderr);
    assert!(run.records().values().all(|record| record.attempts == 1));
}

#[test]
fn a_simulator_that_never_starts_is_given_up_and_the_run_can_be_resumed() {
    let script = Script::new("test -e repaired || { echo 'no license'; exit 7; }");
    let run = script.run(&SUITE);
    let ended = run.go();
    assert_eq!(ended.code, 5, "{}", ended.stderr);
    assert!(ended.stderr.contains("did not start (2 attempts)"), "{}", ended.stderr);
    assert!(ended.stderr.contains("no license"), "{}", ended.stderr);
    assert!(ended.stderr.contains("hint: udvla-eval resume"), "{}", ended.stderr);
    assert_eq!(run.manifest().status, RunStatus::GaveUp);
    std::fs::write(script.folder.path().join("repaired"), "").unwrap();
    let ended = run.resume_with(&["--trust"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(run.records().len(), 20);
}

#[test]
fn a_worker_that_cannot_start_later_costs_the_worker_and_not_the_run() {
    let calm = Run::fake(&SUITE);
    assert_eq!(calm.go().code, 0);
    // The second worker and all after it find no program.
    let script = Script::new("chmod a-x simulator");
    let run = script.run(&[&SUITE[..], &["--workers=2"]].concat());
    let ended = run.go();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stderr.contains("it is not used any more"), "{}", ended.stderr);
    assert!(run.records().values().all(|record| record.attempts == 1));
    assert_same_outcomes(&calm.records(), &run.records());
}

#[test]
fn a_run_without_a_worker_left_is_given_up_and_no_episode_pays_for_it() {
    let calm = Run::fake(&SUITE);
    assert_eq!(calm.go().code, 0);
    let script = Script::new("mkdir once 2>/dev/null && chmod a-x simulator");
    let crash = "--sim-option=crash=long-task03-trial001";
    let run = script.run(&[&SUITE[..], &["--workers=1", crash]].concat());
    let ended = run.go();
    assert_eq!(ended.code, 5, "{}", ended.stderr);
    assert!(ended.stderr.contains("no simulator is left"), "{}", ended.stderr);
    assert_eq!((run.manifest().status, errors(&run)), (RunStatus::GaveUp, 0));
    script.set_mode(0o755);
    let ended = run.resume_with(&["--trust"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_same_outcomes(&calm.records(), &run.records());
}

#[test]
fn a_smaller_plan_does_not_complete_what_was_asked_before() {
    let run = Run::fake(
        &[&SUITE[..2], &["--trials=3", "--workers=2", "--sim-option=step_ms=2"]].concat(),
    );
    let mut child = run.start().unwrap();
    wait_for(|| run.records().len() >= 2, "two records");
    child.kill().unwrap();
    child.wait().unwrap();
    let ended = again(&run.directory(), &["--trials=1"]);
    assert_eq!(ended.code, 3, "{}", ended.stderr);
    assert!(ended.stderr.contains("was asked for more before"), "{}", ended.stderr);
    assert!(ended.stderr.contains("hint: udvla-eval resume"), "{}", ended.stderr);
    let manifest = run.manifest();
    assert_eq!((manifest.status, manifest.episodes.asked), (RunStatus::Interrupted, 30));
    assert_eq!(run.resume().code, 0);
    let manifest = run.manifest();
    assert_eq!((manifest.status, manifest.episodes.ok), (RunStatus::Complete, 30));
    assert_eq!(again(&run.directory(), &["--trials=1"]).code, 0, "nothing is missing now");
}

/// The long suite once more in a directory, with other words.
fn again(directory: &Path, words: &[&str]) -> Ended {
    let fake = env!("CARGO_BIN_EXE_udvla-sim-fake");
    let out = directory.display().to_string();
    let head = ["libero", "--simulator", fake, "--no-progress", "--out", &out];
    udvla(&[&head[..], &SUITE[..2], words].concat())
}
