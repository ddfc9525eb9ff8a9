//! Workers that break the wire, lie, flood, grow, or leave processes behind.

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::support::{Run, assert_same_outcomes};

/// 50 episodes.
const SUITE: [&str; 6] = ["--policy", "random", "--suite", "long", "--trials", "5"];
/// 10 episodes.
const SHORT: [&str; 6] = ["--policy", "random", "--suite", "long", "--trials", "1"];

/// Faults of the fake simulator, and what is said of them.
const FAULTS: [(&str, &str); 16] = [
    ("crash", "signal 6, an abort"),
    ("hang", "gave no answer in 4 s"),
    ("raise", "the fake stumbled"),
    ("garbage", "bytes that are no frame (Segm)"),
    ("cut", "died (exit code 0)"),
    ("stall", "gave no answer in 4 s"),
    ("huge", "a frame of"),
    ("double", "a message that nobody had asked for"),
    ("number", "it was asked"),
    ("early", "over before its first step"),
    ("images", "with 1 images of sizes 1 x 1"),
    ("nan", "with a state that contains NaN"),
    ("back", "after 0 control steps, expected are"),
    ("far", "control steps, expected are"),
    ("stage", "with 99 stages completed, expected are 0 to 1"),
    ("forged", "executed another action than was sent"),
];

#[test]
fn every_fault_of_a_worker_costs_an_attempt_and_nothing_else() {
    let calm = Run::fake(&SUITE);
    assert_eq!(calm.go().code, 0);
    // Two episodes of each task, so that no six of them fail in a row.
    let key = |index: usize| format!("long-task{:02}-trial{:03}", index / 2, 1 + index % 2 * 2);
    let options: Vec<String> = (0..)
        .zip(FAULTS)
        .map(|(index, (fault, _))| format!("--sim-option={fault}={}", key(index)))
        .collect();
    let mut words = [&SUITE[..], &["--workers=2", "--step-timeout=4"]].concat();
    words.extend(options.iter().map(String::as_str));
    let run = Run::fake(&words);
    let ended = run.go();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let retried: Vec<&str> =
        ended.stderr.lines().filter(|line| line.contains("tried again")).collect();
    for (index, (fault, text)) in (0..).zip(FAULTS) {
        // A reply too many is noticed by whatever episode comes next.
        let key = if fault == "double" { String::new() } else { key(index) };
        let is_told = retried.iter().any(|line| line.contains(&key) && line.contains(text));
        assert!(is_told, "{fault} `{text}` is not in\n{}", ended.stderr);
    }
    assert_eq!(retried.len(), FAULTS.len(), "{}", ended.stderr);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    assert_same_outcomes(&calm.records(), &run.records());
    let lines = std::fs::read_to_string(run.directory().join("episodes.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), 50, "one record per episode");
}

#[test]
fn a_fault_in_every_attempt_is_an_error_with_its_kind() {
    let broken = "--sim-option=far=long-task02-trial000";
    let run = Run::fake(&[&SHORT[..], &[broken, "--retries=0"]].concat());
    let ended = run.go();
    assert_eq!(ended.code, 4, "{}", ended.stderr);
    let records = run.records();
    let kinds: Vec<_> =
        records.values().filter_map(|record| record.error_kind.as_deref()).collect();
    assert_eq!((records.len(), kinds), (10, vec!["wire"]));
}

#[test]
fn a_flood_of_output_fills_neither_the_disk_nor_the_pipe() {
    let calm = Run::fake(&SHORT);
    assert_eq!(calm.go().code, 0);
    let run = Run::fake(&[&SHORT[..], &["--sim-option=flood=10", "--workers=1"]].concat());
    let ended = run.go();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_same_outcomes(&calm.records(), &run.records());
    let log = std::fs::read(run.directory().join("logs/worker-00.log")).unwrap();
    assert!(log.len() < 65 << 20, "{} bytes", log.len());
    let text = String::from_utf8_lossy(&log);
    assert!(text.starts_with("fake simulator: open\n"));
    assert!(text.contains("udvla-eval: the log is full; only the end follows"));
    assert!(text.contains("bytes were left out here"));
    assert!(text.ends_with("contact of its bodies\n"));
}

/// How often a worker was opened, and lines of the log that say that one is replaced.
fn openings(run: &Run) -> (usize, Vec<String>) {
    let log = std::fs::read_to_string(run.directory().join("logs/worker-00.log")).unwrap();
    let replaced = log.lines().filter(|line| line.contains("the worker is replaced after"));
    (log.matches("fake simulator: open").count(), replaced.map(str::to_owned).collect())
}

#[test]
fn a_worker_is_replaced_after_so_many_episodes() {
    let calm = Run::fake(&SHORT);
    assert_eq!(calm.go().code, 0);
    let run = Run::fake(&[&SHORT[..], &["--recycle=3", "--workers=1"]].concat());
    let ended = run.go();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_same_outcomes(&calm.records(), &run.records());
    assert!(run.records().values().all(|record| record.attempts == 1));
    let (openings, replaced) = openings(&run);
    assert_eq!((openings, replaced.len()), (4, 3), "{replaced:?}");
    assert!(replaced[0].ends_with("it played 3 episodes (`--recycle`)"), "{replaced:?}");
}

#[test]
fn a_worker_that_grows_is_replaced_between_episodes_or_at_once() {
    let calm = Run::fake(&SHORT);
    assert_eq!(calm.go().code, 0);
    let limit = ["--worker-memory=100MiB", "--workers=1", "--sim-option=leak=30"];
    let balloon = "--sim-option=balloon=long-task05-trial000";
    let run = Run::fake(&[&SHORT[..], &limit, &[balloon]].concat());
    let ended = run.go();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_same_outcomes(&calm.records(), &run.records());
    let retried: Vec<_> =
        run.records().into_values().filter(|record| record.attempts == 2).map(|r| r.task).collect();
    assert_eq!(retried, [5], "{}", ended.stderr);
    assert!(ended.stderr.contains("more than 1.5 times its limit of 0.10 GiB"), "{}", ended.stderr);
    let log = std::fs::read_to_string(run.directory().join("logs/worker-00.log")).unwrap();
    assert!(log.contains("udvla-eval: the simulator worker took"), "{log}");
    let (openings, replaced) = openings(&run);
    assert!(openings >= 3 && !replaced.is_empty(), "{openings} {replaced:?}");
    assert!(replaced[0].contains("GiB of memory, more than `--worker-memory`"), "{replaced:?}");
}

#[test]
fn another_simulator_than_the_first_worker_reported_plays_no_episode() {
    let calm = Run::fake(&SHORT);
    assert_eq!(calm.go().code, 0);
    // The second worker drifts at its first start.
    let run = Run::fake(&[&SHORT[..], &["--sim-option=drift=simulator", "--workers=2"]].concat());
    let ended = run.go();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let text = "its simulator is another fake; that of the run's first worker was fake";
    assert!(ended.stderr.contains(text), "{}", ended.stderr);
    assert_same_outcomes(&calm.records(), &run.records());
}

#[test]
fn facts_of_the_machine_may_differ_between_workers() {
    let run =
        Run::fake(&[&SHORT[..], &["--sim-option=drift=machine.renderer", "--workers=2"]].concat());
    let ended = run.go();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(!ended.stderr.contains("another fake"), "{}", ended.stderr);
}

/// A run whose simulators leave processes behind, and a word that finds every one of them.
struct Untidy {
    run: Run,
    mark: String,
}

impl Untidy {
    fn new(name: &str, words: &[&str]) -> Self {
        let mark = format!("udvla-test-{name}-{}", std::process::id());
        let orphans = format!("--sim-option=orphans={mark}");
        Self { run: Run::fake(&[&SUITE[..], words, &[&orphans, "--workers=2"]].concat()), mark }
    }

    fn command(&self) -> Command {
        let mut command = self.run.command();
        command.env("UDVLA_TEST_MARK", &self.mark);
        command
    }

    fn start(&self) -> Child {
        let mut command = self.command();
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        command.spawn().unwrap()
    }

    /// Orphans: those with the mark as an argument of their own.
    fn orphans(&self) -> Vec<u32> {
        processes(|id| holds(&format!("/proc/{id}/cmdline"), &self.mark))
    }

    /// Processes of the run: with the mark in their environment, and orphans without one.
    fn left(&self) -> Vec<u32> {
        let variable = format!("UDVLA_TEST_MARK={}", self.mark);
        let mut left = processes(|id| holds(&format!("/proc/{id}/environ"), &variable));
        left.extend(self.orphans());
        left
    }

    #[track_caller]
    fn assert_nothing_is_left(&self) {
        let end = Instant::now() + Duration::from_secs(5);
        while !self.left().is_empty() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(self.left(), Vec::<u32>::new(), "processes are left after 5 s");
    }
}

impl Drop for Untidy {
    /// A failed test leaves nothing behind either.
    fn drop(&mut self) {
        self.left().into_iter().for_each(|id| signal(id, libc::SIGKILL));
    }
}

/// Ids of processes that have not ended and for which `is_meant` holds.
fn processes(is_meant: impl Fn(u32) -> bool) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter(|id| is_meant(*id)).collect()
}

/// Whether a file of words that end with a zero byte has this word.
fn holds(file: &str, word: &str) -> bool {
    std::fs::read(file).is_ok_and(|text| text.split(|b| *b == 0).any(|w| w == word.as_bytes()))
}

fn signal(process: u32, number: i32) {
    // SAFETY: the process was just found to be one that this test started.
    unsafe { libc::kill(process.cast_signed(), number) };
}

fn wait_for(mut done: impl FnMut() -> bool, what: &str) {
    let end = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Children of a process.
fn children_of(parent: u32) -> Vec<u32> {
    processes(|id| {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let fields = stat.rsplit_once(')').map(|(_, fields)| fields.split_whitespace());
        fields.and_then(|mut fields| fields.nth(1)?.parse().ok()) == Some(parent)
    })
}

#[test]
fn processes_that_simulators_leave_behind_end_with_the_run() {
    let untidy = Untidy::new("end", &["--task=0", "--task=1"]);
    let ended = untidy.command().output().unwrap();
    untidy.assert_nothing_is_left();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn processes_that_simulators_leave_behind_end_with_a_killed_harness() {
    let untidy = Untidy::new("kill", &["--sim-option=step_ms=5"]);
    let mut child = untidy.start();
    // Two of each worker, of which one has no environment.
    wait_for(|| untidy.orphans().len() >= 4, "orphans");
    child.kill().unwrap();
    child.wait().unwrap();
    untidy.assert_nothing_is_left();
}

#[test]
fn processes_that_simulators_leave_behind_end_with_a_killed_worker() {
    let untidy = Untidy::new("worker", &["--sim-option=step_ms=5", "--task=0", "--task=1"]);
    let mut child = untidy.start();
    wait_for(|| untidy.orphans().len() >= 4, "orphans");
    let before = untidy.orphans();
    // The supervisors, which adopted the orphans.
    children_of(child.id()).into_iter().for_each(|id| signal(id, libc::SIGKILL));
    wait_for(|| !untidy.orphans().iter().any(|id| before.contains(id)), "the orphans' end");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    untidy.assert_nothing_is_left();
    assert_eq!(untidy.run.records().len(), 10);
}

#[test]
fn processes_that_simulators_leave_behind_end_with_a_stopped_worker_that_times_out() {
    let words = ["--sim-option=step_ms=5", "--task=0", "--step-timeout=3"];
    let untidy = Untidy::new("stopped", &words);
    let mut child = untidy.start();
    wait_for(|| untidy.orphans().len() >= 2, "orphans");
    // Whoever is stopped can clean nothing up.
    for id in untidy.left() {
        if id != child.id() {
            signal(id, libc::SIGSTOP);
        }
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
    untidy.assert_nothing_is_left();
}

#[test]
fn a_stop_reaches_workers_that_are_being_started() {
    for delay_ms in [0, 30, 60, 100, 150, 220, 300, 450] {
        let untidy = Untidy::new("start", &["--sim-option=start_ms=200"]);
        let mut child = untidy.start();
        wait_for(|| untidy.run.directory().join("logs").exists(), "the run directory");
        std::thread::sleep(Duration::from_millis(delay_ms));
        let begun = Instant::now();
        for _ in 0..2 {
            signal(child.id(), libc::SIGINT);
            std::thread::sleep(Duration::from_millis(30));
        }
        let code = child.wait().unwrap().code();
        assert!(begun.elapsed() < Duration::from_secs(5), "after {delay_ms} ms");
        // Before the program listens, the first signal ends it.
        assert!(matches!(code, Some(3 | 130) | None), "{code:?} after {delay_ms} ms");
        untidy.assert_nothing_is_left();
    }
}
