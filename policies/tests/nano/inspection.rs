//! Inspection of valid and broken checkpoints.

use std::fs;
use std::path::Path;

use udvla_policies::udvla::Checkpoint;
use udvla_policies::udvla::inspect::{self, Part};

use crate::setting::nano;

fn parts(dir: &Path) -> Vec<Part> {
    inspect::inspect(&Checkpoint::open(dir).unwrap())
}

fn faults(parts: &[Part]) -> Vec<String> {
    parts.iter().flat_map(|part| part.faults.clone()).collect()
}

#[test]
fn a_sound_checkpoint_has_facts_and_no_faults() {
    let dir = nano();
    let parts = parts(dir.path());
    assert_eq!(faults(&parts), [""; 0]);
    let names: Vec<_> = parts.iter().map(|part| part.name.as_str()).collect();
    let wanted = [
        "checkpoint",
        "language model",
        "vision tokenizer",
        "text tokenizer",
        "benchmark `calvin`",
        "benchmark `libero`",
        "benchmark `simpler`",
        "benchmark `simpler-paper`",
    ];
    assert_eq!(names, wanted);
    let facts = parts.iter().flat_map(|part| part.facts.clone()).collect::<Vec<_>>().join("\n");
    for wanted in [
        "attention: released",
        "use_blockwise_attn_mask true",
        "target future: the generated images show the scene after the chunk",
        "digest: sha256:",
        "stored as f32 in 2 files",
        "block of 817 positions",
        "FAST action tokenizer of 1024 ids",
    ] {
        assert!(facts.contains(wanted), "no `{wanted}` in {facts}");
    }
}

#[test]
fn all_faults_are_listed_and_not_only_the_first() {
    let dir = nano();
    fs::remove_file(dir.path().join("fast/tokenizer.json")).unwrap();
    fs::remove_file(dir.path().join("model/model-00002-of-00002.safetensors")).unwrap();
    let config = dir.path().join("vision/config.json");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("\"codebook_size\": 512", "\"codebook_size\": 511")).unwrap();
    let faults = faults(&parts(dir.path())).join("\n");
    for wanted in [
        "tokenizer.json",
        "model-00002-of-00002.safetensors` is missing",
        "tensor `quantize.embedding.weight` has shape [512, 4], expected [511, 4]",
    ] {
        assert!(faults.contains(wanted), "no `{wanted}` in {faults}");
    }
}

#[test]
fn tensors_that_are_missing_or_surplus_are_named() {
    let dir = nano();
    let config = dir.path().join("model/config.json");
    let text = fs::read_to_string(&config).unwrap();
    let with = |layers: &str| {
        let text =
            text.replace("\"num_hidden_layers\": 2", &format!("\"num_hidden_layers\": {layers}"));
        fs::write(&config, text).unwrap();
        faults(&parts(dir.path()))
    };
    let more = with("3");
    assert_eq!(more.len(), 9, "{more:?}");
    assert!(more.iter().all(|fault| fault.contains("model.layers.2.")), "{more:?}");
    let fewer = with("1");
    assert_eq!(fewer.len(), 9, "{fewer:?}");
    assert!(fewer.iter().all(|fault| fault.contains("has no place")), "{fewer:?}");
}
