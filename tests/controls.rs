//! Runs that withhold something from their policy, on the fake simulator.

use serde_json::Value;
use udvla_results::run::timeline::Timeline;
use udvla_sims::instructions::Instructions;
use udvla_sims::protocol::Protocol;

use crate::support::{Run, assert_same_outcomes, keep_records, udvla};

const GOAL: [&str; 5] = ["--suite", "goal", "--trials", "3", "--workers"];

/// A run of LIBERO goal on the fake simulator that ended well.
fn goal(words: &[&str]) -> Run {
    let run = Run::fake(&[&GOAL[..], &["2"], words].concat());
    let ended = run.go();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    run
}

/// What the policy was told in an episode, per stage, from the file of its actions.
fn told(run: &Run, actions: &str) -> Timeline {
    let bytes = std::fs::read(run.directory().join(actions)).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    serde_json::from_str(header["__metadata__"]["timeline"].as_str().unwrap()).unwrap()
}

/// Every text that the policy was told in a run.
fn texts(run: &Run) -> Vec<String> {
    let records = run.records();
    let timelines = records.values().map(|record| told(run, record.actions.as_ref().unwrap()));
    timelines.flat_map(|timeline| timeline.instructions).map(|told| told.text).collect()
}

fn successes(run: &Run) -> usize {
    run.records().values().filter(|record| record.success() == Some(true)).count()
}

#[test]
fn a_policy_that_does_not_read_plays_the_same_whatever_it_is_told() {
    for policy in ["expert", "random"] {
        let normal = goal(&["--policy", policy]);
        for control in ["blank", "scrambled"] {
            let controlled = goal(&["--policy", policy, "--instruction", control]);
            assert_same_outcomes(&normal.records(), &controlled.records());
        }
        for control in ["frozen", "other-trial"] {
            let controlled = goal(&["--policy", policy, "--observation", control]);
            assert_same_outcomes(&normal.records(), &controlled.records());
        }
    }
}

#[test]
fn a_policy_that_reads_its_instruction_fails_without_it() {
    let normal = goal(&["--policy", "reader"]);
    assert_same_outcomes(&normal.records(), &goal(&["--policy", "expert"]).records());
    assert!(successes(&normal) > 15, "{}", successes(&normal));
    for control in ["blank", "scrambled"] {
        let controlled = goal(&["--policy", "reader", "--instruction", control]);
        assert_eq!(successes(&controlled), 0, "{control}");
    }
    let another = ["--policy", "reader", "--instruction", "3", "--task", "0-2,4-9"];
    assert_eq!(successes(&goal(&another)), 0);
}

#[test]
fn the_very_text_that_the_policy_was_given_is_stored() {
    let protocol = Protocol::libero();
    let tasks = &protocol.suite("goal").unwrap().tasks;
    let normal = texts(&goal(&["--policy", "idle"]));
    assert!(normal.len() == 30 && normal.iter().all(|text| tasks.contains(text)), "{normal:?}");
    let blank = texts(&goal(&["--policy", "idle", "--instruction", "blank"]));
    assert_eq!(blank, vec![""; 30]);
    let other = goal(&["--policy", "idle", "--instruction", "3", "--task", "0,1"]);
    assert_eq!(texts(&other), vec![tasks[3].clone(); 6]);
    let scrambled = goal(&["--policy", "idle", "--instruction", "scrambled"]);
    assert!(texts(&scrambled).iter().all(|text| !tasks.contains(text)));
    assert_eq!(texts(&scrambled).len(), 30);
}

#[test]
fn every_stage_of_a_chain_has_the_text_of_the_control() {
    let calvin = |words: &[&str]| {
        let fake = env!("CARGO_BIN_EXE_udvla-sim-fake");
        let common = ["calvin", "--simulator", fake, "--no-progress", "--rollouts", "8"];
        let run = Run::new(&[&common[..], &["--policy", "expert"], words].concat());
        assert_eq!(run.go().code, 0);
        run
    };
    let instructions = Instructions::new(&Protocol::calvin());
    for (words, is_own) in [(&[][..], true), (&["--instruction", "scrambled"][..], false)] {
        let run = calvin(words);
        let mut stages = 0;
        for (key, record) in run.records() {
            for told in told(&run, record.actions.as_ref().unwrap()).instructions {
                let own = instructions.of_episode(&key, told.stage).unwrap();
                assert_eq!(own == told.text, is_own, "{key} {}: {}", told.stage, told.text);
                stages += 1;
            }
        }
        assert!(stages > 10, "{stages}");
    }
    let texts = texts(&calvin(&["--instruction", "5"]));
    let fifth = instructions.numbered("abcd-d", 5).unwrap();
    assert!(texts.len() > 10 && texts.iter().all(|text| text == fifth), "{texts:?}");
}

#[test]
fn a_control_is_part_of_the_subject_and_of_nothing_without_one() {
    let normal = goal(&["--policy", "idle"]);
    let text = std::fs::read_to_string(normal.directory().join("run.json")).unwrap();
    let manifest: Value = serde_json::from_str(&text).unwrap();
    assert!(manifest["resolved"].get("controls").is_none());
    assert!(manifest["subject"].get("instruction").is_none());

    let words = ["--policy", "idle", "--instruction", "blank", "--observation", "frozen"];
    let run = goal(&words);
    assert_eq!(
        run.manifest().subject.control().as_deref(),
        Some("instruction blank, observation frozen")
    );
    let whole = run.records();
    keep_records(&run.directory(), 4);
    assert_eq!(run.resume().code, 0);
    assert_same_outcomes(&whole, &run.records());
    assert!(texts(&run).iter().all(String::is_empty));

    let directory = normal.directory().display().to_string();
    let again =
        Run::fake(&[&GOAL[..], &["2", "--policy", "idle", "--instruction", "blank"]].concat());
    let other = again.go_with(&["--out", &directory]);
    assert_eq!(other.code, 2, "{}", other.stderr);
    let compared = udvla(&["compare", &directory, &run.directory().display().to_string()]);
    assert_eq!(compared.code, 0, "{}", compared.stderr);
    for field in ["subject.instruction (none, other `blank`)", "subject.observation"] {
        assert!(compared.stdout.contains(field), "no `{field}` in {}", compared.stdout);
    }
    let tables = udvla(&["tables", &directory, &run.directory().display().to_string()]).stdout;
    let words = tables.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("control: instruction blank"), "{tables}");
}

#[test]
fn a_control_that_is_impossible_is_refused() {
    for (words, expected) in [
        (&["libero", "--instruction", "10", "--task", "0"][..], "no instruction 10"),
        (&["libero", "--instruction", "3"], "instruction 3 is task 3's own"),
        (&["libero", "--instruction", "jumbled"], "blank, scrambled or the number"),
        (&["libero", "--observation", "none"], "other-trial"),
        (&["calvin", "--instruction", "34"], "they go from 0 to 33"),
        (&["calvin", "--observation", "other-trial", "--reset-mode", "reference"], "--reset-mode"),
    ] {
        let fake = env!("CARGO_BIN_EXE_udvla-sim-fake");
        let words = [words, &["--policy", "idle", "--simulator", fake]].concat();
        let ended = Run::new(&words).go();
        assert_eq!(ended.code, 2, "{words:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(expected), "no `{expected}` in {}", ended.stderr);
    }
}
