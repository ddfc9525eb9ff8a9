//! Run directories that are damaged, or that come from somebody else.

use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::json;
use udvla_results::run::manifest::RunStatus;

use crate::support::{Run, assert_same_outcomes, change_manifest, keep_records, udvla};

const WORDS: [&str; 7] =
    ["--policy", "random", "--suite", "long", "--task=0", "--task=1", "--trials=3"];

fn text(path: impl AsRef<std::path::Path>) -> String {
    path.as_ref().display().to_string()
}

/// A finished run whose second record was turned into its opposite.
fn damaged() -> Run {
    let run = Run::fake(&WORDS);
    assert_eq!(run.go().code, 0);
    let path = run.directory().join("episodes.jsonl");
    let lines = std::fs::read_to_string(&path).unwrap();
    let changed: Vec<String> = lines
        .lines()
        .enumerate()
        .map(|(index, line)| match index {
            1 => line.replacen("\"steps\":", "\"steps\":1", 1),
            _ => line.to_owned(),
        })
        .collect();
    std::fs::write(&path, changed.join("\n") + "\n").unwrap();
    run
}

#[test]
fn every_reader_names_a_changed_line_and_goes_on_only_when_told() {
    let run = damaged();
    let whole = Run::fake(&WORDS);
    assert_eq!(whole.go().code, 0);
    let (directory, whole) = (text(run.directory()), text(whole.directory()));
    let folder = tempfile::tempdir().unwrap();
    let out = text(folder.path().join("plots"));
    let readers: [&[&str]; 8] = [
        &["report", &directory],
        &["tables", &directory],
        &["plots", &directory, "--out", &out],
        &["compare", &directory, &whole],
        &["gate", &whole, "--baseline", &directory],
        &["export", &directory, "--format", "csv"],
        &["replay", &directory],
        &["plan", "--rate", "0.9", "--half-width", "0.1", "--like", &directory],
    ];
    for words in readers {
        let refused = udvla(words);
        assert_eq!(refused.code, 2, "{words:?}: {}{}", refused.stdout, refused.stderr);
        let named = "line 2 of `episodes.jsonl` was changed after it was written";
        assert!(refused.stderr.contains(named), "{words:?}: {}", refused.stderr);
        assert!(refused.stderr.contains("--accept-damaged"), "{words:?}: {}", refused.stderr);
        let read = udvla(&[words, &["--accept-damaged"]].concat());
        if words[0] != "gate" {
            assert_eq!(read.code, 0, "{words:?}: {}", read.stderr);
            let said = read.stdout + &read.stderr;
            assert!(said.contains("damage accepted, 1 line is left out"), "{words:?}: {said}");
        }
    }
}

#[test]
fn a_resume_plays_the_episodes_of_damaged_lines_again_when_told() {
    let run = damaged();
    let refused = run.resume();
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    let directory = text(run.directory());
    let ended = udvla(&["resume", "--no-progress", &directory, "--accept-damaged"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stdout.contains("damage accepted"), "{}", ended.stdout);
    let whole = Run::fake(&WORDS);
    assert_eq!(whole.go().code, 0);
    assert_same_outcomes(&run.records(), &whole.records());
    // The line is still there, so the next reader has to be told again.
    assert_eq!(udvla(&["report", &directory]).code, 2);
}

#[test]
fn the_last_lines_of_a_finished_run_cannot_vanish_unnoticed() {
    let run = Run::fake(&WORDS);
    assert_eq!(run.go().code, 0);
    let path = run.directory().join("episodes.jsonl");
    let lines = std::fs::read_to_string(&path).unwrap();
    let kept: String = lines.lines().take(5).map(|line| format!("{line}\n")).collect();
    std::fs::write(&path, kept).unwrap();
    let refused = run.resume();
    assert_eq!(refused.code, 2);
    let words = "`episodes.jsonl` has 5 whole lines of the 6 written";
    assert!(refused.stderr.contains(words), "{}", refused.stderr);
    let directory = text(run.directory());
    let ended = udvla(&["resume", "--no-progress", &directory, "--accept-damaged"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    // All is as it was: the next reader finds nothing.
    assert_eq!(udvla(&["report", &directory]).code, 0);
    assert_eq!(run.manifest().status, RunStatus::Complete);
}

#[test]
fn an_edited_manifest_is_refused_and_actions_that_are_gone_are_noted() {
    let run = Run::fake(&WORDS);
    assert_eq!(run.go().code, 0);
    let directory = text(run.directory());
    std::fs::remove_file(run.directory().join("actions/long-task01-trial002.safetensors")).unwrap();
    let report = udvla(&["report", &directory]);
    assert_eq!(report.code, 0, "{}", report.stderr);
    let words = "stored actions are missing or changed: long-task01-trial002";
    assert!(report.stdout.contains(words), "{}", report.stdout);
    let replay = udvla(&["replay", &directory, "long-task01-trial002"]);
    assert_eq!(replay.code, 6, "{}", replay.stderr);
    let words = "✗ long-task01-trial002 (episode 5): its actions cannot be read";
    assert!(replay.stdout.contains(words), "{}", replay.stdout);
    let file = run.directory().join("run.json");
    let manifest = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, manifest.replace("\"policy\": \"random\"", "\"policy\": \"udvla\""))
        .unwrap();
    let refused = udvla(&["report", &directory]);
    assert_eq!(refused.code, 2);
    let words = "`run.json` was changed after it was written";
    assert!(refused.stderr.contains(words), "{}", refused.stderr);
}

#[test]
fn a_directory_from_elsewhere_starts_no_program_that_it_names() {
    let run = Run::fake(&WORDS);
    assert_eq!(run.go().code, 0);
    keep_records(&run.directory(), 4);
    let folder = tempfile::tempdir().unwrap();
    let (marker, program) = (folder.path().join("started"), folder.path().join("program"));
    let script = format!("#!/bin/sh\ntouch {}\n", marker.display());
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let directory = text(run.directory());
    let name = |simulator: serde_json::Value| {
        change_manifest(&run.directory(), |manifest| manifest["resolved"]["simulator"] = simulator);
    };
    name(json!({"program": text(&program), "options": {}}));
    for command in ["resume", "replay"] {
        let refused = udvla(&[command, &directory]);
        assert_eq!(refused.code, 2, "{}", refused.stderr);
        assert!(refused.stderr.contains("the run starts another program"), "{}", refused.stderr);
        assert!(refused.stderr.contains("--trust"), "{}", refused.stderr);
    }
    assert_eq!(udvla(&["report", &directory]).code, 0);
    // Nor a library through the variables of a program of this build.
    let fake = env!("CARGO_BIN_EXE_udvla-sim-fake");
    let variables = json!({"LD_PRELOAD": text(&program)});
    name(json!({"program": fake, "options": {}, "variables": variables}));
    let replayed = udvla(&["replay", &directory]);
    assert_eq!(replayed.code, 0, "{}", replayed.stderr);
    assert!(replayed.stderr.contains("variables are those of this"), "{}", replayed.stderr);
    // Nor through those that a worker would set itself.
    let options = json!({"otherwise": variables.to_string()});
    name(json!({"program": fake, "options": options}));
    let replayed = udvla(&["replay", &directory]);
    assert!(replayed.stderr.contains("variables are those of this"), "{}", replayed.stderr);
    let resumed = udvla(&["resume", "--no-progress", &directory]);
    assert_eq!(resumed.code, 0, "{}", resumed.stderr);
    let stored = run.manifest().resolved.unwrap();
    assert_eq!(stored["simulator"]["options"].get("otherwise"), None, "{stored}");
    keep_records(&run.directory(), 4);
    name(json!({"python": text(&program), "options": {}}));
    for command in ["resume", "replay"] {
        let refused = udvla_without_environments(&[command, &directory]);
        assert!(refused.contains("no Python environment yet"), "{refused}");
    }
    assert!(!marker.exists(), "the program was started");
    name(json!({"program": text(&program), "options": {}}));
    let trusted = udvla(&["replay", &directory, "--trust"]);
    assert_eq!(trusted.code, 2, "it is no simulator");
    assert!(marker.exists(), "{}", trusted.stderr);
}

/// What the program says on stderr where no simulator's environment is installed.
fn udvla_without_environments(words: &[&str]) -> String {
    let home = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_udvla-eval"))
        .args(words)
        .env("UDVLA_HOME", home.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn no_link_leads_out_of_a_run_directory() {
    let run = Run::fake(&WORDS);
    assert_eq!(run.go().code, 0);
    keep_records(&run.directory(), 4);
    let outside = tempfile::tempdir().unwrap();
    let precious = outside.path().join("precious");
    std::fs::write(&precious, "precious").unwrap();
    let directory = text(run.directory());
    for (link, target) in [("lock", &precious), ("tables", &outside.path().to_path_buf())] {
        let path = run.directory().join(link);
        let _ = std::fs::remove_file(&path);
        let _ = std::fs::remove_dir_all(&path);
        symlink(target, &path).unwrap();
        for command in ["resume", "report"] {
            let refused = udvla(&[command, &directory]);
            assert_eq!(refused.code, 2, "{link}: {}", refused.stderr);
            assert!(
                refused.stderr.contains("leads out of the run directory"),
                "{}",
                refused.stderr
            );
        }
        std::fs::remove_file(&path).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&precious).unwrap(), "precious");
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
    assert_eq!(run.resume().code, 0);
}

#[test]
fn an_instruction_cannot_write_to_the_terminal() {
    let run = Run::fake(&WORDS);
    assert_eq!(run.go().code, 0);
    let evil = "\u{1b}[2J=1+1 \u{202e}<img src=x>";
    change_manifest(&run.directory(), |manifest| {
        manifest["plan"][0]["instruction"] = json!(evil);
    });
    let directory = text(run.directory());
    let report = udvla(&["report", &directory]);
    assert_eq!(report.code, 0, "{}", report.stderr);
    for text in
        [report.stdout, std::fs::read_to_string(run.directory().join("tables/summary.md")).unwrap()]
    {
        assert!(text.contains("u{1b}[2J"), "{text}");
        assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text}");
    }
    let page = std::fs::read_to_string(run.directory().join("tables/summary.md")).unwrap();
    assert!(!page.contains(" <img"), "{page}");
}
