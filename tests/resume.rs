//! Continuing runs, and refusing to continue another one.

use std::io::Write;

use crate::support::{Run, assert_same_outcomes, killed, udvla, wait_for};

const WORDS: [&str; 6] = ["--policy", "random", "--suite", "goal", "--trials", "2"];

#[test]
fn a_torn_last_line_is_cut_off_and_its_episode_played_again() {
    let whole = Run::fake(&WORDS);
    assert_eq!(whole.go().code, 0);
    let torn = Run::fake(&WORDS);
    assert_eq!(torn.go().code, 0);
    let path = torn.directory().join("episodes.jsonl");
    let text = std::fs::read(&path).unwrap();
    std::fs::write(&path, &text[..text.len() - 25]).unwrap();
    killed(&torn.directory());
    let ended = torn.resume();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_same_outcomes(&whole.records(), &torn.records());
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 20);
}

#[test]
fn a_broken_line_in_the_middle_is_named_and_nothing_is_lost() {
    let run = Run::fake(&WORDS);
    assert_eq!(run.go().code, 0);
    let path = run.directory().join("episodes.jsonl");
    let text = std::fs::read_to_string(&path).unwrap().replacen("\"task\":3", "\"task\":x", 1);
    std::fs::write(&path, &text).unwrap();
    let ended = run.resume();
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    let words = "of `episodes.jsonl` was changed after it was written";
    assert!(ended.stderr.contains(words), "{}", ended.stderr);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn more_trials_go_into_the_same_run() {
    let run = Run::fake(&WORDS);
    assert_eq!(run.go().code, 0);
    let ended = run.go_with(&["--trials", "3"]);
    // clap takes a flag once; the run directory is what is continued.
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    let out = run.directory().display().to_string();
    let fake = env!("CARGO_BIN_EXE_udvla-sim-fake");
    let more = ["libero", "--simulator", fake, "--no-progress", "--out", &out];
    let more = [&more[..], &WORDS[..5], &["3"]].concat();
    let ended = udvla(&more);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!((run.records().len(), run.manifest().episodes.asked), (30, 30));
}

#[test]
fn another_policy_protocol_or_seed_is_refused_with_its_name() {
    let run = Run::fake(&WORDS);
    assert_eq!(run.go().code, 0);
    let before = std::fs::read(run.directory().join("run.json")).unwrap();
    let out = run.directory().display().to_string();
    let fake = env!("CARGO_BIN_EXE_udvla-sim-fake");
    let base = ["libero", "--simulator", fake, "--out", &out, "--suite", "goal", "--trials", "2"];
    for (words, field) in [
        (vec!["--policy", "idle"], "subject.policy (`random`, now `idle`)"),
        (vec!["--policy", "random", "--seed", "1"], "subject.seed"),
        (vec!["--policy", "random", "--reset-mode", "reference"], "protocol.reset_mode"),
    ] {
        let ended = udvla(&[&base[..], &words].concat());
        assert_eq!(ended.code, 2, "{}", ended.stderr);
        assert!(ended.stderr.contains(field), "{}", ended.stderr);
        assert!(ended.stderr.contains("hint: "), "{}", ended.stderr);
    }
    assert!(before == std::fs::read(run.directory().join("run.json")).unwrap());
}

#[test]
fn a_folder_that_is_no_run_is_left_alone() {
    let run = Run::fake(&WORDS);
    std::fs::create_dir(run.directory()).unwrap();
    let mut file = std::fs::File::create(run.directory().join("thesis.tex")).unwrap();
    file.write_all(b"precious").unwrap();
    let ended = run.go();
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("is not a run directory"), "{}", ended.stderr);
    assert_eq!(std::fs::read_dir(run.directory()).unwrap().count(), 1);
    let ended = run.resume();
    assert_eq!(ended.code, 2, "{}", ended.stderr);
}

#[test]
fn a_directory_without_a_run_yet_is_used_and_readers_say_what_to_type() {
    let leftovers: [&[&str]; 5] = [
        &[],
        &["run.json"],
        &["episodes.jsonl"],
        &["lock", ".tmpa1B2c3"],
        // A run locks its directory before a simulator writes.
        &["lock", "logs/worker-00.log"],
    ];
    for leftover in leftovers {
        let run = Run::fake(&WORDS);
        std::fs::create_dir_all(run.directory().join("logs")).unwrap();
        for file in leftover {
            std::fs::write(run.directory().join(file), "").unwrap();
        }
        let directory = run.directory().display().to_string();
        for words in [["resume", &directory], ["report", &directory], ["tables", &directory]] {
            let ended = udvla(&words);
            assert_eq!(ended.code, 2, "{words:?}: {}", ended.stderr);
        }
        let ended = run.resume();
        let hint = format!("repeat the command that was to start it, with `--out {directory}`");
        assert!(ended.stderr.contains(&hint), "{leftover:?}: {}", ended.stderr);
        let ended = run.go();
        assert_eq!(ended.code, 0, "{leftover:?}: {}", ended.stderr);
        assert_eq!(run.records().len(), 20, "{leftover:?}");
    }
}

#[test]
fn a_run_stopped_before_its_first_simulator_was_open_is_resumed_or_replaced() {
    let words = [&WORDS[..], &["--sim-option=start=mute"]].concat();
    let run = Run::fake(&words);
    let mut child = run.start().unwrap();
    wait_for(|| run.directory().join("run.json").exists(), "the manifest");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(udvla_sims::identity::Setting::default() == run.manifest().setting);
    let directory = run.directory().display().to_string();
    let resume = ["resume", &directory, "--start-timeout=0.2", "--retries=0", "--no-progress"];
    let ended = udvla(&resume);
    assert_eq!(ended.code, 5, "the stored plan is played, its simulator mute: {}", ended.stderr);
    let fake = env!("CARGO_BIN_EXE_udvla-sim-fake");
    let other = ["libero", "--simulator", fake, "--no-progress", "--out", &directory];
    let ended = udvla(&[&other[..], &["--policy=idle", "--suite=long", "--trials=1"]].concat());
    assert_eq!(ended.code, 0, "nothing was played, so any command may: {}", ended.stderr);
    assert_eq!(run.records().len(), 10);
}

#[test]
fn a_run_that_is_going_on_cannot_be_resumed_beside_it() {
    let run = Run::fake(&[&WORDS[..], &["--sim-option=step_ms=20"]].concat());
    let mut child = run.start().unwrap();
    let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !run.directory().join("run.json").exists() {
        assert!(std::time::Instant::now() < end, "no manifest");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let ended = run.resume();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("in use by another process"), "{}", ended.stderr);
}
