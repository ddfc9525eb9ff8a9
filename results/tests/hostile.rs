//! Run directories that nobody wrote: the reader answers with a message and nothing panics.

use proptest::prelude::*;
use serde_json::Value;
use udvla_results::run::manifest::Manifest;
use udvla_results::run::read::Run;
use udvla_results::run::record::EpisodeRecord;
use udvla_results::run::seal::manifest_text;

use crate::{build, exercise};

/// The two files of a run with errors and gaps.
fn files(run: &Run) -> (Vec<u8>, Vec<u8>) {
    let manifest = manifest_text(&run.manifest).into_bytes();
    (manifest, (build::lines(run).join("\n") + "\n").into_bytes())
}

/// Small runs of every benchmark, with an error and a gap each.
fn samples() -> Vec<Run> {
    let mut libero = build::libero_long(2);
    libero.manifest.plan.iter_mut().for_each(|task| task.trials = 4);
    build::spread(&mut libero, "long", 5);
    build::fail(&mut libero, "long", 1, 1);
    build::forget(&mut libero, "long", 0, 2);
    let mut simpler = build::simpler_as_published();
    simpler.manifest.plan.iter_mut().for_each(|task| task.trials = 2);
    simpler.records.retain(|key, _| key.trial < 2);
    let mut calvin = build::calvin_as_published();
    calvin.manifest.plan[0].trials = 30;
    calvin.records.retain(|key, _| key.trial < 30);
    build::fail(&mut calvin, "abcd-d", 0, 3);
    vec![libero, simpler, calvin]
}

/// A change of some bytes.
#[derive(Debug, Clone)]
enum Cut {
    Flip(usize, u8),
    Delete(usize, usize),
    Repeat(usize, usize),
    Insert(usize, Vec<u8>),
    End(usize),
}

fn cut() -> impl Strategy<Value = Cut> {
    let place = any::<usize>();
    prop_oneof![
        (place, any::<u8>()).prop_map(|(at, bits)| Cut::Flip(at, bits)),
        (place, 1..40_usize).prop_map(|(at, length)| Cut::Delete(at, length)),
        (place, 1..400_usize).prop_map(|(at, length)| Cut::Repeat(at, length)),
        (place, prop::collection::vec(any::<u8>(), 1..9))
            .prop_map(|(at, bytes)| Cut::Insert(at, bytes)),
        place.prop_map(Cut::End),
    ]
}

fn apply(bytes: &mut Vec<u8>, cut: &Cut) {
    let at = |place: usize| place % (bytes.len() + 1);
    let span = |place: usize, length: usize| at(place)..(at(place) + length).min(bytes.len());
    match cut {
        Cut::Flip(place, bits) => {
            let at = at(*place);
            bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= bits);
        }
        Cut::Delete(place, length) => drop(bytes.drain(span(*place, *length))),
        Cut::Repeat(place, length) => {
            let span = span(*place, *length);
            let (end, copy) = (span.end, bytes[span].to_vec());
            bytes.splice(end..end, copy);
        }
        Cut::Insert(place, more) => {
            let at = at(*place);
            bytes.splice(at..at, more.iter().copied());
        }
        Cut::End(place) => bytes.truncate(at(*place)),
    }
}

/// Values that programs forget about.
fn odd() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(Value::Array(vec![])),
        Just(Value::Object(serde_json::Map::new())),
        any::<bool>().prop_map(Value::from),
        prop_oneof![Just(0_u64), Just(1), Just(5), Just(100), Just(65_535), Just(u64::MAX)]
            .prop_map(Value::from),
        any::<i16>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        Just(Value::from("sha256:ééééé")),
    ]
}

/// Sets the `number`-th value of a tree to another one.
fn set(tree: &mut Value, number: usize, value: &Value) {
    fn count(tree: &Value) -> usize {
        1 + match tree {
            Value::Array(items) => items.iter().map(count).sum(),
            Value::Object(fields) => fields.values().map(count).sum(),
            _ => 0,
        }
    }
    fn walk(tree: &mut Value, number: &mut usize, value: &Value) {
        if *number == 0 {
            *tree = value.clone();
        }
        *number = number.wrapping_sub(1);
        if *number == usize::MAX {
            return;
        }
        match tree {
            Value::Array(items) => items.iter_mut().for_each(|item| walk(item, number, value)),
            Value::Object(fields) => {
                fields.values_mut().for_each(|field| walk(field, number, value));
            }
            _ => {}
        }
    }
    let mut number = number % count(tree);
    walk(tree, &mut number, value);
}

/// The manifest again, with the fingerprint of its protocol and its digest: a forger's work.
fn forged(tree: Value) -> Vec<u8> {
    let text = tree.to_string();
    match serde_json::from_value::<Manifest>(tree) {
        Err(_) => text.into_bytes(),
        Ok(mut manifest) => {
            manifest.protocol_fingerprint = manifest.protocol.fingerprint();
            manifest_text(&manifest).into_bytes()
        }
    }
}

/// 400 cases per property, or as many as `PROPTEST_CASES` says.
fn config() -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    ProptestConfig { cases: asked.unwrap_or(400), failure_persistence: None, ..<_>::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_bytes_are_answered(
        manifest in prop::collection::vec(any::<u8>(), 0..200),
        records in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        exercise::run_directory(&manifest, &records);
        exercise::text(&String::from_utf8_lossy(&manifest));
    }

    #[test]
    fn damaged_files_are_answered(
        sample in 0..3_usize,
        of_manifest in prop::collection::vec(cut(), 0..3),
        of_records in prop::collection::vec(cut(), 0..6),
    ) {
        let (mut manifest, mut records) = files(&samples()[sample]);
        of_manifest.iter().for_each(|cut| apply(&mut manifest, cut));
        of_records.iter().for_each(|cut| apply(&mut records, cut));
        exercise::run_directory(&manifest, &records);
    }

    #[test]
    fn forged_manifests_are_answered(
        sample in 0..3_usize,
        changes in prop::collection::vec((any::<usize>(), odd()), 1..4),
    ) {
        let (manifest, records) = files(&samples()[sample]);
        let mut tree: Value = serde_json::from_slice(&manifest).unwrap();
        changes.iter().for_each(|(number, value)| set(&mut tree, *number, value));
        exercise::run_directory(&forged(tree), &records);
    }

    #[test]
    fn forged_records_are_answered(
        sample in 0..3_usize,
        changes in prop::collection::vec((any::<usize>(), any::<usize>(), odd()), 1..4),
    ) {
        let (manifest, records) = files(&samples()[sample]);
        let text = String::from_utf8(records).unwrap();
        let unsealed = |line| {
            let record: EpisodeRecord = serde_json::from_str(line).unwrap();
            serde_json::to_value(record).unwrap()
        };
        let mut lines: Vec<Value> = text.lines().map(unsealed).collect();
        for (line, number, value) in &changes {
            let index = line % lines.len();
            set(&mut lines[index], *number, value);
        }
        let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
        // Values that are no objects stay as they are: nothing can be sealed.
        let lines = if lines.iter().all(|line| line.starts_with("{\"")) {
            build::sealed(&lines)
        } else {
            lines
        };
        exercise::run_directory(&manifest, (lines.join("\n") + "\n").as_bytes());
    }

    #[test]
    fn odd_texts_are_answered(changes in prop::collection::vec(cut(), 0..8), kind in 0..3_usize) {
        let run = &samples()[1];
        let text = match kind {
            0 => udvla_results::out::exports::lerobot_json(run).unwrap(),
            1 => udvla_results::out::exports::vla_eval_json(run).unwrap(),
            _ => "method,n,a,mean\none,24,50.0,50.0\ntwo,24,4.1,4.1\n".into(),
        };
        let mut bytes = text.into_bytes();
        changes.iter().for_each(|cut| apply(&mut bytes, cut));
        exercise::text(&String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn the_samples_themselves_are_accepted() {
    for run in samples() {
        let (manifest, records) = files(&run);
        assert!(exercise::run_directory(&manifest, &records));
    }
}
