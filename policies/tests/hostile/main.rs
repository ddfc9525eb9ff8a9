//! Files of checkpoints and messages that nobody wrote: an answer or an error, no panic.

#[cfg(feature = "torch")]
mod checkpoint;
#[cfg(feature = "torch")]
mod checkpoint_exercise;
mod exercise;
#[path = "../../../results/tests/mutate.rs"]
mod mutate;

use mutate::{apply, config, cut, odd, set};
use proptest::prelude::*;
use serde_json::Value;
use udvla_policies::frames::{openpi, vla_eval};
use udvla_policies::tokens::{synthetic_json, synthetic_ranks};

/// Each test uses the folder alone.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

const STATISTICS: &str = r#"{"norm_stats": {"calvin_abcd": {"mean": [0.0, 1.0],
    "q01": [-1.0, -0.5], "q99": [1.0, 0.5]}}}"#;
const NAMES: &str = "<|image token|>\n<|image start|>\n<|image end|>\n<|visual token 000000|>\n";

#[test]
fn the_samples_themselves_are_accepted() {
    let folder = folder();
    let (tokenizer, processor) = synthetic_json();
    let ids: Vec<i64> = (0..1024).collect();
    assert!(exercise::fast(folder.path(), tokenizer.as_bytes(), processor.as_bytes(), &ids));
    assert!(exercise::text(folder.path(), synthetic_ranks().as_bytes(), None, "push the block"));
    let names = Some(NAMES.as_bytes());
    assert!(exercise::text(folder.path(), synthetic_ranks().as_bytes(), names, "a <|image end|>"));
    assert!(exercise::statistics(folder.path(), STATISTICS.as_bytes()));
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let folder = folder();
        exercise::fast(folder.path(), &bytes, &bytes, &[]);
        exercise::text(folder.path(), &bytes, Some(&bytes), "push the block");
        exercise::statistics(folder.path(), &bytes);
        let _ = (openpi::decode(&bytes), vla_eval::decode(&bytes));
    }

    #[test]
    fn damaged_messages_are_answered(cuts in prop::collection::vec(cut(), 1..4)) {
        let frames: Value = serde_json::from_str(include_str!("../vectors/frames.json")).unwrap();
        for frame in frames.as_object().unwrap().values().flat_map(|it| it.as_object().unwrap()) {
            let text = frame.1.as_str().unwrap();
            let byte = |i| u8::from_str_radix(&text[i..i + 2], 16).unwrap();
            let mut frame: Vec<u8> = (0..text.len()).step_by(2).map(byte).collect();
            cuts.iter().for_each(|cut| apply(&mut frame, cut));
            let _ = (openpi::decode(&frame), vla_eval::decode(&frame));
        }
    }

    #[test]
    fn forged_action_tokenizers_are_answered(
        changes in prop::collection::vec((any::<usize>(), odd()), 0..3),
        of_processor in prop::collection::vec((any::<usize>(), odd()), 0..2),
        ids in prop::collection::vec(any::<i64>(), 0..20),
        small in prop::collection::vec(0..1200_i64, 0..90),
    ) {
        let folder = folder();
        let (tokenizer, processor) = synthetic_json();
        let forge = |text: &str, changes: &[(usize, Value)]| {
            let mut tree: Value = serde_json::from_str(text).unwrap();
            changes.iter().for_each(|(number, value)| set(&mut tree, *number, value));
            tree.to_string().into_bytes()
        };
        let files = (forge(&tokenizer, &changes), forge(&processor, &of_processor));
        exercise::fast(folder.path(), &files.0, &files.1, &ids);
        exercise::fast(folder.path(), &files.0, &files.1, &small);
    }

    #[test]
    fn damaged_text_tokenizers_are_answered(
        changes in prop::collection::vec(cut(), 0..4),
        of_names in prop::collection::vec(cut(), 0..3),
        sample in "\\PC{0,60}",
    ) {
        let folder = folder();
        let (mut ranks, mut names) = (synthetic_ranks().into_bytes(), NAMES.as_bytes().to_vec());
        changes.iter().for_each(|cut| apply(&mut ranks, cut));
        of_names.iter().for_each(|cut| apply(&mut names, cut));
        exercise::text(folder.path(), &ranks, Some(&names), &sample);
    }

    #[test]
    fn forged_statistics_are_answered(
        changes in prop::collection::vec((any::<usize>(), odd()), 0..3),
        cuts in prop::collection::vec(cut(), 0..3),
    ) {
        let folder = folder();
        let mut tree: Value = serde_json::from_str(STATISTICS).unwrap();
        changes.iter().for_each(|(number, value)| set(&mut tree, *number, value));
        let mut bytes = tree.to_string().into_bytes();
        cuts.iter().for_each(|cut| apply(&mut bytes, cut));
        exercise::statistics(folder.path(), &bytes);
    }
}
