//! Run directories that nobody wrote: the reader answers with a message and nothing panics.

use proptest::prelude::*;
use serde_json::Value;
use udvla_results::run::manifest::Manifest;
use udvla_results::run::read::Run;
use udvla_results::run::record::EpisodeRecord;
use udvla_results::run::seal::manifest_text;

use crate::mutate::{apply, config, cut, odd, set};
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
