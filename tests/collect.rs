//! `collect` on the fake simulator.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::SafeTensors;
use serde_json::Value;

use crate::support::{Ended, Run};

/// `collect libero` on the fake simulator, 2 tasks.
fn collection(words: &[&str]) -> Run {
    let fake = env!("CARGO_BIN_EXE_udvla-sim-fake");
    let fixed = ["collect", "libero", "--simulator", fake, "--no-progress", "--suite", "object"];
    Run::new(&[&fixed, ["--task", "0,7", "--sizes", "8,16"].as_slice(), words].concat())
}

/// The files of a collection by name.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(directory.join("episodes")).expect("a folder").flatten();
    let named = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    named
        .map(|name| (name.clone(), std::fs::read(directory.join("episodes").join(name)).unwrap()))
        .collect()
}

fn manifest(directory: &Path) -> Value {
    let text = std::fs::read(directory.join("demonstrations.json")).expect("a description");
    serde_json::from_slice(&text).expect("JSON")
}

#[track_caller]
fn complete(ended: &Ended) {
    assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
}

#[test]
fn files_are_the_same_with_any_number_of_workers_and_say_what_they_hold() {
    let (one, three) = (collection(&["--episodes", "4"]), collection(&["--episodes", "4"]));
    complete(&one.go_with(&["--workers", "1"]));
    complete(&three.go_with(&["--workers", "3"]));
    let found = files(&one.directory());
    assert_eq!(found.len(), 8);
    assert_eq!(found, files(&three.directory()));
    let described = manifest(&one.directory());
    assert_eq!(
        (described["complete"].as_bool(), described["episodes"].as_u64()),
        (Some(true), Some(4))
    );
    let bytes = &found["object-task07-0003.safetensors"];
    let file = SafeTensors::deserialize(bytes).unwrap();
    let shape = |name: &str| file.tensor(name).unwrap().shape().to_vec();
    let (observations, steps) = (shape("steps")[0], shape("labels")[0]);
    assert_eq!(observations, 1 + steps.div_ceil(5));
    assert_eq!((shape("executed"), shape("noisy")), (vec![steps, 7], vec![steps]));
    assert_eq!(
        (shape("view0"), shape("view1")),
        (vec![observations, 8, 8, 3], vec![observations, 16, 16, 3])
    );
    let (_, header) = SafeTensors::read_metadata(bytes).unwrap();
    let metadata = header.metadata().clone().unwrap();
    assert_eq!((metadata["suite"].as_str(), metadata["trial"].as_str()), ("object", "3"));
    let files = described["files"].as_array().unwrap();
    let last = files.iter().find(|file| file["name"] == "episodes/object-task07-0003.safetensors");
    assert_eq!(last.unwrap()["success"].as_bool(), Some(metadata["success"] == "true"));
}

#[test]
fn missing_files_are_recorded_again_and_more_episodes_extend() {
    let run = collection(&["--episodes", "3"]);
    complete(&run.go());
    let first = files(&run.directory());
    let lost = run.directory().join("episodes/object-task00-0001.safetensors");
    std::fs::write(&lost, "half").unwrap();
    complete(&run.go());
    assert_eq!(files(&run.directory()), first);
    let fake = env!("CARGO_BIN_EXE_udvla-sim-fake");
    let directory = run.directory().display().to_string();
    let words = ["collect", "libero", "--simulator", fake, "--no-progress", "--suite", "object"];
    let words =
        [&words, ["--task", "0,7", "--sizes", "8,16", "--out", &directory].as_slice()].concat();
    complete(&crate::support::udvla(&[&words, ["--episodes", "5"].as_slice()].concat()));
    let extended = files(&run.directory());
    assert_eq!(extended.len(), 10);
    assert!(first.iter().all(|(name, bytes)| extended[name] == *bytes));
    for (flag, value) in [("--seed", "1"), ("--every", "2"), ("--noise-share", "0.5")] {
        let ended = crate::support::udvla(&[&words, [flag, value].as_slice()].concat());
        assert_eq!(ended.code, 2, "{}", ended.stderr);
        assert!(ended.stderr.contains("holds demonstrations with another"), "{}", ended.stderr);
    }
    assert_eq!(files(&run.directory()), extended);
}

#[test]
fn a_simulator_that_fails_is_replaced_and_an_episode_that_cannot_be_recorded_is_reported() {
    let crash = ["--sim-option", "crash=object-task00-trial001"];
    let run = collection(&[&["--episodes", "2", "--workers", "1"], crash.as_slice()].concat());
    complete(&run.go());
    let poison = ["--sim-option", "poison=object-task00-trial001"];
    let run = collection(&[&["--episodes", "2", "--workers", "1"], poison.as_slice()].concat());
    let ended = run.go();
    assert_eq!(ended.code, 4, "{}", ended.stderr);
    assert!(
        ended.stderr.contains("episode object-task00-trial001 could not be"),
        "{}",
        ended.stderr
    );
    assert_eq!(files(&run.directory()).len(), 3);
    assert_eq!(manifest(&run.directory())["complete"], false);
}

#[test]
fn a_policy_plays_the_beginning_and_its_steps_are_marked() {
    let run = collection(&["--episodes", "4", "--policy", "random", "--noise-share", "0"]);
    complete(&run.go());
    assert_eq!(manifest(&run.directory())["policy"]["policy"], "random");
    let mut corrected = 0;
    for bytes in files(&run.directory()).values() {
        let file = SafeTensors::deserialize(bytes).unwrap();
        let expert = file.tensor("expert").unwrap().data().to_vec();
        let steps = expert.iter().filter(|value| **value == 0).count();
        assert!(expert.is_sorted() && (1..=90).contains(&steps), "{expert:?}");
        let whole = steps == expert.len();
        assert!(whole || steps.is_multiple_of(10), "{steps}");
        corrected += usize::from(!whole);
        assert_eq!(file.tensor("labels").unwrap().data(), file.tensor("executed").unwrap().data());
    }
    assert!(corrected > 0);
}

#[test]
fn a_second_process_is_kept_out_of_the_folder() {
    let run = collection(&["--episodes", "2", "--sim-option", "step_ms=20"]);
    let mut first = run.start().unwrap();
    crate::support::wait_for(|| run.directory().join("demonstrations.json").exists(), "a start");
    let second = run.go();
    assert_eq!(second.code, 2, "{}", second.stderr);
    assert!(second.stderr.contains("in use"), "{}", second.stderr);
    assert!(first.wait().unwrap().success());
    assert_eq!(files(&run.directory()).len(), 4);
}

#[test]
fn a_size_per_camera_is_needed() {
    let fake = env!("CARGO_BIN_EXE_udvla-sim-fake");
    let run = Run::new(&["collect", "libero", "--simulator", fake, "--sizes", "48"]);
    let ended = run.go();
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("agentview, eye_in_hand"), "{}", ended.stderr);
    assert!(!run.directory().exists());
}
