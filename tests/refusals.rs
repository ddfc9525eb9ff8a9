//! Bad input: what is wrong, the next step, exit code 2, and nothing left behind.

use std::os::unix::process::ExitStatusExt;

use udvla_results::run::manifest::RunStatus;

use crate::support::{Run, udvla};

#[track_caller]
fn refused(words: &[&str], expected: &[&str]) {
    let run = Run::new(words);
    let ended = run.go();
    assert_eq!(ended.code, 2, "{}{}", ended.stdout, ended.stderr);
    for text in expected {
        assert!(ended.stderr.contains(text), "no `{text}` in: {}", ended.stderr);
    }
    assert!(!run.directory().exists(), "a refused run leaves a directory");
}

/// A simulator that may start another time ends a run that can be resumed.
#[track_caller]
fn given_up(words: &[&str], expected: &[&str]) {
    let run = Run::new(words);
    let ended = run.go();
    assert_eq!(ended.code, 5, "{}{}", ended.stdout, ended.stderr);
    for text in expected {
        assert!(ended.stderr.contains(text), "no `{text}` in: {}", ended.stderr);
    }
    assert_eq!(run.manifest().status, RunStatus::GaveUp);
}

#[test]
fn an_unknown_suite_is_answered_with_the_nearest_name() {
    refused(&["libero", "--suite", "lng"], &["'lng'", "'long'"]);
}

#[test]
fn a_task_or_trial_out_of_range_is_refused() {
    refused(&["libero", "--task", "10"], &["10", "0..=9"]);
    refused(&["libero", "--trials", "51"], &["51", "1..=50"]);
    refused(&["libero", "--step-timeout", "0"], &["more than 0"]);
}

#[test]
fn a_missing_python_is_named() {
    let words = ["libero", "--policy", "idle", "--python", "/nowhere/bin/python"];
    refused(&words, &["/nowhere/bin/python", "hint: ", "udvla-eval setup"]);
}

#[test]
fn a_program_that_is_no_python_is_named() {
    let words = ["libero", "--policy", "idle", "--python", "/bin/true", "--trials", "1"];
    given_up(&words, &["the simulator worker died", "; the worker printed"]);
}

#[test]
fn a_worker_that_lacks_something_says_what() {
    let fake = env!("CARGO_BIN_EXE_udvla-sim-fake");
    let words = ["libero", "--simulator", fake, "--policy", "idle", "--sim-option=start=setup"];
    refused(&words, &["the fake needs `meshes/bowl.msh`"]);
}

#[test]
fn a_worker_that_never_gets_ready_is_given_up() {
    let fake = env!("CARGO_BIN_EXE_udvla-sim-fake");
    let words = ["libero", "--simulator", fake, "--policy", "idle", "--sim-option=start=mute"];
    given_up(&[&words[..], &["--start-timeout", "0.5"]].concat(), &["no answer in 0.5 s"]);
}

#[test]
fn a_missing_worker_program_is_named() {
    let words = ["libero", "--simulator", "/nowhere/sim", "--policy", "idle"];
    refused(&words, &["/nowhere/sim"]);
}

#[test]
fn a_run_directory_that_cannot_be_written_is_named() {
    let ended =
        udvla(&["libero", "--policy", "idle", "--simulator", "/bin/true", "--out", "/proc/x"]);
    assert_ne!(ended.code, 0);
    assert!(ended.stderr.contains("/proc/x"), "{}", ended.stderr);
}

#[test]
fn help_names_every_exit_code() {
    let ended = udvla(&["--help"]);
    assert_eq!(ended.code, 0);
    for code in ["0 complete", "2 wrong usage", "3 interrupted", "4 some", "5 gave up", "130"] {
        assert!(ended.stdout.contains(code), "no `{code}` in: {}", ended.stdout);
    }
}

#[test]
fn a_closed_pipe_ends_the_program_quietly() {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_udvla-eval"));
    let (reader, closed) = std::io::pipe().unwrap();
    drop(reader);
    let ended = command.arg("list").stdout(closed).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
    // A shell shows this as exit code 141.
    assert_eq!(ended.status.signal(), Some(libc::SIGPIPE));
}
