//! Reading run directories: what is tolerated, what is refused and in which words.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use udvla_results::out::render::{summary_csv, tasks_csv};
use udvla_results::run::read::{ReadError, Run};
use udvla_results::run::record::Status;
use udvla_results::run::seal::manifest_text;

use crate::build;

/// A stored run of 3 tasks and 50 trials, and its lines.
fn stored() -> (TempDir, Vec<String>) {
    let mut run = build::libero_long(3);
    for task in 0..3 {
        build::task_counts(&mut run, "long", task, 40);
    }
    let (dir, lines) = (TempDir::new().unwrap(), build::lines(&run));
    build::store(&run, dir.path(), &lines);
    (dir, lines)
}

/// A stored run, and its records without their seals.
fn unsealed() -> (TempDir, Vec<String>) {
    let (dir, _) = stored();
    let run = Run::read(dir.path()).unwrap();
    let records = run.records.values().map(|record| serde_json::to_string(record).unwrap());
    (dir, records.collect())
}

fn write_lines(dir: &Path, lines: &[String]) {
    fs::write(dir.join("episodes.jsonl"), lines.join("\n") + "\n").unwrap();
}

fn edit(dir: &Path, file: &str, change: impl Fn(String) -> String) {
    let path = dir.join(file);
    fs::write(&path, change(fs::read_to_string(&path).unwrap())).unwrap();
}

fn refusal(dir: &Path) -> (ReadError, String) {
    let error = Run::read(dir).unwrap_err();
    let text = error.to_string().replace(&dir.display().to_string(), "DIR");
    let first = text.chars().next().unwrap();
    assert!(!first.is_uppercase() && !text.ends_with('.'), "{text}");
    (error, text)
}

#[test]
fn the_last_record_of_an_episode_counts() {
    let (dir, mut records) = unsealed();
    let again = build::record("long", 1, 7, 0, 1);
    records.push(serde_json::to_string(&again).unwrap());
    write_lines(dir.path(), &build::sealed(&records));
    let run = Run::read(dir.path()).unwrap();
    assert_eq!(run.records.len(), 150);
    assert_eq!(run.records[&again.key()].stages_completed, 0);
}

#[test]
fn a_torn_last_line_is_left_out_and_reported() {
    let (dir, lines) = stored();
    let last = lines.last().unwrap();
    // However much of the line was written, with or without half a character.
    for cut in [1, 10, last.len() - 1, last.len()] {
        let mut bytes = (lines[..149].join("\n") + "\n").into_bytes();
        bytes.extend(&last.as_bytes()[..cut]);
        if cut == 10 {
            bytes.push(0xe2);
        }
        fs::write(dir.path().join("episodes.jsonl"), bytes).unwrap();
        let run = Run::read(dir.path()).unwrap();
        assert_eq!((run.records.len(), run.torn_line), (149, Some(150)), "cut after {cut}");
    }
}

#[test]
fn a_broken_line_is_named_in_a_run_of_any_schema() {
    let (dir, mut records) = unsealed();
    records[6] = "{\"suite\":\"long\"}".into();
    write_lines(dir.path(), &build::sealed(&records));
    let (error, text) = refusal(dir.path());
    let words = "the run in `DIR` is damaged: line 7 of `episodes.jsonl` is not a record (";
    assert!(text.starts_with(words), "{text}");
    assert!(error.hint().is_some_and(|hint| hint.contains("--accept-damaged")));
    // Before checksums.
    build::store_schema_2(dir.path(), &records);
    let text = refusal(dir.path()).1;
    assert!(text.starts_with(words), "{text}");
}

#[test]
fn a_record_that_the_plan_does_not_have_is_refused() {
    for (suite, task, trial) in [("goal", 0, 0), ("long", 3, 0), ("long", 0, 50)] {
        let (dir, mut records) = unsealed();
        let foreign = build::record(suite, task, trial, 1, 1);
        records.push(serde_json::to_string(&foreign).unwrap());
        write_lines(dir.path(), &build::sealed(&records));
        let (error, text) = refusal(dir.path());
        let words = format!("line 151 of `episodes.jsonl` is not in the plan: {}", foreign.key());
        assert_eq!(text, format!("the run in `DIR` is damaged: {words}"));
        assert!(error.hint().is_some());
    }
}

#[test]
fn a_record_with_other_stages_is_refused() {
    for (completed, stages) in [(2, 5), (2, 1)] {
        let (dir, mut records) = unsealed();
        let other = build::record("long", 0, 0, completed, stages);
        records.push(serde_json::to_string(&other).unwrap());
        write_lines(dir.path(), &build::sealed(&records));
        let text = refusal(dir.path()).1;
        let words = format!("has {completed} of {stages} stages, its task has 1");
        assert_eq!(
            text,
            format!("the run in `DIR` is damaged: line 151 of `episodes.jsonl` {words}")
        );
    }
}

#[test]
fn a_directory_without_its_files_is_no_run() {
    let (dir, _) = stored();
    fs::remove_file(dir.path().join("episodes.jsonl")).unwrap();
    let (error, text) = refusal(dir.path());
    assert_eq!(text, "`DIR` is not a run directory: it has no `episodes.jsonl`");
    assert!(error.hint().is_some());
    let nowhere = refusal(&dir.path().join("nowhere")).1;
    assert_eq!(nowhere, "`DIR` is not a run directory: it has no `run.json`");
    let file = dir.path().join("run.json");
    assert!(matches!(Run::read(file), Err(ReadError::Missing { .. })));
}

#[test]
fn another_schema_is_refused_before_anything_else_is_read() {
    let (dir, _) = stored();
    fs::write(dir.path().join("run.json"), "{\"schema\": 4, \"all\": \"is new\"}").unwrap();
    assert_eq!(
        refusal(dir.path()).1,
        "`DIR/run.json` has schema 4, this build reads schemas 1 to 3"
    );
    fs::write(dir.path().join("run.json"), "{}").unwrap();
    assert_eq!(
        refusal(dir.path()).1,
        "`DIR/run.json` has schema none, this build reads schemas 1 to 3"
    );
    for text in ["{\"schema\": 1}", "not json", "[]", ""] {
        fs::write(dir.path().join("run.json"), text).unwrap();
        assert!(Run::read(dir.path()).is_err(), "{text}");
    }
}

#[test]
fn an_edited_protocol_or_plan_is_refused() {
    let (dir, _) = stored();
    edit(dir.path(), "run.json", |text| text.replace("\"control_hz\": 20", "\"control_hz\": 10"));
    assert!(matches!(refusal(dir.path()).0, ReadError::Fingerprint { .. }));

    let mut run = build::libero_long(2);
    run.manifest.plan[1].task = 0;
    build::store(&run, dir.path(), &[]);
    let words = "`DIR/run.json` has a task that is";
    assert_eq!(refusal(dir.path()).1, format!("the plan in {words} listed twice: long, task 0"));
    run.manifest.plan[1].task = 2;
    build::store(&run, dir.path(), &[]);
    let text = refusal(dir.path()).1;
    assert_eq!(text, format!("the plan in {words} not in the protocol: long, task 2"));
}

#[test]
fn a_protocol_with_fractions_keeps_its_fingerprint_on_disk() {
    let dir = TempDir::new().unwrap();
    let mut run = build::libero_long(1);
    for step in 1..400_u32 {
        let value = 0.1 * f64::from(step) / 7.3;
        run.manifest.protocol.environment.set(&format!("number_{step}"), value);
    }
    run.manifest.protocol_fingerprint = run.manifest.protocol.fingerprint();
    build::store(&run, dir.path(), &[]);
    assert_eq!(Run::read(dir.path()).unwrap(), run);
}

#[test]
fn the_stored_sample_of_schema_1_stays_readable() {
    let sample = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/samples/schema-1");
    let run = Run::read(sample).unwrap();
    assert_eq!(run.manifest.schema, 1);
    assert_eq!(run.torn_line, None);
    let outcomes: Vec<_> = run.records.values().map(|record| record.success()).collect();
    assert_eq!(outcomes, [Some(true), Some(false), None, Some(true)]);
    let errors: Vec<_> = run.records.values().filter(|r| r.status == Status::Error).collect();
    assert_eq!(errors[0].error_kind.as_deref(), Some("timeout"));
}

#[test]
fn the_stored_sample_of_schema_2_is_typed_and_survives_being_written() {
    let sample = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/samples/schema-2");
    let run = Run::read(&sample).unwrap();
    let subject = &run.manifest.subject;
    assert_eq!((subject.denoise_steps, subject.temperature), (Some(72), Some(0.25)));
    assert_eq!(run.manifest.setting.other["mujoco"], "3.2.3");
    assert_eq!(run.manifest.resolved.as_ref().unwrap()["trials"], 2);
    assert_eq!(run.manifest.stopped_early.as_ref().unwrap().episodes, 3);
    let stored: serde_json::Value =
        serde_json::from_slice(&fs::read(sample.join("run.json")).unwrap()).unwrap();
    assert_eq!(serde_json::to_value(&run.manifest).unwrap(), stored);
}

#[test]
fn the_stored_sample_of_schema_3_is_whole_and_is_written_the_same_again() {
    let sample = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/samples/schema-3");
    let run = Run::read(&sample).unwrap();
    assert_eq!(run.notes, [""; 0]);
    assert_eq!(run.manifest.records.as_ref().unwrap().lines, 3);
    let text = fs::read_to_string(sample.join("run.json")).unwrap();
    assert_eq!(manifest_text(&run.manifest), text);
}

#[test]
fn a_number_of_the_subject_that_is_none_is_refused() {
    let (dir, _) = stored();
    edit(dir.path(), "run.json", |text| {
        text.replace("\"dtype\": \"bf16\"", "\"denoise_steps\": \"many\"")
    });
    let (error, text) = refusal(dir.path());
    assert_eq!(text, "`DIR/run.json` is not a manifest");
    assert!(error.source().unwrap().to_string().contains("denoise_steps"));
}

#[test]
fn the_page_about_the_run_directory_names_every_key_and_column() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/run-directory.md");
    let page = fs::read_to_string(page).unwrap();
    let samples = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/samples");
    let read = |file: &str| fs::read_to_string(samples.join(file)).unwrap();
    let schemas = ["schema-1", "schema-2", "schema-3"];
    let manifests = schemas.map(|schema| read(&format!("{schema}/run.json")));
    let records = schemas.map(|schema| read(&format!("{schema}/episodes.jsonl")));
    let records = records.iter().flat_map(|text| text.lines());
    let tops = manifests.iter().map(String::as_str).chain(records);
    let keys = tops.flat_map(|text| {
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        value.as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    });
    let summary = build::summary(&build::calvin_as_published());
    let tables = [summary_csv(&summary).unwrap(), tasks_csv(&summary).unwrap()];
    let columns = tables.iter().flat_map(|text| text.lines().next().unwrap().split(','));
    for name in keys.chain(columns.map(str::to_owned)) {
        // Of the stages in a row only the first is named, of ends of intervals some are.
        let end = name.strip_suffix("_low").or(name.strip_suffix("_high")).unwrap_or(&name);
        let known = page.contains(&format!("`{end}`")) || end.starts_with("in_a_row_");
        assert!(known, "docs/run-directory.md says nothing of `{name}`");
    }
}
