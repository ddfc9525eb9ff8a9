//! The checkpoint that comes with the program.

use std::collections::BTreeMap;
use std::path::Path;

use udvla_policies::udvla::decode::Step;
use udvla_policies::udvla::{Checkpoint, UdVla};

use crate::setting::{list, options, row};

/// Ids that were generated where it was trained, by instruction.
type Recorded = BTreeMap<String, Vec<i64>>;

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("nano/udvla-nano")
}

#[test]
fn it_decodes_the_recorded_ids() {
    let recorded: Recorded = serde_json::from_str(include_str!("trained.json")).unwrap();
    let policy = UdVla::open(&folder(), &options("libero", None)).unwrap();
    let ids = |(trial, instruction): (u16, &String)| {
        let mut generated = vec![];
        let mut watch = |_: usize, step: &Step| generated.clone_from(&step.sampled);
        policy.infer_watched(&[row(&policy, trial, instruction)], &mut watch).unwrap();
        (instruction.clone(), generated)
    };
    let found: Recorded = (0..).zip(recorded.keys()).map(ids).collect();
    assert_eq!(recorded.len(), 3);
    assert!(found == recorded, "{}", serde_json::to_string(&found).unwrap());
}

#[test]
fn it_is_small_and_says_how_it_was_made() {
    let checkpoint = Checkpoint::open(&folder()).unwrap();
    assert_eq!(checkpoint.manifest().name, "udvla-nano");
    assert!(!checkpoint.manifest().synthetic);
    let size = |file: &Path| folder().join(file).metadata().unwrap().len();
    let files = list(&folder());
    let bytes: u64 = files.iter().map(|file| size(file)).sum();
    assert!(bytes <= 10_000_000, "{bytes} bytes: {files:?}");
    assert!(files.contains(&"training.json".into()), "{files:?}");
}
