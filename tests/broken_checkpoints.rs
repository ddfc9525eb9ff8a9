//! Checkpoints that cannot be used, through the whole program.

use crate::support::{Checkpoint, Run};

/// One clear error with a next step, no panic, and no simulator: `/nowhere` names none and would
/// be the second error.
#[test]
fn every_broken_checkpoint_is_named_before_a_simulator_starts() {
    type Breaking = fn(&std::path::Path);
    fn edit(file: &std::path::Path, change: impl FnOnce(&mut serde_json::Value)) {
        let mut value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        change(&mut value);
        std::fs::write(file, value.to_string()).unwrap();
    }
    fn patch(file: &std::path::Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = std::fs::read(file).unwrap();
        change(&mut bytes);
        std::fs::write(file, bytes).unwrap();
    }
    let cases: [(&str, Breaking, &str); 9] = [
        (
            "truncated shard",
            |dir| {
                let file = dir.join("model/model-00002-of-00002.safetensors");
                patch(&file, |bytes| bytes.truncate(bytes.len() / 2));
            },
            "model-00002-of-00002.safetensors` is truncated",
        ),
        (
            "wrong shape",
            |dir| edit(&dir.join("model/config.json"), |c| c["intermediate_size"] = 96.into()),
            "has shape [128, 64], expected [96, 64]",
        ),
        (
            "wrong dtype",
            |dir| {
                let file = dir.join("model/model-00001-of-00002.safetensors");
                patch(&file, |bytes| {
                    let at = bytes.windows(5).position(|five| five == b"\"F32\"").unwrap();
                    bytes[at + 1..at + 4].copy_from_slice(b"I32");
                });
            },
            "is I32, expected F64, F32, F16 or BF16",
        ),
        (
            "missing index",
            |dir| {
                let file = dir.join("model/model.safetensors.index.json");
                std::fs::remove_file(file).unwrap();
            },
            "neither it nor an index of shards exists",
        ),
        (
            "not a number",
            |dir| {
                let file = dir.join("model/model-00002-of-00002.safetensors");
                patch(&file, |bytes| {
                    let last = bytes.len() - 4;
                    bytes[last..].copy_from_slice(&f32::NAN.to_le_bytes());
                });
            },
            "is not finite as f32",
        ),
        (
            "id out of range",
            |dir| edit(&dir.join("model/config.json"), |c| c["mask_token_id"] = 99_999.into()),
            "`mask_token_id` is 99999, outside the vocabulary",
        ),
        (
            "wrong text tokenizer",
            |dir| edit(&dir.join("model/config.json"), |c| c["boa_token_id"] = 5.into()),
            "the text tokenizer has `<|extra_198|>`",
        ),
        (
            "wrong action tokenizer",
            |dir| patch(&dir.join("fast/tokenizer.json"), |bytes| bytes.truncate(100)),
            "FAST tokenizer",
        ),
        (
            "wrong statistics",
            |dir| edit(&dir.join("norm_stats.json"), |stats| *stats = serde_json::json!({})),
            "norm_stats.json",
        ),
    ];
    let checkpoint = Checkpoint::make();
    for (name, breaking, wanted) in cases {
        let broken = checkpoint.copy();
        breaking(&broken.path());
        let words = ["libero", "--no-progress", "--simulator", "/nowhere", "--checkpoint"];
        let run = Run::new(&[&words[..], &[&broken.word()]].concat());
        let ended = run.go();
        assert_eq!(ended.code, 2, "{name}: {}{}", ended.stdout, ended.stderr);
        assert!(ended.stderr.contains(wanted), "{name}: no `{wanted}` in {}", ended.stderr);
        assert_eq!(ended.stderr.matches("error: ").count(), 1, "{name}: {}", ended.stderr);
        assert!(ended.stderr.contains("hint: "), "{name}: {}", ended.stderr);
        assert!(!ended.stderr.contains("panicked"), "{name}: {}", ended.stderr);
        assert!(!run.directory().exists(), "{name}");
    }
}
