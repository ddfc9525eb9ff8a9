//! CALVIN: chains on the fake simulator, and on the real one where its files are.

use udvla_results::run::record::Status;
use udvla_sims::protocol::Protocol;

use crate::support::{Run, assert_same_outcomes, environment_of, files_of, keep_records, udvla};

fn fake(words: &[&str]) -> Run {
    let fake = env!("CARGO_BIN_EXE_udvla-sim-fake");
    Run::new(&[&["calvin", "--simulator", fake, "--no-progress"], words].concat())
}

/// A run on the real simulator, or `None` after printing why the test is skipped.
fn real(words: &[&str]) -> Option<Run> {
    let root = files_of("calvin")?.display().to_string();
    let python = environment_of("calvin", "UDVLA_TEST_CALVIN_PYTHON")?.display().to_string();
    let base = ["calvin", "--calvin-root", &root, "--python", &python, "--no-progress"];
    Some(Run::new(&[&base[..], words].concat()))
}

#[test]
fn chains_have_five_stages_and_a_table_of_their_lengths() {
    let run = fake(&["--policy", "expert", "--rollouts", "40"]);
    let ended = run.go();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let records = run.records();
    assert_eq!(records.len(), 40);
    assert!(records.keys().all(|key| key.suite == "abcd-d" && key.task == 0));
    let stages: Vec<u16> = records.values().map(|record| record.stages_completed).collect();
    assert!(stages.contains(&0) && stages.iter().any(|&done| done > 1), "{stages:?}");
    for record in records.values() {
        assert_eq!((record.stages, record.status), (5, Status::Ok));
        assert_eq!(record.truncated, record.stages_completed < 5);
        assert!(!record.truncated || record.steps >= 360, "{record:?}");
    }
    let mean = f64::from(stages.iter().sum::<u16>()) / 40.0;
    assert!(ended.stdout.contains(&format!("{mean:.2}")), "{mean} in {}", ended.stdout);
    for text in ["average length", "sequences canonical", "4.64", "policy expert"] {
        assert!(ended.stdout.contains(text), "no `{text}` in: {}", ended.stdout);
    }
}

#[test]
fn workers_and_a_resume_do_not_change_a_chain() {
    let words = ["--policy", "random", "--rollouts", "12"];
    let alone = fake(&[&words[..], &["--workers", "1"]].concat());
    let many = fake(&[&words[..], &["--workers", "4"]].concat());
    assert_eq!((alone.go().code, many.go().code), (0, 0));
    assert_same_outcomes(&alone.records(), &many.records());
    keep_records(&many.directory(), 6);
    let ended = many.resume();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_same_outcomes(&alone.records(), &many.records());
}

#[test]
fn another_list_is_another_run() {
    let run = fake(&["--policy", "idle", "--rollouts", "2"]);
    assert_eq!(run.go().code, 0);
    let out = run.directory().display().to_string();
    let fake = env!("CARGO_BIN_EXE_udvla-sim-fake");
    let base = ["calvin", "--simulator", fake, "--policy", "idle", "--rollouts", "2"];
    let other = udvla(&[&base[..], &["--sequences", "udvla-2026-01", "--out", &out]].concat());
    assert_eq!(other.code, 2, "{}", other.stderr);
    assert!(other.stderr.contains("protocol"), "{}", other.stderr);
}

#[test]
fn a_list_in_a_file_is_named_and_not_set_beside_the_paper() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("own.json");
    let state = r#"{"led": 0, "lightbulb": 0, "slider": "right", "drawer": "closed",
        "red_block": "table", "blue_block": "table", "pink_block": "slider_right", "grasped": 0}"#;
    let names = r#"["turn_on_led", "turn_on_lightbulb", "open_drawer", "push_red_block_left",
        "lift_blue_block_table"]"#;
    std::fs::write(&file, format!("[[{state}, {names}]]")).unwrap();
    let path = file.display().to_string();
    let run = fake(&["--policy", "expert", "--sequences", &path]);
    let ended = run.go();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(run.records().len(), 1);
    assert_eq!(run.manifest().protocol.name, "calvin-abcd-d-own-list");
    let too_many = fake(&["--policy", "expert", "--sequences", &path, "--rollouts", "2"]).go();
    assert_eq!(too_many.code, 2);
    assert!(too_many.stderr.contains("the list `file` has 1"), "{}", too_many.stderr);
}

#[test]
fn other_annotations_are_another_protocol_and_not_set_beside_the_paper() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("own.yaml");
    let names = Protocol::calvin().suites[0].details.subtasks();
    let lines: String = names.iter().map(|name| format!("{name}: ['do {name}', 'x']\n")).collect();
    std::fs::write(&file, lines).unwrap();
    let path = file.display().to_string();
    let run = fake(&["--policy", "expert", "--rollouts", "3", "--annotations", &path]);
    let ended = run.go();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let protocol = run.manifest().protocol;
    assert_eq!(protocol.name, "calvin-abcd-d-own-annotations");
    let stored = protocol.suites[0].details.instructions()[0].1.clone();
    assert_eq!(stored, format!("do {}", names[0]));
    let words = ended.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for text in ["annotations file (", "no verdict"] {
        assert!(words.contains(text), "no `{text}` in: {}", ended.stdout);
    }
    // The run keeps the protocol it began with. The command reads the file again: another text is
    // another protocol.
    std::fs::write(&file, names.iter().map(|n| format!("{n}: [go]\n")).collect::<String>())
        .unwrap();
    assert_eq!(run.resume().code, 0);
    assert_eq!(run.manifest().protocol.fingerprint(), protocol.fingerprint());
    let again = run.go();
    assert_eq!(again.code, 2, "{}", again.stderr);
    assert!(again.stderr.contains("protocol"), "{}", again.stderr);
}

#[test]
fn what_cannot_work_is_refused() {
    let refused = |words: &[&str], expected: &str| {
        let run = Run::new(&[&["calvin", "--policy", "idle"], words].concat());
        let ended = run.go();
        assert_eq!(ended.code, 2, "{}", ended.stderr);
        assert!(ended.stderr.contains(expected), "no `{expected}` in: {}", ended.stderr);
        assert!(!run.directory().exists());
    };
    refused(&["--calvin-root", "/nowhere"], "no folder `/nowhere` with calvin's files");
    refused(&["--calvin-root", "/nowhere"], "udvla-eval setup calvin --scene");
    refused(&["--sequences", "canonica"], "canonical, udvla-2026-01");
    refused(&["--sequences", "/dev/null"], "cannot be used");
    refused(&["--rollouts", "1001"], "the list `canonical` has 1000");
    for flag in ["--workers=2", "--recycle=5", "--worker-memory=2G"] {
        refused(&["--reset-mode", "reference", flag], "in one process");
    }
    refused(&["--renderer", "vulkan"], "possible values");
    refused(&["--annotations", "/nowhere"], "the annotations `/nowhere` cannot be read");
    refused(&["--annotations", "/dev/null"], "cannot be used");
}

#[test]
fn list_names_sub_tasks_and_lists_with_their_hashes() {
    let ended = udvla(&["list", "calvin"]);
    for text in ["push_into_drawer", "canonical (1000 sequences, sha256:840cb992", "a8bca088"] {
        assert!(ended.stdout.contains(text), "no `{text}` in: {}", ended.stdout);
    }
}

#[test]
fn the_expert_plays_real_chains_alike_with_one_worker_and_two() {
    let words = ["--policy", "expert", "--rollouts", "8"];
    let Some(one) = real(&[&words[..], &["--workers", "1"]].concat()) else { return };
    let Some(two) = real(&[&words[..], &["--workers", "2"]].concat()) else { return };
    let ended = one.go();
    assert_eq!((ended.code, two.go().code), (0, 0), "{}", ended.stderr);
    assert_same_outcomes(&one.records(), &two.records());
    let stages: u16 = one.records().values().map(|record| record.stages_completed).sum();
    assert!(stages >= 24, "{stages} sub-tasks of 8 chains: an average length below 3");
    assert_eq!(one.manifest().setting.embedding.as_deref(), Some("embedded"));
}

#[test]
fn an_idle_policy_solves_nothing_and_sees_the_limit_of_one_stage() {
    let Some(run) = real(&["--policy", "idle", "--rollouts", "3"]) else { return };
    assert_eq!(run.go().code, 0);
    for record in run.records().values() {
        assert_eq!((record.stages_completed, record.steps, record.truncated), (0, 360, true));
    }
}

#[cfg(feature = "torch")]
#[test]
fn a_checkpoint_decodes_real_chains_to_their_end() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("nano").display().to_string();
    let words = ["--checkpoint", &checkpoint, "--rollouts", "2", "--denoise-steps", "4"];
    let Some(run) = real(&words) else { return };
    assert_eq!(udvla(&["make-checkpoint", &checkpoint]).code, 0);
    let ended = run.go();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let records = run.records();
    assert_eq!(records.len(), 2);
    for record in records.values() {
        assert_eq!(record.status, Status::Ok);
        // A chunk is ten steps, or fewer where a sub-task ends inside it.
        assert!(record.calls >= 36 && record.calls * 10 >= record.steps, "{record:?}");
        assert_eq!(record.truncated, record.stages_completed < 5);
        assert!(record.first_observation_sha256.is_some() && record.final_state_sha256.is_some());
    }
    let setting = run.manifest().setting;
    let embedding = setting.embedding.as_deref().unwrap();
    assert_eq!((embedding, &*setting.other["adapter"]), ("embedded", "slim"));
}

#[test]
fn a_real_chain_that_is_impossible_is_refused_with_its_index() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("own.json");
    let state = r#"{"led": 0, "lightbulb": 0, "slider": "right", "drawer": "closed",
        "red_block": "table", "blue_block": "table", "pink_block": "slider_right", "grasped": 0}"#;
    let names = r#"["turn_off_led", "turn_on_led", "open_drawer", "close_drawer", "stack_block"]"#;
    std::fs::write(&file, format!("[[{state}, {names}]]")).unwrap();
    let path = file.display().to_string();
    let Some(run) = real(&["--policy", "idle", "--sequences", &path]) else { return };
    let ended = run.go();
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("sequence 0 of `file`"), "{}", ended.stderr);
    assert!(ended.stderr.contains("`turn_off_led` cannot be done there"), "{}", ended.stderr);
}
