//! The checkpoints that come with the program.

use std::collections::BTreeMap;
use std::path::Path;

use udvla_policies::udvla::decode::Step;
use udvla_policies::udvla::{Checkpoint, UdVla};

use crate::setting::{list, options, row};

/// Ids that were generated where they were trained, by checkpoint and instruction.
type Recorded = BTreeMap<String, BTreeMap<String, Vec<i64>>>;

fn recorded() -> Recorded {
    serde_json::from_str(include_str!("trained.json")).unwrap()
}

fn folder(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("nano").join(name)
}

#[test]
fn they_decode_the_recorded_ids() {
    let recorded = recorded();
    assert_eq!(recorded.len(), 2);
    let ids = |name: &String| {
        let policy = UdVla::open(&folder(name), &options("libero", None)).unwrap();
        let ids = |(trial, instruction): (u16, &String)| {
            let mut generated = vec![];
            let mut watch = |_: usize, step: &Step| generated.clone_from(&step.sampled);
            policy.infer_watched(&[row(&policy, trial, instruction)], &mut watch).unwrap();
            (instruction.clone(), generated)
        };
        assert_eq!(recorded[name].len(), 3);
        (name.clone(), (0..).zip(recorded[name].keys()).map(ids).collect())
    };
    let found: Recorded = recorded.keys().map(ids).collect();
    assert!(found == recorded, "{}", serde_json::to_string(&found).unwrap());
}

#[test]
fn they_are_small_and_say_how_they_were_made() {
    for name in recorded().keys() {
        let checkpoint = Checkpoint::open(&folder(name)).unwrap();
        assert_eq!(&checkpoint.manifest().name, name);
        assert!(!checkpoint.manifest().synthetic);
        let size = |file: &Path| folder(name).join(file).metadata().unwrap().len();
        let files = list(&folder(name));
        let bytes: u64 = files.iter().map(|file| size(file)).sum();
        assert!(bytes <= 10_000_000, "{bytes} bytes: {files:?}");
        assert!(files.contains(&"training.json".into()), "{files:?}");
    }
}
