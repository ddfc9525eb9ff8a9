//! Run directories that are not as their run wrote them: every change is named.

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use udvla_results::compare::gate::against_baseline;
use udvla_results::compare::pairs::compare;
use udvla_results::out::exports::lerobot_json;
use udvla_results::out::html::run_page;
use udvla_results::out::render::{compare_markdown, gate_markdown, markdown, terminal};
use udvla_results::run::damage::{Damage, Fault};
use udvla_results::run::manifest::{Manifest, RunStatus};
use udvla_results::run::merge::read_runs;
use udvla_results::run::read::{ReadError, Run};
use udvla_results::run::seal::{RecordsEnd, manifest_text};

use crate::build;

/// A run of 2 tasks and 20 trials that has ended, and the bytes of its two files.
fn ended() -> (TempDir, [Vec<u8>; 2]) {
    let mut run = build::libero_long(2);
    run.manifest.plan.iter_mut().for_each(|task| task.trials = 20);
    build::task_counts(&mut run, "long", 0, 15);
    build::task_counts(&mut run, "long", 1, 11);
    let lines = build::lines(&run);
    let text = lines.join("\n") + "\n";
    run.manifest.records = Some(RecordsEnd::of(text.as_bytes()));
    let dir = TempDir::new().unwrap();
    build::store(&run, dir.path(), &lines);
    let files = ["run.json", "episodes.jsonl"].map(|name| fs::read(dir.path().join(name)).unwrap());
    (dir, files)
}

fn lines(files: &[Vec<u8>; 2]) -> Vec<String> {
    String::from_utf8(files[1].clone()).unwrap().lines().map(str::to_owned).collect()
}

fn faults(files: &[Vec<u8>; 2], lines: &[String]) -> Vec<Fault> {
    let text = lines.join("\n") + "\n";
    match Run::from_bytes(Path::new("run"), &files[0], text.as_bytes()) {
        Err(ReadError::Damaged { faults, .. }) => faults,
        other => panic!("{other:?}"),
    }
}

/// A sequence of numbers that is the same in every run of the test.
fn numbers(mut state: u64) -> impl FnMut(usize) -> usize {
    move |below| {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (state >> 33) as usize % below
    }
}

#[test]
fn a_flipped_bit_anywhere_never_changes_a_number_without_a_word() {
    let (_dir, files) = ended();
    let read = |files: &[Vec<u8>; 2]| Run::from_bytes(Path::new("run"), &files[0], &files[1]);
    let whole = read(&files).unwrap();
    let mut random = numbers(12);
    let mut refused = 0;
    for flip in 0..1000 {
        let mut damaged = files.clone();
        let file = flip % 2;
        let (at, bit) = (random(damaged[file].len()), random(8));
        damaged[file][at] ^= 1 << bit;
        match read(&damaged) {
            Err(_) => refused += 1,
            // For example a space between two keys of `run.json` that became another white space.
            Ok(run) => assert_eq!(run, whole, "file {file}, byte {at}, bit {bit}"),
        }
    }
    assert!(refused > 900, "only {refused} of 1000 were noticed");
}

#[test]
fn every_part_of_the_records_is_covered() {
    let (_dir, files) = ended();
    for at in (0..files[1].len()).step_by(7) {
        let mut damaged = files[1].clone();
        damaged[at] ^= 1 << (at % 8);
        let read = Run::from_bytes(Path::new("run"), &files[0], &damaged);
        assert!(matches!(read, Err(ReadError::Damaged { .. })), "byte {at}");
    }
}

#[test]
fn changed_lines_are_named_with_their_numbers() {
    let (_dir, files) = ended();
    let mut lines = lines(&files);
    for line in [3, 25] {
        let changed =
            lines[line - 1].replacen("\"stages_completed\":1", "\"stages_completed\":0", 1);
        lines[line - 1] = changed;
    }
    assert_eq!(faults(&files, &lines), [Fault::Changed { line: 3 }, Fault::Changed { line: 25 }]);
}

#[test]
fn missing_moved_and_doubled_lines_are_named() {
    let (_dir, files) = ended();
    let whole = lines(&files);
    let mut gap = whole.clone();
    drop(gap.drain(4..6));
    let cut = Fault::Cut { left: 38, written: 40 };
    assert_eq!(faults(&files, &gap), [Fault::Gap { line: 5 }, cut]);
    let mut moved = whole.clone();
    moved.swap(7, 8);
    let expected = [8, 9, 10].map(|line| Fault::Moved { line });
    assert_eq!(faults(&files, &moved), expected);
    let mut doubled = whole.clone();
    doubled.insert(5, whole[4].clone());
    let found = faults(&files, &doubled);
    assert_eq!(found[0], Fault::Moved { line: 6 }, "{found:?}");
    let mut first = whole;
    first.remove(0);
    assert_eq!(faults(&files, &first)[0], Fault::Gap { line: 1 });
}

#[test]
fn the_end_of_a_finished_run_is_known() {
    let (_dir, files) = ended();
    let whole = lines(&files);
    let cut = faults(&files, &whole[..39]);
    assert_eq!(cut, [Fault::Cut { left: 39, written: 40 }]);
    // The last newline is the run's too.
    let torn = &files[1][..files[1].len() - 1];
    let read = Run::from_bytes(Path::new("run"), &files[0], torn);
    assert!(matches!(read, Err(ReadError::Damaged { .. })));
    // A run that was killed has no end, so that lines may be missing there; a torn one is skipped.
    let mut manifest: Manifest = serde_json::from_slice(&files[0]).unwrap();
    (manifest.status, manifest.records) = (RunStatus::Running, None);
    let text = manifest_text(&manifest);
    let run = Run::from_bytes(Path::new("run"), text.as_bytes(), torn).unwrap();
    assert_eq!((run.records.len(), run.torn_line), (39, Some(40)));
}

#[test]
fn lines_of_another_run_or_by_hand_are_named() {
    let (_dir, files) = ended();
    let mut foreign = lines(&files);
    let other = udvla_results::run::seal::Chain::new("beef".into(), RecordsEnd::empty());
    let record = serde_json::to_string(&build::record("long", 0, 0, 1, 1)).unwrap();
    foreign[11] = other.line(&record).trim_end().to_owned();
    assert_eq!(faults(&files, &foreign), [Fault::Foreign { line: 12, run: "beef".into() }]);
    let mut by_hand = lines(&files);
    by_hand.push(record);
    let added = Fault::Added { line: 41 };
    assert_eq!(faults(&files, &by_hand), [Fault::Without { line: 41 }, added]);
}

#[test]
fn an_edited_manifest_is_named_however_it_is_laid_out() {
    let (dir, files) = ended();
    let value: serde_json::Value = serde_json::from_slice(&files[0]).unwrap();
    // Another layout of the same content is no damage.
    let read = |text: String| Run::from_bytes(dir.path(), text.as_bytes(), &files[1]);
    assert!(read(value.to_string()).is_ok());
    for (key, to) in [("started", "2020-01-01T00:00:00Z"), ("status", "gave-up")] {
        let mut edited = value.clone();
        edited[key] = to.into();
        let error = read(edited.to_string()).unwrap_err().to_string();
        assert!(error.ends_with("`run.json` was changed after it was written"), "{error}");
    }
    for key in ["digest", "id"] {
        let mut edited = value.clone();
        edited.as_object_mut().unwrap().remove(key);
        assert!(matches!(read(edited.to_string()), Err(ReadError::Damaged { .. })), "{key}");
    }
}

#[test]
fn accepted_damage_is_left_out_and_said_in_every_output() {
    let (dir, files) = ended();
    let mut changed = lines(&files);
    changed[0] = changed[0].replacen("\"stages_completed\":1", "\"stages_completed\":0", 1);
    fs::write(dir.path().join("episodes.jsonl"), changed.join("\n") + "\n").unwrap();
    let directories = [dir.path().to_path_buf()];
    assert!(read_runs(&directories, Damage::Refuse).is_err());
    let run = read_runs(&directories, Damage::Accept).unwrap().remove(0);
    assert_eq!(run.records.len(), 39, "a changed record counts neither way");
    let words = "damage accepted, 1 line is left out: line 1 of `episodes.jsonl` was changed";
    assert!(run.notes[0].starts_with(words), "{:?}", run.notes);
    let words = "damage accepted, 1 line is left out";
    let summary = build::summary(&run);
    let comparison = compare(&run, &run).unwrap();
    let mut complete = run.clone();
    complete.manifest.plan.iter_mut().for_each(|task| task.trials = 20);
    complete
        .records
        .insert(build::record("long", 0, 0, 1, 1).key(), build::record("long", 0, 0, 1, 1));
    let gate = against_baseline(&complete, &complete, 0.02).unwrap();
    let pages = [
        markdown(&summary),
        terminal(&summary),
        run_page(&run, &summary, &[], &build::paper()),
        compare_markdown(&comparison, ["a", "b"]),
        gate_markdown(&gate),
        lerobot_json(&complete).unwrap(),
    ];
    for page in pages {
        assert!(page.contains(words), "{page}");
    }
}

#[test]
fn a_run_without_checksums_is_read_and_says_so() {
    let (dir, files) = ended();
    let run = Run::from_bytes(dir.path(), &files[0], &files[1]).unwrap();
    let records: Vec<String> =
        run.records.values().map(|record| serde_json::to_string(record).unwrap()).collect();
    build::store_schema_2(dir.path(), &records);
    let old = Run::read(dir.path()).unwrap();
    assert_eq!(old.records, run.records);
    assert_eq!(
        old.notes,
        ["the run carries no checksums (schema 2): changed records cannot be noticed"]
    );
}

#[test]
fn files_of_actions_that_are_missing_or_cut_are_noted() {
    let mut run = build::libero_long_counts(&[50]);
    let dir = TempDir::new().unwrap();
    fs::create_dir(dir.path().join("actions")).unwrap();
    for record in run.records.values_mut() {
        let (name, bytes) = (format!("actions/{}.safetensors", record.key()), b"played".to_vec());
        record.actions_sha256 = Some(udvla_results::run::actions::digest(&bytes));
        fs::write(dir.path().join(&name), bytes).unwrap();
        record.actions = Some(name);
    }
    build::store(&run, dir.path(), &build::lines(&run));
    assert_eq!(Run::read(dir.path()).unwrap().notes, [""; 0]);
    fs::remove_file(dir.path().join("actions/long-task00-trial003.safetensors")).unwrap();
    fs::write(dir.path().join("actions/long-task00-trial007.safetensors"), "play").unwrap();
    let notes = Run::read(dir.path()).unwrap().notes;
    let words = "stored actions are missing or changed: long-task00-trial003, long-task00-trial007";
    assert_eq!(notes, [words]);
}

#[test]
fn records_that_are_a_link_are_not_read() {
    let (dir, _) = ended();
    let records = dir.path().join("episodes.jsonl");
    let elsewhere = TempDir::new().unwrap();
    fs::rename(&records, elsewhere.path().join("file")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("file"), &records).unwrap();
    let error = Run::read(dir.path()).unwrap_err();
    assert!(matches!(&error, ReadError::Unreadable { .. }), "{error}");
}
