//! Who may write to a run directory, also on file systems without locks: `flock` then says that it
//! does not exist.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use crate::support::{Run, assert_same_outcomes, records, shared_library, wait_for};

const WORDS: [&str; 6] = ["--policy", "random", "--suite", "goal", "--trials", "2"];

const WITHOUT: &str = "#include <errno.h>\nint flock(int file, int operation) {\n  (void)file;\n  \
                       (void)operation;\n  errno = ENOSYS;\n  return -1;\n}\n";

/// A directory for a run, and a library that takes locks away.
struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        shared_library(&folder.path().join("flock.so"), WITHOUT);
        Self { folder }
    }

    fn run(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    /// `udvla-eval libero` on the fake simulator.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_udvla-eval"));
        let fake = env!("CARGO_BIN_EXE_udvla-sim-fake");
        command.args(["libero", "--simulator", fake, "--no-progress", "--out"]).arg(self.run());
        command.args(WORDS).args(words).env("LD_PRELOAD", self.folder.path().join("flock.so"));
        command.stdin(Stdio::null());
        command
    }

    fn go(&self, words: &[&str]) -> (Option<i32>, String) {
        let Output { status, stderr, .. } = self.command(words).output().unwrap();
        (status.code(), String::from_utf8_lossy(&stderr).into_owned())
    }

    /// Leaves the file of an owner on another machine that was silent for `seconds`.
    fn leave_owner(&self, seconds: u64) {
        let card = r#"{"id":"x","host":"node-07","process":4711,"boot":"b","namespace":"n"}"#;
        let path = self.run().join("owner.json");
        let new = self.run().join("owner.new");
        std::fs::write(&new, card).unwrap();
        let then = SystemTime::now() - Duration::from_secs(seconds);
        std::fs::File::options().write(true).open(&new).unwrap().set_modified(then).unwrap();
        std::fs::rename(new, path).unwrap();
    }
}

fn lines(run: &Path) -> usize {
    std::fs::read_to_string(run.join("episodes.jsonl")).unwrap_or_default().lines().count()
}

#[test]
fn a_second_writer_is_refused_and_a_dead_one_replaced() {
    let whole = Run::fake(&WORDS);
    assert_eq!(whole.go().code, 0);
    let files = Files::new();
    let mut first = files.command(&["--sim-option=step_ms=5"]).spawn().unwrap();
    wait_for(|| lines(&files.run()) > 2, "records");
    let (code, stderr) = files.go(&[]);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains(&format!("is in use by process {} on `", first.id())), "{stderr}");
    first.kill().unwrap();
    first.wait().unwrap();
    // A process of this machine is known to be dead.
    let (code, stderr) = files.go(&[]);
    assert_eq!(code, Some(0), "{stderr}");
    assert_same_outcomes(&whole.records(), &records(&files.run()));
    assert!(!files.run().join("owner.json").exists());
}

#[test]
fn only_the_user_says_that_another_machines_process_is_gone() {
    let files = Files::new();
    let mut first = files.command(&["--sim-option=step_ms=5"]).spawn().unwrap();
    wait_for(|| lines(&files.run()) > 2, "records");
    first.kill().unwrap();
    first.wait().unwrap();
    files.leave_owner(70);
    let (code, stderr) = files.go(&[]);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("belongs to process 4711 on `node-07`"), "{stderr}");
    assert!(stderr.contains("repeat the command with `--take-over`"), "{stderr}");
    files.leave_owner(5);
    let (code, stderr) = files.go(&["--take-over"]);
    assert_eq!(code, Some(2), "its heart beats: {stderr}");
    assert!(stderr.contains("is in use by process 4711"), "{stderr}");
    files.leave_owner(70);
    let (code, stderr) = files.go(&["--take-over"]);
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(records(&files.run()).len(), 20);
}

#[test]
fn a_writer_that_was_taken_for_dead_writes_nothing_more() {
    let files = Files::new();
    let mut first = files.command(&["--sim-option=step_ms=5"]);
    let mut first = first.stderr(Stdio::piped()).spawn().unwrap();
    wait_for(|| lines(&files.run()) > 2, "records");
    files.leave_owner(0);
    let written = lines(&files.run());
    let output = {
        let status = first.wait().unwrap();
        let mut stderr = String::new();
        std::io::Read::read_to_string(&mut first.stderr.take().unwrap(), &mut stderr).unwrap();
        (status.code(), stderr)
    };
    assert_eq!(output.0, Some(1), "{}", output.1);
    assert!(output.1.contains("was taken over by process 4711 on `node-07`"), "{}", output.1);
    assert!(lines(&files.run()) <= written + 1, "one was on its way");
    assert!(files.run().join("owner.json").exists());
}

/// Several processes that start at once: one plays, the others are refused, and every episode has one
/// line. `UDVLA_TEST_RACES` sets how many races there are.
#[test]
fn of_several_that_start_at_once_one_plays() {
    let races = std::env::var("UDVLA_TEST_RACES").map_or(4, |text| text.parse().unwrap());
    for race in 0..races {
        for locks in [true, false] {
            let files = Files::new();
            // Every other race is for the directory of a run that was killed.
            if race % 2 == 1 {
                let mut first = files.command(&["--sim-option=step_ms=5"]).spawn().unwrap();
                wait_for(|| lines(&files.run()) > 0, "a record");
                first.kill().unwrap();
                first.wait().unwrap();
            }
            let start = || {
                let mut command = files.command(&["--sim-option=step_ms=1"]);
                if locks {
                    command.env_remove("LD_PRELOAD");
                }
                command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap()
            };
            let children: Vec<_> = (0..4).map(|_| start()).collect();
            let outputs: Vec<Output> =
                children.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
            let texts: Vec<_> =
                outputs.iter().map(|it| String::from_utf8_lossy(&it.stderr).into_owned()).collect();
            let of = |code| outputs.iter().filter(|it| it.status.code() == Some(code)).count();
            // One that starts late finds a complete run, and has nothing to do.
            assert!(of(0) >= 1 && of(0) + of(2) == 4, "locks {locks}: {texts:#?}");
            assert_eq!(lines(&files.run()), 20, "locks {locks}: {texts:#?}");
            let run = udvla_results::run::read::Run::read(files.run()).unwrap();
            assert_eq!(run.records.len(), 20);
        }
    }
}
