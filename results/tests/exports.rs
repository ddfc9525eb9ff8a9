//! Files for other tools, their results read back, and comparisons with them.

use serde_json::Value;
use udvla_results::compare::imports::{ImportError, ImportedOutcome, Outcomes};
use udvla_results::compare::rates::compare_rates;
use udvla_results::out::exports::{ExportError, episodes_csv, lerobot_json, vla_eval_json};
use udvla_results::out::render::compare_rates_markdown;
use udvla_results::run::read::Run;

use crate::build;

fn long(successes: u32) -> Run {
    let mut run = build::libero_long(10);
    build::spread(&mut run, "long", successes);
    run
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn successes(outcomes: &Outcomes, suite: &str) -> (usize, usize) {
    let all = &outcomes.suites[suite];
    let solved = |one: &&ImportedOutcome| matches!(one, ImportedOutcome::Ran { completed, stages } if completed >= stages);
    (all.iter().filter(solved).count(), all.len())
}

#[test]
fn eval_info_has_lerobots_keys_and_the_runs_counts() {
    let run = build::libero_as_published();
    let text = lerobot_json(&run).unwrap();
    let file = parsed(&text);
    assert_eq!(file["per_task"].as_array().unwrap().len(), 40);
    let last = &file["per_task"][39];
    assert_eq!((&last["task_group"], &last["task_id"]), (&"libero_10".into(), &9.into()));
    assert_eq!(last["metrics"]["successes"].as_array().unwrap().len(), 50);
    assert_eq!(file["per_group"]["libero_10"]["pc_success"], 95.2);
    assert_eq!(file["overall"]["n_episodes"], 2000);
    assert!((file["overall"]["pc_success"].as_f64().unwrap() - 96.1).abs() < 1e-9);
    assert_eq!(file["overall"]["n_success"], 1922);
    let solved = last["metrics"]["successes"].as_array().unwrap().iter();
    assert_eq!(last["n_success"], solved.filter(|&success| success == true).count());
    let ends = &file["per_group"]["libero_10"]["pc_success_ci95"];
    let ends = [&ends[0], &ends[1]].map(|end| (end.as_f64().unwrap() * 10.0).round());
    assert_eq!(ends, [930.0, 968.0], "Wilson, in percent");
    let read = Outcomes::from_json(&text).unwrap();
    assert_eq!(successes(&read, "goal"), (471, 500));
    assert_eq!(successes(&read, "long"), (476, 500));
}

#[test]
fn a_chain_is_a_share_of_its_stages_for_lerobot() {
    let file = parsed(&lerobot_json(&build::calvin_as_published()).unwrap());
    let metrics = &file["per_task"][0]["metrics"];
    assert_eq!(
        (&metrics["sum_rewards"][4], &metrics["max_rewards"][4]),
        (&1.0.into(), &0.2.into())
    );
    assert_eq!(metrics["successes"][4], false);
    assert!((file["overall"]["avg_sum_reward"].as_f64().unwrap() - 4.64).abs() < 1e-9);
}

#[test]
fn lerobots_lists_take_no_run_with_errors_or_gaps() {
    let mut run = long(476);
    build::fail(&mut run, "long", 0, 3);
    build::forget(&mut run, "long", 1, 3);
    let error = lerobot_json(&run).unwrap_err();
    assert!(
        matches!(&error, ExportError::Partial { excluded, .. } if excluded == "1 error, 1 missing")
    );
    assert!(error.hint().is_some());
    run.records.clear();
    assert!(matches!(vla_eval_json(&run), Err(ExportError::Empty)));
}

#[test]
fn the_aggregate_names_errors_and_is_read_back_without_them() {
    let mut run = long(476);
    build::fail(&mut run, "long", 0, 3);
    build::forget(&mut run, "long", 1, 3);
    let text = vla_eval_json(&run).unwrap();
    let file = parsed(&text);
    assert_eq!((&file["num_errors"], &file["partial"]), (&1.into(), &true.into()));
    assert_eq!(file["tasks"][0]["num_errors"], 1);
    assert_eq!(file["tasks"][0]["episodes"][3]["failure_reason"], "lost");
    assert_eq!(file["metric_keys"]["success"], "mean");
    let read = Outcomes::from_json(&text).unwrap();
    let unknown =
        read.suites["long"].iter().filter(|one| **one == ImportedOutcome::Unknown).count();
    assert_eq!((read.suites["long"].len(), unknown), (499, 1));
    assert!(read.notes.iter().any(|note| note.contains("1 episodes that did not run")), "{read:?}");
}

#[test]
fn chains_go_through_the_aggregate_with_their_stages() {
    let run = build::calvin_as_published();
    let text = vla_eval_json(&run).unwrap();
    let file = parsed(&text);
    assert_eq!(file["mean_completed_subtasks"], 4.64);
    assert_eq!(file["tasks"][17]["task"], "seq_0017");
    let read = Outcomes::from_json(&text).unwrap();
    let found = compare_rates(&Outcomes::of(&run), &read).unwrap();
    let length = found.parts[0].length.unwrap();
    assert!(length.value.abs() < 1e-12 && length.low < 0.0 && length.high > 0.0, "{length:?}");
}

#[test]
fn the_csv_file_has_a_line_for_every_planned_episode() {
    let mut run = long(476);
    build::fail(&mut run, "long", 0, 3);
    build::forget(&mut run, "long", 1, 3);
    let text = episodes_csv(&run).unwrap();
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let lines: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(lines.len(), 500);
    assert_eq!((&lines[3][5], &lines[3][6], &lines[53][5]), ("error", "", "missing"));
    let solved = lines.iter().filter(|line| &line[6] == "1").count();
    let ran = lines.iter().filter(|line| &line[5] == "ok").count();
    let expected = run.records.values().filter(|record| record.success() == Some(true)).count();
    assert_eq!((solved, ran), (expected, 498));
}

#[test]
fn files_of_others_are_read_as_they_write_them() {
    let lerobot = r#"{"per_task": [{"task_group": "libero_10", "task_id": 0, "metrics":
        {"sum_rewards": [1.0, NaN], "max_rewards": [1.0, 0.0], "successes": [true, false, NaN]}}],
        "per_group": {}, "overall": {"pc_success": NaN, "note": "NaN \" Infinity"}}"#;
    let read = Outcomes::from_json(lerobot).unwrap();
    assert_eq!(read.suites["long"].len(), 3);
    assert_eq!(read.suites["long"][2], ImportedOutcome::Unknown);
    let vla_eval = r#"{"benchmark": "LIBEROBenchmark", "mode": "sync",
        "config": {"params": {"suite": "libero_spatial", "seed": 7}}, "mean_success": 0.5,
        "tasks": [{"task": "pick", "num_episodes": 2, "avg_steps": 3.0, "episodes": [
            {"episode_id": 0, "metrics": {"success": true}, "steps": 3, "elapsed_sec": 1.0},
            {"episode_id": 1, "metrics": {}, "failure_reason": "env_step: died"}]}]}"#;
    let read = Outcomes::from_json(vla_eval).unwrap();
    assert_eq!(successes(&read, "spatial"), (1, 2));
    for (text, wanted) in [
        ("{", "not JSON"),
        ("[1]", "neither"),
        (r#"{"per_episode": []}"#, "lerobot 0.3"),
        (r#"{"per_task": []}"#, "no episodes"),
        (
            r#"{"per_task": [{"task_group": "a", "task_id": 0, "metrics": {"successes": [2]}}]}"#,
            "a/0, episode 0: `2`",
        ),
    ] {
        let error = Outcomes::from_json(text).unwrap_err();
        assert!(error.to_string().contains(wanted), "{text}: {error}");
    }
    let twice = lerobot.replace("[{\"task_group\"", "[{\"task_group\": \"libero_10\", \"task_id\": 0, \"metrics\": {\"successes\": []}}, {\"task_group\"");
    assert!(matches!(Outcomes::from_json(&twice), Err(ImportError::Doubled(_))));
}

#[test]
fn a_comparison_with_a_file_counts_suites_and_warns_of_the_protocol() {
    let (a, b) = (build::libero_as_published(), long(430));
    let file = Outcomes::from_json(&lerobot_json(&b).unwrap()).unwrap();
    let found = compare_rates(&Outcomes::of(&a), &file).unwrap();
    assert_eq!(found.parts.len(), 1);
    let part = &found.parts[0];
    assert_eq!((part.name.as_str(), part.a.successes, part.b.successes), ("long", 476, 430));
    let test = part.test.as_ref().unwrap();
    assert!(part.difference.high < 0.0 && test.name == "Fisher" && test.p < 1e-5, "{part:?}");
    let page = compare_rates_markdown(&found, ["a", "b.json"]);
    for wanted in ["protocols are not known to be equal", "only A has goal, object, spatial"] {
        assert!(page.contains(wanted), "{page}");
    }
    let whole = Outcomes::from_json(&vla_eval_json(&a).unwrap()).unwrap();
    let found = compare_rates(&Outcomes::of(&a), &whole).unwrap();
    assert_eq!(found.parts.last().unwrap().name, "average");
    let calvin = Outcomes::of(&build::calvin_as_published());
    assert!(compare_rates(&calvin, &whole).unwrap_err().to_string().contains("no suite in common"));
}
