//! Whole runs on the fake simulator.

use udvla_results::run::manifest::RunStatus;
use udvla_results::run::record::Status;

use crate::support::{Run, assert_same_outcomes};

#[test]
fn a_run_plays_every_episode_once_and_writes_tables_and_plots() {
    let run = Run::fake(&["--policy", "expert", "--suite", "long", "--trials", "3"]);
    let ended = run.go();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let records = run.records();
    assert_eq!(records.len(), 30);
    assert!(records.values().all(|record| record.status == Status::Ok && record.attempts == 1));
    let lines = std::fs::read_to_string(run.directory().join("episodes.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), 30);
    let manifest = run.manifest();
    assert_eq!(manifest.status, RunStatus::Complete);
    assert_eq!((manifest.episodes.asked, manifest.episodes.ok), (30, 30));
    let calls: u32 = records.values().map(|record| record.calls).sum();
    assert_eq!(manifest.batches.rows, u64::from(calls));
    for file in ["tables/summary.md", "tables/summary.csv", "tables/tasks.csv"] {
        assert!(run.directory().join(file).exists(), "{file}");
    }
    let (files, tables) = ended.stdout.split_once("\n\n").unwrap();
    let page = run.directory().join("report.html").display().to_string();
    assert!(files.starts_with(&format!("wrote {page}; beside it plots (")), "{files}");
    assert!(files.ends_with("tables (3 files)") && !files.contains('\n'), "{files}");
    assert!(tables.ends_with("30 of 30 episodes, 0 errors, 0 retried\n"), "{tables}");
    let successes = records.values().filter(|record| record.success() == Some(true)).count();
    assert!(successes > 0 && successes < 30, "the fake solves some episodes, not {successes}");
    assert!(ended.stdout.contains(&format!("{successes}/30")), "{}", ended.stdout);
    assert!(ended.stdout.contains("not comparable"), "{}", ended.stdout);
}

#[test]
fn workers_and_batches_do_not_change_a_record() {
    let words = ["--policy", "random", "--suite", "object", "--trials", "4"];
    let alone = Run::fake(&[&words[..], &["--workers", "1"]].concat());
    let many = Run::fake(&[&words[..], &["--workers", "5", "--max-batch", "3"]].concat());
    assert_eq!((alone.go().code, many.go().code), (0, 0));
    assert_same_outcomes(&alone.records(), &many.records());
}

#[test]
fn an_idle_policy_scores_nothing_and_plays_to_the_limit() {
    let run = Run::fake(&["--policy", "idle", "--suite", "spatial", "--trials", "1"]);
    assert_eq!(run.go().code, 0);
    for record in run.records().values() {
        assert_eq!((record.success(), record.truncated), (Some(false), true));
        assert_eq!((record.steps, record.calls), (220, 22));
    }
}

#[test]
fn the_actions_of_an_episode_are_kept() {
    let run = Run::fake(&["--policy", "random", "--suite", "goal", "--task", "4", "--trials", "1"]);
    assert_eq!(run.go().code, 0);
    let records = run.records();
    let record = records.values().next().unwrap();
    let file = std::fs::read(run.directory().join(record.actions.as_ref().unwrap())).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&file).unwrap();
    let actions = tensors.tensor("actions").unwrap();
    assert_eq!(actions.shape(), [record.steps as usize, 7]);
}

#[test]
fn a_dry_run_prints_the_plan_and_writes_nothing() {
    let run = Run::fake(&["--policy", "expert", "--suite", "goal", "--trials", "2", "--dry-run"]);
    let ended = run.go();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stdout.contains("episodes  20"), "{}", ended.stdout);
    assert!(ended.stdout.contains("open the middle drawer"), "{}", ended.stdout);
    assert!(!run.directory().exists());
}

#[test]
fn tables_can_be_made_again_to_the_byte() {
    let run = Run::fake(&["--policy", "expert", "--suite", "long", "--trials", "2"]);
    assert_eq!(run.go().code, 0);
    let files = ["tables/summary.md", "tables/tasks.csv", "plots/success-by-task.svg"];
    let read = || files.map(|file| std::fs::read(run.directory().join(file)).unwrap());
    let before = read();
    let again = crate::support::udvla(&["report", &run.directory().display().to_string()]);
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert!(before == read(), "a table or plot changed");
}
