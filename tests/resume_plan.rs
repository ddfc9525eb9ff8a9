//! `resume` starts from the plan that `run.json` stores.

use serde_json::json;
use udvla_sims::protocol::Protocol;

use crate::support::{Run, assert_same_outcomes, change_manifest, keep_records, udvla};

const RANDOM: [&str; 6] = ["--policy", "random", "--suite", "long", "--trials", "3"];

#[test]
fn a_resume_needs_neither_the_command_line_nor_its_folder() {
    let (whole, cut) = (Run::fake(&RANDOM), Run::fake(&RANDOM));
    assert_eq!((whole.go().code, cut.go().code), (0, 0));
    keep_records(&cut.directory(), 4);
    change_manifest(&cut.directory(), |manifest| {
        // As if every flag had been renamed since.
        manifest["command"] = json!(["libero", "--no-such-flag"]);
        manifest["directory"] = json!("/nowhere");
    });
    let ended = cut.resume();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_same_outcomes(&cut.records(), &whole.records());
}

#[test]
fn a_run_of_schema_1_resumes_from_its_command_line() {
    let (whole, cut) = (Run::fake(&RANDOM), Run::fake(&RANDOM));
    assert_eq!((whole.go().code, cut.go().code), (0, 0));
    keep_records(&cut.directory(), 4);
    change_manifest(&cut.directory(), |manifest| {
        manifest["schema"] = json!(1);
        for key in ["resolved", "id", "records"] {
            manifest.as_object_mut().unwrap().remove(key);
        }
    });
    let ended = cut.resume();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_same_outcomes(&cut.records(), &whole.records());
    // It goes on as it began, and says so.
    assert!(ended.stderr.contains("the run carries no checksums (schema 1)"), "{}", ended.stderr);
    assert_eq!((cut.manifest().schema, cut.manifest().id), (2, None));
}

#[test]
fn a_resume_changes_workers_and_refuses_what_the_run_lacks() {
    let run = Run::fake(&RANDOM);
    assert_eq!(run.go().code, 0);
    keep_records(&run.directory(), 2);
    let directory = run.directory().display().to_string();
    let refused = udvla(&["resume", &directory, "--checkpoint", "/tmp"]);
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("neither checkpoint nor device"), "{}", refused.stderr);
    let ended = udvla(&["resume", &directory, "--workers", "3", "--no-progress"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(run.manifest().resolved.unwrap()["execution"]["workers"], 3);
}

#[test]
fn a_plan_of_a_later_version_is_refused_by_name() {
    let run = Run::fake(&RANDOM);
    assert_eq!(run.go().code, 0);
    change_manifest(&run.directory(), |manifest| {
        manifest["resolved"]["policy"] = json!({"kind": "telepathy"});
    });
    let refused = run.resume();
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("telepathy"), "{}", refused.stderr);
}

#[test]
fn a_run_of_a_benchmark_that_is_gone_says_so() {
    let run = Run::fake(&RANDOM);
    assert_eq!(run.go().code, 0);
    change_manifest(&run.directory(), |manifest| {
        let protocol = Protocol { benchmark: "chess".into(), ..Protocol::libero() };
        manifest["protocol_fingerprint"] = json!(protocol.fingerprint());
        manifest["protocol"] = serde_json::to_value(protocol).unwrap();
    });
    let directory = run.directory().display().to_string();
    let refused = udvla(&["resume", &directory, "--data", "/tmp"]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(refused.stderr.contains("no benchmark `chess`"), "{}", refused.stderr);
}

#[cfg(feature = "torch")]
#[test]
fn a_checkpoint_that_moved_is_accepted_and_another_is_not() {
    use crate::support::Checkpoint;

    let checkpoint = Checkpoint::make();
    let (moved, other) = (checkpoint.copy(), Checkpoint::of_target("current"));
    let words = ["--sim-option", "side=256", "--suite", "object", "--task", "7", "--trials", "2"];
    let model = ["--denoise-steps", "1", "--checkpoint", &checkpoint.word()];
    let run = Run::fake(&[&words[..], &model].concat());
    assert_eq!(run.go().code, 0);
    keep_records(&run.directory(), 1);
    drop(checkpoint);
    let directory = run.directory().display().to_string();
    let resume = |path: &str| udvla(&["resume", &directory, "--checkpoint", path, "--no-progress"]);
    assert_eq!(run.resume().code, 2, "the checkpoint is gone");
    let refused = resume(&other.word());
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("subject.checkpoint"), "{}", refused.stderr);
    let ended = resume(&moved.word());
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(run.records().len(), 2);
    // Devices are the user's to choose; the change is noted.
    keep_records(&run.directory(), 1);
    let words = ["resume", &directory, "--checkpoint", &moved.word(), "--device", "cpu,cpu"];
    let ended = udvla(&[&words[..], &["--no-progress"]].concat());
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stderr.contains("device `cpu` before, `cpu,cpu` now"), "{}", ended.stderr);
    assert_eq!(run.manifest().setting.device.as_deref(), Some("cpu,cpu"));
}
