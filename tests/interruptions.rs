//! Simulators that die, hang or raise, and users who press Ctrl-C.

use std::time::Duration;

use udvla_results::run::manifest::RunStatus;
use udvla_results::run::record::Status;
use udvla_sims::episode::EpisodeKey;

use crate::support::{Run, assert_same_outcomes, wait_for};

const SUITE: [&str; 6] = ["--policy", "random", "--suite", "long", "--trials", "2"];

fn key(task: u16, trial: u16) -> EpisodeKey {
    EpisodeKey { suite: "long".into(), task, trial }
}

#[test]
fn a_simulator_that_fails_once_costs_an_attempt_and_nothing_else() {
    let calm = Run::fake(&SUITE);
    assert_eq!(calm.go().code, 0);
    let trouble = [
        ("crash", "--sim-option=crash=long-task01-trial001", "lost"),
        ("raise", "--sim-option=raise=long-task03-trial000", "raised"),
        ("hang", "--sim-option=hang=long-task05-trial001", "timeout"),
    ];
    let options = trouble.map(|(_, option, _)| option);
    let run =
        Run::fake(&[&SUITE[..], &options, &["--step-timeout", "1.5", "--workers", "2"]].concat());
    let ended = run.go();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let records = run.records();
    let attempts = [key(1, 1), key(3, 0), key(5, 1)].map(|key| records[&key].attempts);
    assert_eq!(attempts, [2, 2, 2]);
    assert_eq!(records.values().filter(|record| record.attempts == 1).count(), 17);
    assert_same_outcomes(&calm.records(), &records);
    assert!(ended.stderr.contains("long-task05-trial001"), "{}", ended.stderr);
}

#[test]
fn a_worker_that_dies_while_the_policy_is_asked_costs_an_attempt() {
    let words = ["--policy", "random", "--suite", "long", "--task=0", "--task=1", "--trials=2"];
    let calm = Run::fake(&words);
    assert_eq!(calm.go().code, 0);
    // One worker hangs, so that the other one's question waits for a second row of the batch.
    let hang = ["--sim-option=hang=long-task01-trial000", "--step-timeout=60"];
    let batch = ["--workers=2", "--max-batch=2", "--batch-wait=60000"];
    let run = Run::fake(&[&words[..], &hang, &batch].concat());
    let mut child = run.start().unwrap();
    let hanging = run.directory().join("scratch/met-long-task01-trial000");
    wait_for(|| hanging.exists(), "the worker that hangs");
    std::thread::sleep(Duration::from_millis(300));
    for worker in children_of(child.id()) {
        // SAFETY: its parent runs and has not waited for it, so its number is its own.
        assert_eq!(unsafe { libc::kill(worker.cast_signed(), libc::SIGKILL) }, 0);
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let records = run.records();
    assert_eq!(records.values().filter(|record| record.attempts == 2).count(), 2);
    assert_same_outcomes(&calm.records(), &records);
}

#[test]
fn an_episode_that_cannot_run_is_an_error_and_not_a_failure() {
    let run = Run::fake(&[&SUITE[..], &["--sim-option=poison=long-task02-trial001"]].concat());
    let ended = run.go();
    assert_eq!(ended.code, 4, "{}", ended.stderr);
    let records = run.records();
    let record = &records[&key(2, 1)];
    assert_eq!((record.status, record.success(), record.attempts), (Status::Error, None, 2));
    assert_eq!(record.error_kind.as_deref(), Some("raised"));
    assert_eq!(record.error_message.as_deref(), Some("the fake is poisoned"));
    let manifest = run.manifest();
    assert_eq!(manifest.status, RunStatus::CompleteWithErrors);
    assert_eq!((manifest.episodes.ok, manifest.episodes.error), (19, 1));
    assert!(ended.stdout.contains("19 of 20"), "{}", ended.stdout);
    assert!(ended.stdout.contains("1 error"), "{}", ended.stdout);
}

#[test]
fn repeated_failures_in_a_row_end_the_run() {
    let all: Vec<String> =
        (0..10).flat_map(|task| (0..2).map(move |trial| key(task, trial).to_string())).collect();
    let poison = format!("--sim-option=poison={}", all.join(","));
    let run = Run::fake(&[&SUITE[..], &[&poison, "--workers", "2"]].concat());
    let ended = run.go();
    assert_eq!(ended.code, 5, "{}", ended.stderr);
    assert!(ended.stderr.contains("gave up after 6 failures"), "{}", ended.stderr);
    assert!(ended.stderr.contains("udvla-eval resume"), "{}", ended.stderr);
    assert_eq!(run.manifest().status, RunStatus::GaveUp);
}

fn interrupt(child: &std::process::Child) {
    let id = i32::try_from(child.id()).unwrap();
    // SAFETY: the child has not been waited for, so its number is its own.
    assert_eq!(unsafe { libc::kill(id, libc::SIGINT) }, 0);
}

/// Process ids of a process's children.
fn children_of(parent: u32) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let parent_of = |process: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse::<u32>().ok()
    };
    processes.filter(|process| parent_of(*process) == Some(parent)).collect()
}

fn alive(process: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"));
    stat.is_ok_and(|text| !text.contains(") Z"))
}

const SLOW: [&str; 4] = ["--sim-option=step_ms=3", "--workers", "2", "--max-batch=2"];

#[test]
fn one_interrupt_drains_and_resume_completes_the_same_run() {
    let whole = Run::fake(&SUITE);
    assert_eq!(whole.go().code, 0);
    let run = Run::fake(&[&SUITE[..], &SLOW].concat());
    let mut child = run.start().unwrap();
    wait_for(|| run.records().len() >= 2, "two records");
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(3));
    assert_eq!(run.manifest().status, RunStatus::Interrupted);
    let before = run.records();
    assert!(before.len() < 20, "the run was over before the interrupt");
    let ended = run.resume();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_same_outcomes(&whole.records(), &run.records());
    let lines = std::fs::read_to_string(run.directory().join("episodes.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), 20, "finished episodes are not played again");
}

#[test]
fn a_second_interrupt_stops_at_once_and_leaves_no_worker() {
    let words = ["--policy", "random", "--suite", "spatial", "--trials", "1", "--workers", "2"];
    let run =
        Run::fake(&[&words[..], &["--task=0", "--task=1", "--sim-option=step_ms=8"]].concat());
    let mut child = run.start().unwrap();
    wait_for(|| children_of(child.id()).len() == 2, "two workers");
    let workers = children_of(child.id());
    wait_for(|| run.directory().join("run.json").exists(), "the manifest");
    std::thread::sleep(Duration::from_millis(200));
    interrupt(&child);
    std::thread::sleep(Duration::from_millis(100));
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    wait_for(|| !workers.iter().any(|worker| alive(*worker)), "the workers' end");
    assert_eq!(run.manifest().status, RunStatus::Interrupted);
    assert_eq!(run.resume().code, 0);
    assert_eq!(run.records().len(), 2);
}

#[test]
fn a_killed_harness_leaves_no_worker_and_no_half_record() {
    let whole = Run::fake(&SUITE);
    assert_eq!(whole.go().code, 0);
    let run = Run::fake(&[&SUITE[..], &SLOW].concat());
    let mut child = run.start().unwrap();
    wait_for(|| run.records().len() >= 3, "three records");
    let workers = children_of(child.id());
    child.kill().unwrap();
    child.wait().unwrap();
    wait_for(|| !workers.iter().any(|worker| alive(*worker)), "the workers' end");
    assert_eq!(run.manifest().status, RunStatus::Running);
    assert_eq!(run.resume().code, 0);
    assert_same_outcomes(&whole.records(), &run.records());
}
