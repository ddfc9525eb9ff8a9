//! A run split into parts, how far they are, and the parts as one run again.

use std::path::Path;

use serde_json::Value;
use udvla_results::run::manifest::RunStatus;

use crate::support::{Ended, Run, assert_same_outcomes, keep_records, records, udvla, wait_for};

const WORDS: [&str; 6] = ["--policy", "random", "--suite", "long", "--trials", "3"];

fn part(part: &str) -> Run {
    Run::fake(&[&WORDS[..], &["--part", part]].concat())
}

fn played(of: u16) -> Vec<Run> {
    let run = |number| {
        let run = part(&format!("{number}/{of}"));
        let ended = run.go();
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        run
    };
    (1..=of).map(run).collect()
}

fn merged(out: &Path, parts: &[&Run], words: &[&str]) -> Ended {
    let out = out.display().to_string();
    let directories: Vec<String> =
        parts.iter().map(|run| run.directory().display().to_string()).collect();
    let mut all = vec!["merge", &out];
    all.extend(directories.iter().map(String::as_str));
    all.extend(words);
    udvla(&all)
}

/// The tables of a run as JSON, with its row named.
fn tables(directories: &[&Path]) -> String {
    let paths: Vec<String> = directories.iter().map(|path| path.display().to_string()).collect();
    let mut words = vec!["tables", "--format", "json", "--name", "row"];
    words.extend(paths.iter().map(String::as_str));
    let ended = udvla(&words);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    ended.stdout
}

#[test]
fn parts_are_the_whole_run_merged_or_read_together() {
    let whole = Run::fake(&WORDS);
    assert_eq!(whole.go().code, 0);
    let parts = played(3);
    let sizes: Vec<usize> = parts.iter().map(|run| run.records().len()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 30, "{sizes:?}");
    assert!(parts.iter().all(|run| run.manifest().status == RunStatus::Complete));
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("whole");
    // Their order does not matter.
    let ended = merged(&out, &[&parts[2], &parts[0], &parts[1]], &[]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_same_outcomes(&whole.records(), &records(&out));
    let directories: Vec<_> = parts.iter().map(Run::directory).collect();
    let directories: Vec<&Path> = directories.iter().map(std::path::PathBuf::as_path).collect();
    let expected = tables(&[&whole.directory()]);
    assert_eq!(tables(&[&out]), expected);
    assert_eq!(tables(&directories), expected);
    assert!(!ended.stderr.contains("part "), "{}", ended.stderr);
    assert!(out.join("report.html").exists());
    let name = "actions/long-task04-trial001.safetensors";
    assert_eq!(
        std::fs::read(out.join(name)).unwrap(),
        std::fs::read(whole.directory().join(name)).unwrap()
    );
    // It is a run like any other.
    let out = out.display().to_string();
    let more = udvla(&["resume", "--no-progress", "--trials=4", "--trust", &out]);
    assert_eq!(more.code, 0, "{}", more.stderr);
    assert_eq!(records(Path::new(&out)).len(), 40);
}

#[test]
fn what_makes_no_whole_run_is_refused_by_name_and_nothing_is_written() {
    let parts = played(2);
    let [one, two] = [&parts[0], &parts[1]];
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("whole");
    let refused = |parts: &[&Run], expected: &[&str]| {
        let ended = merged(&out, parts, &[]);
        assert_eq!(ended.code, 2, "{}", ended.stderr);
        for text in expected {
            assert!(ended.stderr.contains(text), "no `{text}` in {}", ended.stderr);
        }
        assert!(!out.exists());
    };
    let first_of_two = two.records().into_keys().next().unwrap().to_string();
    refused(&[one], &[&first_of_two, "you named part 1/2", "--allow-missing"]);
    let again = part("1/2");
    assert_eq!(again.go().code, 0);
    let first_of_one = one.records().into_keys().next().unwrap().to_string();
    refused(&[one, two, &again], &[&first_of_one, "an episode counts once"]);
    let foreign = Run::fake(&[&WORDS[..], &["--part=2/2", "--seed=7"]].concat());
    assert_eq!(foreign.go().code, 0);
    refused(&[one, &foreign], &["is no part of the run", "subject.seed (`0`, there `7`)"]);
    keep_records(&two.directory(), 3);
    let path = two.directory().display().to_string();
    refused(&[one, two], &["have no record", &format!("`udvla-eval resume` completes `{path}`")]);
    // What is there is left alone.
    let ended = merged(&one.directory(), &[one, two], &[]);
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("exists already"), "{}", ended.stderr);
}

#[test]
fn changed_actions_are_not_merged() {
    let parts = played(2);
    let key = parts[0].records().into_keys().next().unwrap();
    let file = parts[0].directory().join(format!("actions/{key}.safetensors"));
    let mut bytes = std::fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("whole");
    let ended = merged(&out, &[&parts[0], &parts[1]], &[]);
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(
        ended.stderr.contains(&format!("cannot copy the actions of {key}")),
        "{}",
        ended.stderr
    );
    assert!(!out.exists());
}

#[test]
fn a_gap_that_is_allowed_is_marked_and_can_be_filled() {
    let whole = Run::fake(&WORDS);
    assert_eq!(whole.go().code, 0);
    let one = part("1/2");
    assert_eq!(one.go().code, 0);
    let count = one.records().len();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("whole");
    let ended = merged(&out, &[&one], &["--allow-missing"]);
    assert_eq!(ended.code, 3, "{}", ended.stderr);
    let missing = format!("{} episodes of 30 have no record", 30 - count);
    assert!(ended.stderr.contains(&missing), "{}", ended.stderr);
    assert!(ended.stdout.contains(&format!("n = {count} of 30")), "{}", ended.stdout);
    let ended = udvla(&["resume", "--no-progress", "--trust", &out.display().to_string()]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_same_outcomes(&whole.records(), &records(&out));
}

#[test]
fn a_part_is_resumed_and_extended_as_a_part() {
    let run = part("2/3");
    assert_eq!(run.go().code, 0);
    let before = run.records();
    keep_records(&run.directory(), 2);
    assert_eq!(run.resume_with(&["--trust"]).code, 0);
    assert_same_outcomes(&before, &run.records());
    let ended = run.resume_with(&["--trust", "--trials=6"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let extended = run.records();
    assert!(before.keys().all(|key| extended.contains_key(key)));
    assert!(extended.len() > before.len() && extended.len() < 60);
    assert!(ended.stderr.contains("part 2/3 of the plan"), "{}", ended.stderr);
    let complete = part("2/3").go_with(&["--dry-run"]);
    assert!(complete.stdout.contains(", part 2/3 of 30"), "{}", complete.stdout);
}

#[test]
fn runs_that_have_no_parts_are_refused() {
    let refused = |words: &[&str], expected: &str| {
        let ended = Run::fake(words).go();
        assert_eq!(ended.code, 2, "{}", ended.stderr);
        assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    };
    let with = |words: &[&'static str]| [&WORDS[..], words].concat();
    refused(&with(&["--part=0/3"]), "the third of sixteen parts is `3/16`");
    refused(&with(&["--part=1/9999"]), "none of the run's episodes is in part 1/9999");
    refused(&with(&["--part=1/2", "--stop-early=paper"]), "decides about a whole run");
}

#[test]
fn status_tells_how_far_parts_are_and_what_to_type() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let fake = env!("CARGO_BIN_EXE_udvla-sim-fake");
    let words = |number: &str, directory: &Path| {
        let mut words = vec!["libero", "--simulator", fake, "--no-progress"];
        words.extend(WORDS);
        let words = words.into_iter().map(str::to_owned);
        let own = ["--part".into(), format!("{number}/2"), "--out".into()];
        words.chain(own).chain([directory.display().to_string()]).collect::<Vec<String>>()
    };
    let go = |words: Vec<String>| udvla(&words.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(go(words("1", &path("one"))).code, 0);
    assert_eq!(go(words("2", &path("two"))).code, 0);
    let all = folder.path().display().to_string();
    let ended = udvla(&["status", &all]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stdout.contains("all parts together: 30 of 30 done"), "{}", ended.stdout);
    let [one, two] = ["one", "two"].map(|name| path(name).display().to_string());
    let hint = format!("hint: udvla-eval merge OUT {one} {two}");
    assert!(ended.stdout.contains(&hint), "{}", ended.stdout);
    keep_records(&path("two"), 4);
    let status = || -> Value {
        let ended = udvla(&["status", "--json", &all]);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        serde_json::from_str(&ended.stdout).unwrap()
    };
    let before = status();
    let killed = &before["runs"][1];
    assert_eq!((&killed["state"], &killed["ok"]), (&"killed".into(), &4.into()), "{before:#}");
    assert_eq!(killed["next"], format!("udvla-eval resume {two}"));
    assert_eq!(before["together"][0]["open"], killed["open"]);
    assert!(before["together"][0].get("next").is_none(), "{before:#}");
    // While it is being played, slowly.
    let mut words = words("2", &path("three"));
    words.push("--sim-option=step_ms=20".into());
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_udvla-eval"))
        .args(words)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    wait_for(|| path("three/run.json").exists(), "the manifest");
    let state = status()["runs"][1]["state"].clone();
    let three = path("three").display().to_string();
    let refused = udvla(&["merge", &path("out").display().to_string(), &one, &three]);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(state, "running");
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(refused.stderr.contains("is still being played"), "{}", refused.stderr);
    let ended = udvla(&["status", &path("nothing").display().to_string()]);
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("there is no run in"), "{}", ended.stderr);
}

#[test]
fn half_written_and_hostile_directories_are_named_and_hold_nothing_up() {
    let folder = tempfile::tempdir().unwrap();
    let sound = part("1/2");
    assert_eq!(sound.go().code, 0);
    let text = |name: &str| std::fs::read(sound.directory().join(name)).unwrap();
    let (manifest, lines) = (text("run.json"), text("episodes.jsonl"));
    let make = |name: &str, manifest: &[u8], lines: &[u8]| {
        let directory = folder.path().join(name);
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(directory.join("run.json"), manifest).unwrap();
        std::fs::write(directory.join("episodes.jsonl"), lines).unwrap();
        directory
    };
    let broken = [
        make("empty", b"", b""),
        make("cut", &manifest[..manifest.len() / 2], &lines),
        make("records-cut", &manifest, &lines[..lines.len() / 2]),
        make("records-noise", &manifest, &[0xff; 300]),
        make("deep", &[b'['; 100_000], b""),
        make("another", b"{\"schema\": 99}", b""),
    ];
    let pipe = make("pipe", &manifest, &lines);
    for name in ["lock", "owner.json"] {
        let path = pipe.join(name);
        assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    }
    let all = udvla(&["status", "--json", &folder.path().display().to_string()]);
    assert_eq!(all.code, 0, "{}", all.stderr);
    let status: Value = serde_json::from_str(&all.stdout).unwrap();
    let runs = status["runs"].as_array().unwrap();
    assert_eq!(runs.len(), broken.len() + 1);
    let unreadable = runs.iter().filter(|run| run["state"] == "unreadable");
    assert!(unreadable.clone().all(|run| !run["fault"].as_str().unwrap().is_empty()));
    assert_eq!(unreadable.count(), broken.len(), "{status:#}");
    for directory in broken.iter().chain([&pipe]) {
        let out = folder.path().join("out").display().to_string();
        let one = sound.directory().display().to_string();
        let ended = udvla(&["merge", &out, &one, &directory.display().to_string()]);
        assert_eq!(ended.code, 2, "{directory:?}: {}", ended.stderr);
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
        assert!(!Path::new(&out).exists());
    }
}
