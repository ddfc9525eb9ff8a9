//! A few faults on the real simulators, where their environments are.

use std::path::{Path, PathBuf};
use std::time::Duration;

use udvla_eval::benchmarks;
use udvla_eval::environment::python;

use crate::case::{Act, Again, Case, Phase, When};
use crate::kinds::named;
use crate::play::{Calm, Limits};
use crate::{calm, folder, play};

/// A simulator on two busy cores: a start took up to 100 s there.
const LIMITS: Limits = Limits { step: 60, start: 300, process: 900 };

/// The Python of a benchmark's environment, or `None` after printing why the test is skipped.
fn environment(benchmark: &str, variable: &str) -> Option<String> {
    let given = std::env::var_os(variable).map(PathBuf::from);
    let environment = benchmarks::find(benchmark).expect("a benchmark").facts().environment;
    match python(environment, given.as_deref()) {
        Ok(python) => Some(python.display().to_string()),
        Err(error) => {
            println!("skipped: {error} (udvla-eval setup {benchmark})");
            None
        }
    }
}

fn act(name: &str, when: When) -> Act {
    Act { kind: named(name), when }
}

fn after(records: usize, milliseconds: u64) -> When {
    When::Records(records, Duration::from_millis(milliseconds))
}

/// Two kills of the run, one of them in its first second; an interrupt; a worker killed, stopped
/// and paused; a torn line; a second process.
fn case() -> Case {
    let early = When::Age(Duration::from_millis(700));
    let phases = vec![
        Phase { acts: vec![act("run killed", early)], ..Phase::default() },
        Phase {
            acts: vec![
                act("worker killed", after(0, 15_000)),
                act("second run", after(1, 0)),
                act("run killed", after(1, 500)),
            ],
            ..Phase::default()
        },
        Phase {
            change: Some(named("torn line")),
            acts: vec![act("worker paused", after(0, 4000)), act("run interrupted", after(1, 100))],
            again: Again::Resume,
            ..Phase::default()
        },
        Phase {
            acts: vec![act("worker stopped", after(0, 20_000))],
            again: Again::Resume,
            ..Phase::default()
        },
    ];
    Case {
        scenario: 0,
        workers: 2,
        retries: 5,
        step_ms: None,
        listed: vec![],
        everywhere: vec![],
        phases,
    }
}

/// Plays the case on a command.
fn check(words: &[&str]) {
    let folder = folder();
    let words = words.iter().map(|&word| word.to_owned()).collect();
    let calm: Calm = calm(folder.path(), words, LIMITS);
    let (trace, result) = play(&case(), &calm, folder.path(), 1);
    println!("{trace}");
    result.unwrap_or_else(|text| panic!("{text}\n{trace}"));
}

#[test]
fn kills_and_stops_change_no_record_of_libero() {
    let Some(python) = environment("libero", "UDVLA_TEST_PYTHON") else { return };
    let words = ["libero", "--assets", "stand-ins", "--python", &python, "--no-progress"];
    let episodes = ["--policy", "random", "--suite", "object", "--trials", "1"];
    let tasks = ["--task", "0", "--task", "1", "--task", "2", "--task", "3", "--task", "4"];
    check(&[&words[..], &episodes, &tasks].concat());
}

#[test]
fn kills_and_stops_change_no_record_of_calvin() {
    let Some(python) = environment("calvin", "UDVLA_TEST_CALVIN_PYTHON") else { return };
    let data = std::env::var_os("UDVLA_TEST_DATA").map(|data| Path::new(&data).join("calvin"));
    let Some(root) = data.or_else(|| std::env::var_os("CALVIN_ROOT").map(Into::into)) else {
        println!("skipped: calvin: its files are not here (udvla-eval setup calvin --scene)");
        return;
    };
    let root = root.display().to_string();
    let words = ["calvin", "--calvin-root", &root, "--python", &python, "--no-progress"];
    check(&[&words[..], &["--policy", "random", "--rollouts", "8"]].concat());
}
