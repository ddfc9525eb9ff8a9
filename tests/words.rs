//! Words of other harnesses and short ways to name things: suites, tasks, limits, runs.

use udvla_results::run::manifest::PlannedTask;

use crate::support::Run;

/// Suite and task of what a run plans, with the trials.
fn plan(words: &[&str]) -> Vec<(String, u16, u16)> {
    let run = Run::fake(&[&["--policy", "idle"], words].concat());
    let ended = run.go_with(&["--dry-run"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(!run.directory().exists());
    let lines = ended.stdout.lines().filter(|line| line.contains(" × "));
    let task = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        (words[0].to_owned(), words[1].parse().unwrap(), words[2].parse().unwrap())
    };
    lines.map(task).collect()
}

#[test]
fn suites_have_liberos_own_names_too_and_come_in_lists() {
    let long = plan(&["--suite", "long", "--trials", "2"]);
    assert_eq!(long.len(), 10);
    assert_eq!(plan(&["--suite", "libero_10", "--trials", "2"]), long);
    let two = plan(&["--suite", "libero_spatial,goal", "--task", "0"]);
    assert_eq!(two, [("spatial".into(), 0, 50), ("goal".into(), 0, 50)]);
    assert_eq!(plan(&["--suite", "goal", "--suite", "libero_spatial", "--task", "0"]), two);
}

#[test]
fn tasks_come_in_lists_and_ranges() {
    let tasks = |words: &[&str]| -> Vec<u16> {
        let plan = plan(&[&["--suite", "object", "--trials", "1"], words].concat());
        plan.into_iter().map(|(_, task, _)| task).collect()
    };
    assert_eq!(tasks(&["--task", "0-4,7"]), [0, 1, 2, 3, 4, 7]);
    assert_eq!(tasks(&["--task", "9", "--task", "2-3"]), [2, 3, 9]);
}

#[test]
fn a_limit_is_played_over_all_tasks() {
    let limited = plan(&["--suite", "long", "--limit", "12"]);
    assert_eq!(limited.iter().map(|(_, _, trials)| trials).sum::<u16>(), 12);
    assert_eq!(limited[..3].iter().map(|task| task.2).collect::<Vec<_>>(), [2, 2, 1]);
    let run = Run::fake(&["--policy", "random", "--suite", "goal", "--limit", "3"]);
    assert_eq!(run.go().code, 0);
    assert_eq!(run.records().len(), 3);
    let planned = run.manifest().plan;
    assert!(planned.iter().all(|PlannedTask { trials, .. }| *trials == 1), "{planned:?}");
    assert_eq!(planned.len(), 3);
}

#[test]
fn a_run_in_the_folder_runs_is_found_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let here = |words: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_udvla-eval"));
        command.args(words).current_dir(folder.path()).output().unwrap()
    };
    let fake = env!("CARGO_BIN_EXE_udvla-sim-fake");
    let words = ["libero", "--simulator", fake, "--policy", "random", "--limit", "2", "--out"];
    assert!(here(&[&words[..], &["runs/mine", "--quiet"]].concat()).status.success());
    for words in [&["report", "mine"][..], &["tables", "mine"], &["replay", "mine", "0"]] {
        let output = here(words);
        assert!(output.status.success(), "{words:?}: {output:?}");
    }
    let missing = here(&["tables", "yours"]);
    assert_eq!(missing.status.code(), Some(2));
    let text = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(text.contains("`yours`") && text.contains("in the folder `runs`"), "{text}");
}
