//! Finished runs through the program: tables, comparisons, gates, audits and replays.

use crate::support::{Run, store_records, udvla};

const TASKS: [&str; 8] = ["--suite", "long", "--task", "0", "--task", "1", "--policy", "random"];

fn text(path: std::path::PathBuf) -> String {
    path.display().to_string()
}

/// Two finished runs on the fake simulator.
fn two() -> (Run, Run) {
    let run = || Run::fake(&[&TASKS[..], &["--trials", "3"]].concat());
    let (a, b) = (run(), run());
    assert_eq!((a.go().code, b.go().code), (0, 0));
    (a, b)
}

#[test]
fn equal_runs_compare_and_gate_without_a_decision() {
    let (a, b) = two();
    let (a, b) = (text(a.directory()), text(b.directory()));
    let compared = udvla(&["compare", &a, &b]);
    assert_eq!(compared.code, 0, "{}", compared.stderr);
    assert!(compared.stdout.contains("subject and setting are equal"), "{}", compared.stdout);
    let gate = udvla(&["gate", &b, "--baseline", &a]);
    assert_eq!(gate.code, 7, "{}", gate.stderr);
    let generous = udvla(&["gate", &b, "--baseline", &a, "--margin", "0.9"]);
    assert_eq!(generous.code, 0, "{}", generous.stdout);
}

#[test]
fn a_report_and_a_comparison_are_pages_of_their_own() {
    let (a, b) = two();
    let page = std::fs::read_to_string(a.directory().join("report.html")).unwrap();
    assert!(page.contains("id=\"long-task01-trial002\""), "no row of an episode");
    assert!(page.contains("fake simulator, not comparable"));
    std::fs::remove_file(a.directory().join("report.html")).unwrap();
    let report = udvla(&["report", &text(a.directory())]);
    assert!(report.stdout.contains("report.html"), "{}", report.stdout);
    assert_eq!(std::fs::read_to_string(a.directory().join("report.html")).unwrap(), page);
    let file = a.directory().join("pages/compare.html");
    let words = ["compare", &text(a.directory()), &text(b.directory()), "--html"];
    let compared = udvla(&[&words[..], &[&text(file.clone())]].concat());
    assert_eq!(compared.code, 0, "{}", compared.stderr);
    assert!(compared.stdout.starts_with("Comparison\n"), "{}", compared.stdout);
    assert!(std::fs::read_to_string(&file).unwrap().starts_with("<!DOCTYPE html>"));
}

#[test]
fn several_runs_are_drawn_side_by_side() {
    let (a, _) = two();
    let words = [&TASKS[..6], &["--policy", "idle", "--trials", "3"]].concat();
    let b = Run::fake(&words);
    assert_eq!(b.go().code, 0);
    let folder = tempfile::tempdir().unwrap();
    let out = text(folder.path().join("plots"));
    let plots = ["plots", &text(a.directory()), &text(b.directory()), "--out", &out];
    let plots = udvla(&plots);
    assert_eq!(plots.code, 0, "{}", plots.stderr);
    assert!(plots.stdout.contains("libero-methods.svg\n"), "{}", plots.stdout);
    assert!(plots.stdout.contains("skipped: Success by denoising steps"), "{}", plots.stdout);
    let svg = std::fs::read_to_string(folder.path().join("plots/libero-methods.svg")).unwrap();
    assert!(svg.contains("idle") && svg.contains("random"), "{svg}");
    let doubled = udvla(&["plots", &text(a.directory()), &text(a.directory()), "--out", &out]);
    assert_eq!(doubled.code, 2, "{}", doubled.stdout);
    assert_eq!(udvla(&["plots", "no-such-run"]).code, 2);
}

#[test]
fn several_subjects_are_rows_and_pairs() {
    let (a, _) = two();
    let other = |policy: &str| {
        let run = Run::fake(&[&TASKS[..6], &["--policy", policy, "--trials", "3"]].concat());
        assert_eq!(run.go().code, 0);
        run
    };
    let (b, c) = (other("idle"), other("expert"));
    let runs = [&a, &b, &c].map(|run| text(run.directory()));
    let runs = [runs[0].as_str(), &runs[1], &runs[2]];
    let names = ["--name", "noise", "--name", "nothing", "--name", "solution"];
    let latex = udvla(&[&["tables"][..], &runs, &names, &["--format", "latex"]].concat());
    assert_eq!(latex.code, 0, "{}", latex.stderr);
    let rows = ["noise", "nothing", "solution"].map(|name| latex.stdout.find(name).expect(name));
    assert!(rows.is_sorted(), "rows in the order given: {}", latex.stdout);
    assert!(!latex.stdout.contains("documentclass"), "{}", latex.stdout);
    let refused = udvla(&[&["tables"][..], &runs, &names[..4]].concat());
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("2 names for 3 rows"), "{}", refused.stderr);
    let shown = udvla(&["tables", runs[0]]);
    assert!(!shown.stdout.contains("Table 2") && !shown.stdout.contains('\\'), "{}", shown.stdout);
    assert!(
        shown.stdout.contains("only tasks 0 and 1 of 10, so the paper's number is left out"),
        "{}",
        shown.stdout
    );
    assert!(udvla(&["tables", runs[0], "--all"]).stdout.contains("Table 2"));
    let pairs = |words: &[&str]| -> Vec<(u64, u64)> {
        let words = [&["compare"][..], &runs, words, &["--format", "json"]].concat();
        let compared = udvla(&words);
        assert_eq!(compared.code, 0, "{}", compared.stderr);
        let json: serde_json::Value = serde_json::from_str(&compared.stdout).unwrap();
        let pairs = json["pairs"].as_array().unwrap().iter();
        pairs.map(|pair| (pair["a"].as_u64().unwrap(), pair["b"].as_u64().unwrap())).collect()
    };
    assert_eq!(pairs(&[]), [(0, 1), (0, 2), (1, 2)]);
    assert_eq!(pairs(&["--against", "first"]), [(0, 1), (0, 2)]);
    assert_eq!(udvla(&["compare", runs[0]]).code, 2);
}

#[test]
fn every_running_episode_is_shown_when_asked() {
    let words = ["--policy", "random", "--suite", "goal", "--limit", "2"];
    let ended = Run::fake(&words).go_with(&["--verbose"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stderr.contains("goal-task00-trial000  step 0 of 300  "), "{}", ended.stderr);
    assert!(ended.stderr.contains("goal-task01-trial000: "), "{}", ended.stderr);
    let quiet = Run::fake(&words).go();
    assert!(!quiet.stderr.contains("step 0 of"), "{}", quiet.stderr);
    assert!(quiet.stderr.contains("2 of 2 episodes in"), "{}", quiet.stderr);
}

#[test]
fn a_stored_baseline_decides_like_its_run_and_writes_junit() {
    let (a, b) = two();
    let folder = tempfile::tempdir().unwrap();
    let [file, junit] = ["baseline.json", "junit.xml"].map(|name| text(folder.path().join(name)));
    let saved = udvla(&["gate", &text(a.directory()), "--save-baseline", &file]);
    assert_eq!(saved.code, 0, "{}", saved.stderr);
    let words = ["gate", &text(b.directory()), "--baseline", &file, "--junit", &junit];
    assert_eq!(udvla(&words).code, 7);
    assert!(std::fs::read_to_string(&junit).unwrap().contains("errors=\"1\""));
}

#[test]
fn tables_refuse_doubled_episodes_and_gates_the_paper_for_a_fake_simulator() {
    let (a, b) = two();
    let (a, b) = (text(a.directory()), text(b.directory()));
    let one = udvla(&["tables", &a]);
    assert_eq!(one.code, 0, "{}", one.stderr);
    assert!(one.stdout.contains("fake simulator, not comparable"), "{}", one.stdout);
    let both = udvla(&["tables", &a, &b]);
    assert_eq!(both.code, 2);
    assert!(both.stderr.contains("long-task00-trial000 is in"), "{}", both.stderr);
    let gate = udvla(&["gate", &a, "--against", "paper"]);
    assert_eq!(gate.code, 2);
    assert!(gate.stderr.contains("fake simulator"), "{}", gate.stderr);
}

#[test]
fn an_audit_is_strict_when_asked() {
    assert_eq!(udvla(&["audit", "--paper"]).code, 0);
    let strict = udvla(&["audit", "--paper", "--strict"]);
    assert_eq!(strict.code, 6);
    assert!(strict.stdout.contains("printed as 76.0 and as 75.0"), "{}", strict.stdout);
    assert_eq!(udvla(&["audit"]).code, 2);
    assert_eq!(udvla(&["audit", "no-such-file.csv"]).code, 2);
}

#[test]
fn a_plan_needs_a_question() {
    let told = udvla(&["plan", "--rate", "0.95", "--other", "0.9"]);
    assert!(told.stdout.starts_with("424 different episodes per policy"), "{}", told.stdout);
    assert_eq!(udvla(&["plan", "--rate", "0.95"]).code, 2);
    assert_eq!(udvla(&["plan", "--rate", "95"]).code, 2);
}

#[test]
fn a_replay_ends_as_recorded_and_an_edited_one_does_not() {
    let (run, _) = two();
    let directory = text(run.directory());
    let replayed = udvla(&["replay", &directory]);
    assert_eq!(replayed.code, 0, "{}{}", replayed.stdout, replayed.stderr);
    assert!(replayed.stdout.ends_with("6 of 6 episodes end as recorded\n"), "{}", replayed.stdout);
    let mut records: Vec<_> = run.records().into_values().collect();
    let mut record = records[0].clone();
    record.stages_completed = 1 - record.stages_completed;
    // The last line of an episode counts.
    records.push(record);
    store_records(&run.directory(), records.iter());
    let replayed = udvla(&["replay", &directory]);
    assert_eq!(replayed.code, 6, "{}{}", replayed.stdout, replayed.stderr);
    let line = "✗ long-task00-trial000 (episode 0): stages";
    assert!(replayed.stdout.contains(line), "{}", replayed.stdout);
    let none = udvla(&["replay", &directory, "long-task09-trial000"]);
    assert_eq!(none.code, 2, "{}", none.stderr);
}

#[test]
fn episodes_are_replayed_by_number_range_and_name() {
    let (run, _) = two();
    let directory = text(run.directory());
    // Two tasks of three trials: episode 4 is the second trial of task 1.
    let replayed = udvla(&["replay", &directory, "4,0-1", "long-task01-trial002"]);
    assert_eq!(replayed.code, 0, "{}{}", replayed.stdout, replayed.stderr);
    let names: Vec<&str> =
        replayed.stdout.lines().filter_map(|line| line.split([' ', ':']).nth(1)).collect();
    let expected = ["long-task01-trial001", "long-task00-trial000", "long-task00-trial001"];
    assert_eq!(names[..3], expected, "{}", replayed.stdout);
    assert!(replayed.stdout.contains("long-task01-trial002 (episode 5)"), "{}", replayed.stdout);
    assert!(replayed.stdout.ends_with("4 of 4 episodes end as recorded\n"));
    let none = udvla(&["replay", &directory, "6"]);
    assert_eq!(none.code, 2);
    assert!(none.stderr.contains("from 0 to 5"), "{}", none.stderr);
}

#[test]
fn a_run_is_exported_and_compared_with_its_own_files() {
    let (run, _) = two();
    let directory = text(run.directory());
    let folder = tempfile::tempdir().unwrap();
    for (format, name) in [("lerobot", "eval_info.json"), ("vla-eval", "aggregate.json")] {
        let file = text(folder.path().join(name));
        let exported = udvla(&["export", &directory, "--format", format, "-o", &file]);
        assert_eq!(exported.code, 0, "{}", exported.stderr);
        let compared = udvla(&["compare", &directory, &file]);
        assert_eq!(compared.code, 0, "{}", compared.stderr);
        assert!(compared.stdout.contains("+0.0 ["), "{}", compared.stdout);
        assert!(compared.stdout.contains("not known to be equal"), "{}", compared.stdout);
    }
    let csv = udvla(&["export", &directory, "--format", "csv"]);
    assert_eq!(csv.stdout.lines().count(), 7, "{}", csv.stdout);
    let bad = text(folder.path().join("bad.json"));
    std::fs::write(&bad, "{}").unwrap();
    let refused = udvla(&["compare", &directory, &bad]);
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("holds no results"), "{}", refused.stderr);
    let baseline = text(folder.path().join("baseline.json"));
    assert_eq!(udvla(&["gate", &directory, "--save-baseline", &baseline]).code, 0);
    let paired = udvla(&["compare", &baseline, &directory]);
    assert!(paired.stdout.contains("McNemar"), "{}{}", paired.stdout, paired.stderr);
}

#[test]
fn lerobots_file_takes_no_run_with_an_error() {
    let run = Run::fake(&[&TASKS[..], &["--sim-option=poison=long-task00-trial000"]].concat());
    assert_eq!(run.go_with(&["--trials", "1", "--retries", "0"]).code, 4);
    let refused = udvla(&["export", &text(run.directory()), "--format", "lerobot"]);
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("1 error") && refused.stderr.contains("hint: "));
    let other = udvla(&["export", &text(run.directory()), "--format", "vla-eval"]);
    assert!(other.stdout.contains("the fake is poisoned"), "{}{}", other.stdout, other.stderr);
}
