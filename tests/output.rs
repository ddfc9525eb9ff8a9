//! Standard output and standard error that are closed, full, gone or stopped.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use udvla_results::run::manifest::RunStatus;

use crate::support::{Run, assert_same_outcomes, udvla, wait_for};

const WORDS: [&str; 5] = ["--policy=random", "--suite=long", "--task=0", "--task=1", "--trials=2"];
/// Some seconds, so that something can happen in between.
const SLOW: [&str; 2] = ["--sim-option=step_ms=4", "--workers=2"];

/// Runs a command through the shell, with its output redirected as given.
fn redirected(command: &Command, redirection: &str) -> (i32, String) {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &format!(r#""$0" "$@" {redirection}"#)]);
    shell.arg(command.get_program()).args(command.get_args());
    let output = shell.stdin(Stdio::null()).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[track_caller]
fn assert_complete(run: &Run, what: &str) {
    assert_eq!(run.manifest().status, RunStatus::Complete, "{what}");
    assert_eq!(run.records().len(), 4, "{what}");
    assert!(run.directory().join("tables/summary.md").exists(), "{what}");
    assert!(run.directory().join("report.html").exists(), "{what}");
}

#[test]
fn a_run_completes_whatever_its_output_takes() {
    for redirection in
        ["2>&-", ">&-", ">&- 2>&-", "2>/dev/full", ">/dev/full", ">/dev/full 2>&1", "| true"]
    {
        let run = Run::fake(&WORDS);
        let (code, stderr) = redirected(&run.command(), redirection);
        assert_eq!(code, 0, "{redirection}: {stderr}");
        assert!(!stderr.contains("panicked"), "{redirection}: {stderr}");
        assert_complete(&run, redirection);
    }
}

#[test]
fn the_exit_code_is_the_runs_even_where_nothing_can_be_said() {
    let run = Run::fake(&[&WORDS[..], &["--sim-option=poison=long-task01-trial001"]].concat());
    assert_eq!(redirected(&run.command(), ">/dev/full 2>&1").0, 4);
    let refused = Run::fake(&["--policy=random", "--sim-option=start=setup"]);
    assert_eq!(redirected(&refused.command(), "2>/dev/full").0, 2);
}

#[test]
fn output_that_cannot_be_written_is_an_error_and_no_panic() {
    let run = Run::fake(&WORDS);
    assert_eq!(run.go().code, 0);
    let directory = run.directory().display().to_string();
    let simulator = concat!("--simulator=", env!("CARGO_BIN_EXE_udvla-sim-fake"));
    let commands: [&[&str]; 8] = [
        &["list"],
        &["list", "calvin"],
        &["--help"],
        &["reference"],
        &["completions", "bash"],
        &["report", &directory],
        &["export", &directory, "--format", "csv"],
        &["libero", "--policy=idle", "--dry-run", simulator],
    ];
    for words in commands {
        let mut command = Command::new(env!("CARGO_BIN_EXE_udvla-eval"));
        let (code, stderr) = redirected(command.args(words), ">/dev/full");
        assert_eq!(code, 1, "{words:?}: {stderr}");
        let expected = "error: cannot write to the standard output: No space left on device";
        assert!(stderr.starts_with(expected), "{words:?}: {stderr}");
        let (code, _) = redirected(&command, ">/dev/full 2>&1");
        assert_eq!(code, 1, "{words:?}");
    }
}

#[test]
fn a_dry_run_whose_reader_is_gone_ends_quietly() {
    let mut command =
        Run::fake(&["--policy=idle", "--suite=long", "--trials=2", "--dry-run"]).command();
    let (reader, closed) = std::io::pipe().unwrap();
    drop(reader);
    let ended = command.stdout(closed).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
    assert_eq!(ended.status.signal(), Some(libc::SIGPIPE));
}

/// A terminal: the side of the window, and the side of the program.
fn terminal() -> (File, OwnedFd) {
    let (mut window, mut program) = (-1, -1);
    let size = libc::winsize { ws_row: 24, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
    let none = std::ptr::null_mut();
    // SAFETY: both numbers are written by the call; name and attributes may be absent.
    let made = unsafe {
        libc::openpty(&raw mut window, &raw mut program, none, none.cast(), &raw const size)
    };
    assert_eq!(made, 0, "a terminal");
    // SAFETY: the call made both, and nothing else owns them.
    unsafe {
        // The program must not hold the window open.
        libc::fcntl(window, libc::F_SETFD, libc::FD_CLOEXEC);
        (File::from_raw_fd(window), OwnedFd::from_raw_fd(program))
    }
}

/// Starts a run with bars on a terminal of its own, which also sends it SIGHUP when it closes.
fn start_on_terminal(run: &Run, end: OwnedFd) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_udvla-eval"));
    command.args(run.command().get_args().filter(|word| *word != "--no-progress"));
    command.env("TERM", "xterm").env_remove("NO_COLOR").stdin(Stdio::null()).stdout(Stdio::null());
    let number = end.as_raw_fd();
    command.stderr(Stdio::from(end));
    // SAFETY: setsid and ioctl are async-signal-safe; the number is open until the program starts.
    unsafe {
        command.pre_exec(move || {
            libc::setsid();
            libc::ioctl(number, libc::TIOCSCTTY, 0);
            Ok(())
        });
    }
    command.spawn().unwrap()
}

#[test]
fn a_terminal_that_closes_drains_the_run_and_resume_completes_it() {
    let whole = Run::fake(&WORDS);
    assert_eq!(whole.go().code, 0);
    let run = Run::fake(&[&WORDS[..], &SLOW].concat());
    let (mut window, end) = terminal();
    let mut child = start_on_terminal(&run, end);
    // SAFETY: the number is that of the open window.
    unsafe { libc::fcntl(window.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
    let mut shown = vec![];
    let mut read = || {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = window.read(&mut bytes) {
            shown.extend(&bytes[..count]);
        }
        !run.records().is_empty()
    };
    wait_for(&mut read, "a record");
    assert!(String::from_utf8_lossy(&shown).contains("episodes "), "bars were drawn");
    drop(window);
    assert_eq!(child.wait().unwrap().code(), Some(3));
    assert_eq!(run.manifest().status, RunStatus::Interrupted);
    assert!(run.directory().join("tables/summary.md").exists());
    assert_eq!(run.resume().code, 0);
    assert_same_outcomes(&whole.records(), &run.records());
}

#[test]
fn a_terminal_that_takes_no_more_text_holds_nothing_up() {
    let run = Run::fake(&[&WORDS[..], &SLOW].concat());
    let (mut window, end) = terminal();
    // Filled to the brim, and never read until the run is over.
    // SAFETY: the number is that of the open window.
    unsafe { libc::fcntl(end.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
    let mut program = File::from(end.try_clone().unwrap());
    while program.write(&[b'x'; 1024]).is_ok() {}
    // SAFETY: as above.
    unsafe { libc::fcntl(end.as_raw_fd(), libc::F_SETFL, 0) };
    drop(program);
    let mut child = start_on_terminal(&run, end);
    wait_for(|| run.directory().join("report.html").exists(), "the end of the run");
    assert_complete(&run, "a full terminal");
    let reader = std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while window.read(&mut bytes).is_ok_and(|count| count > 0) {}
    });
    assert_eq!(child.wait().unwrap().code(), Some(0));
    reader.join().unwrap();
}

#[track_caller]
fn signal(child: &Child, signal: i32) {
    let id = i32::try_from(child.id()).unwrap();
    // SAFETY: the child has not been waited for, so its number is its own.
    assert_eq!(unsafe { libc::kill(id, signal) }, 0);
}

#[test]
fn hangups_drain_however_many_come_and_nohup_ignores_them() {
    let run = Run::fake(&[&WORDS[..], &SLOW].concat());
    let mut child = run.start().unwrap();
    wait_for(|| !run.records().is_empty(), "a record");
    for _ in 0..3 {
        signal(&child, libc::SIGHUP);
        std::thread::sleep(Duration::from_millis(30));
    }
    assert_eq!(child.wait().unwrap().code(), Some(3));
    assert!(run.records().len() < 4, "the run was over before");
    let resume = ["--no-progress", &run.directory().display().to_string()];
    assert_eq!(udvla(&[&["resume"][..], &resume].concat()).code, 0);

    let run = Run::fake(&[&WORDS[..], &SLOW].concat());
    let mut command = run.command();
    // SAFETY: signal is async-signal-safe.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGHUP, libc::SIG_IGN);
            Ok(())
        });
    }
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for(|| !run.records().is_empty(), "a record");
    signal(&child, libc::SIGHUP);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_complete(&run, "under nohup");
}

/// Words that are not UTF-8 are stored with replacements.
#[test]
fn words_that_are_no_utf8_are_no_panic() {
    use std::os::unix::ffi::OsStrExt as _;

    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join(std::ffi::OsStr::from_bytes(b"run-\xff"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_udvla-eval"));
    command.args(["libero", "--simulator", env!("CARGO_BIN_EXE_udvla-sim-fake"), "--no-progress"]);
    command.args(["--policy", "random", "--suite", "goal", "--trials", "1", "--out"]).arg(&out);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(out.join("episodes.jsonl").is_file());
}
