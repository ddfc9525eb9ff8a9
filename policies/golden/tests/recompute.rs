//! Recorded outputs of the released code against this program's.
//!
//! Every file in `policies/golden/recorded` is a case, or in the directory `UDVLA_GOLDEN` if that is
//! set. FAST tokenizers come from `UDVLA_TEST_DATA`. The binary runs the same code.
use std::path::PathBuf;

use serde_json::{Value, json};
use udvla_golden::{Golden, first_difference};

/// The golden files of a kind with their names, or of all kinds.
fn cases(kind: Option<&str>) -> Vec<(PathBuf, Value)> {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/recorded");
    let directory = std::env::var_os("UDVLA_GOLDEN").map_or_else(|| own.into(), PathBuf::from);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&directory)
        .expect("the directory of recorded outputs")
        .map(|entry| entry.expect("the directory can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    paths.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        (path, value)
    };
    let all = paths.into_iter().map(read);
    let cases: Vec<_> =
        all.filter(|(_, file)| kind.is_none_or(|kind| file["kind"] == kind)).collect();
    assert!(!cases.is_empty(), "no golden files in {}", directory.display());
    cases
}

fn golden() -> Golden {
    let data = std::env::var_os("UDVLA_TEST_DATA").map(|data| PathBuf::from(data).join("udvla"));
    Golden::new(data.as_deref())
}

fn equal(kind: &str) {
    let mut golden = golden();
    if kind == "fast" && std::env::var_os("UDVLA_TEST_DATA").is_none() {
        println!(
            "skipped: udvla: released tokenizers and statistics are not here (UDVLA_TEST_DATA)"
        );
        return;
    }
    for (path, recorded) in cases(Some(kind)) {
        let computed = golden.recompute(&recorded).unwrap();
        let difference = first_difference(&recorded, &computed);
        assert!(difference.is_none(), "{}: {}", path.display(), difference.unwrap());
    }
}

#[test]
fn joint_decoding_and_the_logits_of_all_masks_are_the_released_ones() {
    equal("jd3p");
}

#[test]
fn independent_diffusion_is_the_released_one() {
    equal("independent_diffusion");
}

#[test]
fn the_training_loss_and_its_gradients_are_the_released_ones() {
    equal("loss");
}

#[test]
fn pictures_and_codes_are_the_released_ones() {
    equal("vq");
}

#[test]
fn action_chunks_are_the_released_ones() {
    equal("fast");
}

/// The released code gives the same ids in f32 as in f64, except where a sample is within f32's
/// rounding of a boundary between two ids: this program's sums round differently.
#[test]
fn single_precision_gives_the_same_ids_but_for_ties() {
    let mut golden = golden();
    for (path, mut file) in cases(Some("jd3p")) {
        file.as_object_mut().unwrap().remove("logits_probe");
        file["dtype"] = json!("float32");
        let computed = golden.recompute(&file).unwrap();
        let ids = |file: &Value| file["trace"][0]["sampled"].as_array().unwrap().clone();
        let (a, b) = (ids(&file), ids(&computed));
        let differing = a.iter().zip(&b).filter(|(a, b)| a != b).count();
        assert!(a.len() == b.len() && differing <= 1, "{}: {differing}", path.display());
    }
}

/// A file without outputs gives the same outputs, and one with a changed output is not equal.
#[test]
fn outputs_are_recomputed_without_them_and_every_change_is_found() {
    let whole = match cases(Some("jd3p")).into_iter().find(|(_, f)| f.get("logits_probe").is_none())
    {
        Some((_, whole)) => whole,
        None => return,
    };
    let mut golden = golden();
    let computed = golden.recompute(&whole).unwrap();
    let mut bare = whole.clone();
    bare.as_object_mut().unwrap().remove("trace");
    assert_eq!(golden.recompute(&bare).unwrap(), computed);
    assert_eq!(first_difference(&bare, &computed).unwrap().key, "trace");
    for (pointer, key, value) in [
        ("/trace/1/sampled/14", "trace[1].sampled[14]", json!(7)),
        ("/trace/2/masked_after/0", "trace[2].masked_after[0]", json!(0)),
        ("/trace/0/temperature_after", "trace[0].temperature_after", json!(0.1)),
        ("/kind", "kind", json!("loss")),
    ] {
        let mut changed = whole.clone();
        *changed.pointer_mut(pointer).unwrap() = value;
        assert_eq!(first_difference(&changed, &computed).unwrap().key, key);
    }
    // A missing prefix follows from the tag.
    bare.as_object_mut().unwrap().remove("prefix_ids");
    assert_eq!(golden.recompute(&bare).unwrap(), computed);
}

#[test]
fn a_device_that_is_not_there_is_refused() {
    assert!(Golden::new(None).on("cpu").is_ok());
    for device in ["cuda:4096", "tpu"] {
        let error = Golden::new(None).on(device).unwrap_err();
        assert!(error.to_string().contains(device), "{error}");
    }
}

/// Inputs beyond the size of golden files, which would exhaust the memory or end the program.
#[test]
fn sizes_beyond_any_golden_files_are_refused_with_their_key() {
    let jd3p = json!({
        "kind": "jd3p", "tag": "x", "views": [[2, 2]], "action_slots": 4, "steps": 1,
        "action_vocab_size": 8, "text_ids": [151849], "digit_ids": [9, 16, 17],
    });
    let vq = json!({
        "kind": "vq", "tag": "x", "image_shape": [1, 3, 16, 16], "embedding_scale": 1.0,
        "embedding_offset": [0.0, 0.0, 0.0, 0.0],
        "config": { "ch": 32, "ch_mult": [1, 2, 2, 4], "num_res_blocks": 2,
                    "attn_resolutions": [3], "z_channels": 4, "codebook_size": 512,
                    "embed_dim": 4, "temporal_downsample_factor": 4 },
    });
    let with = |file: &Value, pointer: &str, value: Value| {
        let mut file = file.clone();
        *file.pointer_mut(pointer).unwrap() = value;
        file
    };
    let wide = json!({ "hidden_size": 1 << 20, "intermediate_size": 1 << 20 });
    let mut of_config = jd3p.clone();
    of_config["config"] = wide;
    for (file, key) in [
        (with(&jd3p, "/views", json!([[1_000_000, 1_000_000]])), "views"),
        (with(&jd3p, "/views", json!([[0, 2]])), "views"),
        (with(&jd3p, "/action_slots", json!(1_000_000_000)), "action_slots"),
        (with(&jd3p, "/action_slots", json!(0)), "action_slots"),
        (with(&jd3p, "/action_vocab_size", json!(u64::MAX)), "action_vocab_size"),
        (with(&jd3p, "/action_vocab_size", json!(151_643)), "action_vocab_size"),
        (with(&jd3p, "/steps", json!(0)), "steps"),
        (of_config, "config"),
        (with(&vq, "/image_shape", json!([1, 3, 1 << 20, 1 << 20])), "image_shape"),
        (with(&vq, "/image_shape", json!([1, 3, -16, 16])), "image_shape"),
        (with(&vq, "/config/ch", json!(32 << 10)), "config"),
    ] {
        let error = Golden::new(None).recompute(&file).expect_err(key).to_string();
        assert!(error.contains(&format!("`{key}`")), "{key}: {error}");
    }
}

/// A file may omit what follows from its tag, and defaults.
#[test]
fn a_case_of_the_smallest_size_is_recomputed_from_its_tag() {
    let file = json!({
        "kind": "jd3p", "tag": "small", "views": [[2, 2]], "action_slots": 4, "steps": 3,
        "action_vocab_size": 8, "text_ids": [151849, 5], "digit_ids": [9, 16, 17],
        "config": { "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1 },
    });
    let computed = Golden::new(None).recompute(&file).unwrap();
    let trace = computed["trace"].as_array().unwrap();
    // An image of 4 codes, 5 characters and 4 marks, and 4 slots; 3 positions are given.
    assert_eq!((trace.len(), trace[0]["sampled"].as_array().unwrap().len()), (3, 17));
    let masked = |step: usize| trace[step]["masked_after"].as_array().unwrap().len();
    assert_eq!((masked(0), masked(2)), (13, 1));
}
