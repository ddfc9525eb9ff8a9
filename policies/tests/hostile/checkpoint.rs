//! Manifests, configurations and weight files that nobody wrote.

use proptest::prelude::*;
use safetensors::tensor::{Dtype, TensorView, serialize};
use serde_json::{Value, json};

use crate::checkpoint_exercise as exercise;
use crate::mutate::{apply, config, cut, odd, set};

fn weight_file() -> Vec<u8> {
    let bytes: Vec<u8> = (0..24_u8).flat_map(|n| f32::from(n).to_le_bytes()).collect();
    let view = |shape: &[usize], bytes| TensorView::new(Dtype::F32, shape.to_vec(), bytes).unwrap();
    let tensors = [("a", view(&[2, 3], &bytes[..24])), ("b", view(&[18], &bytes[24..]))];
    serialize(tensors, None).unwrap()
}

fn manifest() -> Value {
    json!({
        "format": 1, "name": "sample", "model": "model", "target": "future",
        "text": {"ranks": "emu3.tiktoken"}, "vision": "vision",
        "benchmarks": {"calvin": {
            "fast": "fast", "norm_stats": {"file": "norm_stats.json", "name": "calvin_abcd"},
        }},
    })
}

fn model() -> Value {
    json!({
        "vocab_size": 184_622, "hidden_size": 64, "intermediate_size": 96,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "rms_norm_eps": 1e-5, "rope_theta": 1e6, "max_position_embeddings": 4096,
    })
}

#[test]
fn the_weight_file_itself_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(exercise::weights(folder.path(), &weight_file()), 2);
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn damaged_weight_files_are_answered(changes in prop::collection::vec(cut(), 0..4)) {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = weight_file();
        changes.iter().for_each(|cut| apply(&mut bytes, cut));
        exercise::weights(folder.path(), &bytes);
    }

    #[test]
    fn forged_headers_of_weights_are_answered(
        changes in prop::collection::vec((any::<usize>(), odd()), 1..4),
        length in prop::option::of(any::<u64>()),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let whole = weight_file();
        let end = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
        let mut header: Value = serde_json::from_slice(&whole[8..end]).unwrap();
        changes.iter().for_each(|(number, value)| set(&mut header, *number, value));
        let header = header.to_string().into_bytes();
        let length = length.unwrap_or(header.len() as u64).to_le_bytes();
        exercise::weights(folder.path(), &[&length[..], &header, &whole[end..]].concat());
    }

    #[test]
    fn forged_settings_are_answered(
        changes in prop::collection::vec((any::<usize>(), odd()), 0..4),
        cuts in prop::collection::vec(cut(), 0..3),
        which in any::<bool>(),
    ) {
        let mut tree = if which { manifest() } else { model() };
        changes.iter().for_each(|(number, value)| set(&mut tree, *number, value));
        let mut bytes = tree.to_string().into_bytes();
        cuts.iter().for_each(|cut| apply(&mut bytes, cut));
        exercise::settings(&String::from_utf8_lossy(&bytes));
    }
}
