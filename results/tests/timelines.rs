//! The data that the page shows of an episode besides its record.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;
use udvla_results::out::report::{self_contained_page, write_all};
use udvla_results::run::damage::Damage;
use udvla_results::run::read::Run;
use udvla_results::run::timeline::{Instruction, Timeline};
use udvla_sims::episode::EpisodeKey;

use crate::build;

pub const EVIL: &str = "</script><img src=x onerror=alert(1)> & \"quoted\"";

/// A stored chain of five sub-tasks of which two were solved, with images and remarks.
pub fn chain_with_evidence() -> (TempDir, EpisodeKey) {
    let dir = TempDir::new().unwrap();
    let mut run = build::calvin_of_lengths(&[2]);
    let key = run.records.keys().next().unwrap().clone();
    for record in run.records.values_mut() {
        record.steps = 30;
        record.calls = 4;
        record.actions = Some(format!("actions/{}.safetensors", record.key()));
        let told = |call, stage, text: &str| Instruction { call, stage, text: text.into() };
        let timeline = Timeline {
            action: ["x", "y", "z", "rx", "ry", "rz", "gripper"].map(String::from).to_vec(),
            cameras: vec!["static".into()],
            control_hz: 30.0,
            calls: vec![0, 10, 13, 23],
            instructions: vec![told(0, 0, "open it"), told(2, 1, EVIL), told(3, 2, "push it")],
            futures: Some(build::future_grid()),
        };
        build::store_actions(dir.path(), record, 7, &timeline);
        build::store_future(dir.path(), &record.key(), 0, 3);
        build::store_future(dir.path(), &record.key(), 1, 2);
    }
    fs::create_dir(dir.path().join("logs")).unwrap();
    let log = format!(
        "2026-11-24T01:02:02Z {key} call 1: early: of the attempt before\n\
         2026-11-24T01:02:09Z {key} call 1: odd: {EVIL}\n\
         2026-11-24T01:02:09Z other-task00-trial000 call 1: odd: of another episode\n"
    );
    fs::write(dir.path().join("logs/policy.log"), log).unwrap();
    build::store(&run, dir.path(), &build::lines(&run));
    (dir, key)
}

fn details(dir: &Path, file: &str) -> Value {
    let text = fs::read_to_string(dir.join("timelines").join(file)).unwrap();
    assert!(!text.contains('<'), "{text}");
    let json = text.strip_prefix("udvlaTimelines(").and_then(|rest| rest.strip_suffix(");\n"));
    serde_json::from_str(json.unwrap()).unwrap()
}

#[test]
fn a_report_keeps_what_was_told_predicted_and_remarked_call_by_call() {
    let (dir, key) = chain_with_evidence();
    write_all(dir.path()).unwrap();
    let all = details(dir.path(), "abcd-d-task00-trial000.js");
    let episode = &all[key.to_string()];
    assert_eq!(episode["width"], 7);
    assert_eq!(episode["timeline"]["calls"], serde_json::json!([0, 10, 13, 23]));
    assert_eq!(episode["timeline"]["instructions"][1]["text"], EVIL);
    let remarks = episode["remarks"].as_array().unwrap();
    assert_eq!(remarks.len(), 1, "{remarks:?}");
    assert_eq!(remarks[0]["text"], EVIL);
    assert_eq!(episode["futures"]["1"], format!("futures/{key}/call-001.png"));
    let outcomes: Vec<&str> = episode["chain"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| task["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(outcomes, ["solved", "solved", "failed", "not reached", "not reached"]);
    assert!(!episode["chain"][0]["sentence"].as_str().unwrap().is_empty());
}

#[test]
fn actions_that_cannot_be_read_are_named_with_the_reason() {
    let (dir, key) = chain_with_evidence();
    let file = dir.path().join(format!("actions/{key}.safetensors"));
    fs::write(&file, "not actions").unwrap();
    write_all(dir.path()).unwrap();
    let all = details(dir.path(), "abcd-d-task00-trial000.js");
    let problem = all[key.to_string()]["problem"].as_str().unwrap();
    assert!(problem.contains("is not a file of actions"), "{problem}");
    fs::remove_file(&file).unwrap();
    write_all(dir.path()).unwrap();
    let all = details(dir.path(), "abcd-d-task00-trial000.js");
    let problem = all[key.to_string()]["problem"].as_str().unwrap();
    assert!(problem.starts_with("cannot read `actions/"), "{problem}");
}

#[test]
fn a_file_of_actions_without_a_timeline_is_shown_without_calls() {
    let (dir, key) = chain_with_evidence();
    let run = Run::read(dir.path()).unwrap();
    let record = run.records.values().next().unwrap();
    let bytes: Vec<u8> = vec![0; record.steps as usize * 7 * 4];
    let view = safetensors::tensor::TensorView::new(
        safetensors::Dtype::F32,
        vec![record.steps as usize, 7],
        &bytes,
    );
    let old = safetensors::serialize([("actions", view.unwrap())], None).unwrap();
    fs::write(dir.path().join(format!("actions/{key}.safetensors")), old).unwrap();
    write_all(dir.path()).unwrap();
    let all = details(dir.path(), "abcd-d-task00-trial000.js");
    let episode = &all[key.to_string()];
    assert_eq!((&episode["width"], episode.get("timeline")), (&7.into(), None));
    assert_eq!(episode.get("problem"), None);
}

#[test]
fn one_page_can_hold_everything_that_it_shows() {
    let (dir, key) = chain_with_evidence();
    let page = self_contained_page(dir.path(), Damage::Refuse).unwrap();
    assert!(!page.contains("<img"));
    let (_, json) = page.split_once("type=\"application/json\">").unwrap();
    let (json, _) = json.split_once("</script>").unwrap();
    let all: Value = serde_json::from_str(json).unwrap();
    let image = all[key.to_string()]["futures"]["0"].as_str().unwrap();
    assert!(image.starts_with("data:image/png;base64,iVBOR"), "{image}");
}
