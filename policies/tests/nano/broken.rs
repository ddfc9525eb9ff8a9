//! Broken checkpoints are refused.

use std::fs;
use std::path::{Path, PathBuf};

use udvla_policies::udvla::{CheckpointError, UdVla, UdVlaOptions};

use crate::setting::{list, nano, options};

/// The error of opening a checkpoint after `change`.
fn broken(change: impl FnOnce(&Path)) -> CheckpointError {
    let dir = nano();
    change(dir.path());
    UdVla::open(dir.path(), &options("libero", None)).expect_err("a broken checkpoint")
}

fn edit(file: PathBuf, change: impl FnOnce(&mut serde_json::Value)) {
    let mut value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    change(&mut value);
    fs::write(file, value.to_string()).unwrap();
}

#[test]
fn every_missing_file_is_one_error_that_names_it() {
    for file in list(nano().path()) {
        let error = broken(|dir| fs::remove_file(dir.join(&file)).unwrap());
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let text = chain(&error);
        // Without an index a single weight file is expected.
        let wanted = name.replace("model.safetensors.index.json", "model.safetensors");
        assert!(text.contains(&wanted), "{name}: {text}");
        assert!(matches!(error, CheckpointError::MissingFile { .. }), "{name}: {error:?}");
        assert!(error.hint().is_some(), "{name}");
    }
}

#[test]
fn directories_that_are_no_checkpoints_are_refused() {
    let empty = tempfile::tempdir().unwrap();
    let error = UdVla::open(empty.path(), &options("libero", None)).unwrap_err();
    assert!(error.to_string().contains("checkpoint.json"), "{error}");
    let error = UdVla::open(&empty.path().join("none"), &options("libero", None)).unwrap_err();
    assert!(error.to_string().contains("is not a directory"), "{error}");
    assert!(error.hint().unwrap().contains("make-checkpoint"));
}

#[test]
fn broken_weights_are_named() {
    let shard = "model/model-00002-of-00002.safetensors";
    let error = broken(|dir| {
        let bytes = fs::read(dir.join(shard)).unwrap();
        fs::write(dir.join(shard), &bytes[..bytes.len() / 2]).unwrap();
    });
    assert!(matches!(error, CheckpointError::Truncated { .. }), "{error:?}");
    assert!(error.to_string().contains(shard), "{error}");

    let error = broken(|dir| {
        edit(dir.join("model/config.json"), |config| config["intermediate_size"] = 96.into());
    });
    assert!(error.to_string().contains("has shape [128, 64], expected [96, 64]"), "{error}");

    let error = broken(|dir| {
        edit(dir.join("model/config.json"), |config| config["num_hidden_layers"] = 3.into());
    });
    assert!(error.to_string().contains("`model.layers.2."), "{error}");

    let error = broken(|dir| {
        edit(dir.join("model/config.json"), |config| config["num_hidden_layers"] = 1.into());
    });
    assert!(matches!(error, CheckpointError::SurplusTensor { .. }), "{error:?}");

    let error = broken(|dir| {
        edit(dir.join("vision/config.json"), |config| config["codebook_size"] = 256.into());
    });
    assert!(error.to_string().contains("has shape [512, 4], expected [256, 4]"), "{error}");
}

#[test]
fn contradictions_between_the_parts_are_named() {
    let manifest = |change: fn(&mut serde_json::Value)| {
        broken(|dir| edit(dir.join("checkpoint.json"), change))
    };
    let model = |change: fn(&mut serde_json::Value)| {
        broken(|dir| edit(dir.join("model/config.json"), change))
    };
    for (error, wanted) in [
        (manifest(|m| m["format"] = 2.into()), "has format 2"),
        (manifest(|m| m["model"] = "other".into()), "other/config.json"),
        (manifest(|m| m["speed"] = 1.into()), "unknown field `speed`"),
        (manifest(|m| m["benchmarks"]["libero"] = m["name"].clone()), "checkpoint manifest"),
        (manifest(|m| drop(m["benchmarks"].as_object_mut().unwrap().remove("libero"))), "`calvin`"),
        (
            manifest(|m| m["benchmarks"]["libero"]["norm_stats"]["name"] = "bridge".into()),
            "`bridge`",
        ),
        (
            manifest(|m| m["benchmarks"]["libero"]["layout"]["action_width"] = 8.into()),
            "has 7 dimensions, an action has 8",
        ),
        (manifest(|m| m["benchmarks"]["libero"]["layout"]["action_slots"] = 700.into()), "2195"),
        (
            manifest(|m| m["benchmarks"]["libero"]["layout"]["action_slots"] = u64::MAX.into()),
            "far too many",
        ),
        (model(|c| c["mask_token_id"] = 3.into()), "`mask_token_id` is 3"),
        (
            model(|c| drop(c.as_object_mut().unwrap().remove("use_blockwise_attn_mask"))),
            "`use_blockwise_attn_mask` is missing",
        ),
        (model(|c| c["last_action_token_id"] = 1000.into()), "do not fit a vocabulary"),
        (model(|c| c["eov_token_id"] = 970.into()), "the model 504"),
        (broken(|dir| fs::write(dir.join("checkpoint.json"), "{").unwrap()), "checkpoint.json"),
        (broken(|dir| fs::write(dir.join("text/ranks.tiktoken"), "!").unwrap()), "ranks.tiktoken"),
    ] {
        let text = chain(&error);
        assert!(text.contains(wanted), "`{text}` should contain `{wanted}`");
    }
}

#[test]
fn parts_of_something_else_are_refused_with_both_names() {
    let edited = |file: &'static str, change: fn(&mut serde_json::Value)| {
        broken(|dir| edit(dir.join(file), change))
    };
    let fast = "fast/processor_config.json";
    for (error, wanted) in [
        (
            edited("checkpoint.json", |m| {
                m["benchmarks"]["libero"]["norm_stats"]["name"] = "calvin".into();
            }),
            ["benchmark `libero`", "`calvin` are for calvin"],
        ),
        (
            edited("norm_stats.json", |file| {
                let entry = &mut file["norm_stats"]["libero"];
                let (low, high) = (entry["q01"].clone(), entry["q99"].clone());
                (entry["q01"], entry["q99"]) = (high, low);
            }),
            ["norm_stats.json", "q01 above q99"],
        ),
        (edited(fast, |c| c["time_horizon"] = 5.into()), ["chunks of 5", "has 10 x 7"]),
        (edited(fast, |c| c["action_dim"] = 3.into()), ["actions of 3", "has 10 x 7"]),
        (edited(fast, |c| c["min_token"] = (-158).into()), [fast, "tokenizer.json"]),
    ] {
        let text = chain(&error);
        assert!(wanted.iter().all(|part| text.contains(part)), "`{text}` lacks {wanted:?}");
    }
}

#[test]
fn numbers_that_python_calls_no_numbers_are_named_by_file_and_key() {
    let with = |file: &str, from: &str, to: &str| {
        broken(|dir| {
            let file = dir.join(file);
            let text = fs::read_to_string(&file).unwrap();
            assert!(text.contains(from), "{text}");
            fs::write(&file, text.replacen(from, to, 1)).unwrap();
        })
    };
    let numbers = fs::read_to_string(nano().path().join("norm_stats.json")).unwrap();
    let mut value: serde_json::Value = serde_json::from_str(&numbers).unwrap();
    value["norm_stats"]["libero"]["q01"][2] = "nan".into();
    let text = value.to_string().replace("\"nan\"", "NaN");
    let error = broken(|dir| fs::write(dir.join("norm_stats.json"), text).unwrap());
    let text = chain(&error);
    assert!(
        text.contains("norm_stats.json") && text.contains("norm_stats.libero.q01[2]"),
        "{text}"
    );
    let error =
        with("model/config.json", "\"rms_norm_eps\": ", "\"rms_norm_eps\": -Infinity, \"x\": ");
    let text = chain(&error);
    assert!(text.contains("model/config.json") && text.contains("`rms_norm_eps`"), "{text}");
}

#[test]
fn weights_that_are_not_numbers_are_refused_before_anything_runs() {
    let not_a_number = f32::NAN.to_le_bytes();
    let infinite = f32::INFINITY.to_le_bytes();
    for (file, bytes) in [
        ("model/model-00002-of-00002.safetensors", not_a_number),
        ("model/model-00001-of-00002.safetensors", infinite),
        ("vision/model.safetensors", not_a_number),
    ] {
        let error = broken(|dir| {
            let file = dir.join(file);
            let mut all = fs::read(&file).unwrap();
            let last = all.len() - 4;
            all[last..].copy_from_slice(&bytes);
            fs::write(&file, all).unwrap();
        });
        assert!(matches!(error, CheckpointError::NotFinite { .. }), "{file}: {error:?}");
        assert!(error.to_string().contains(file), "{error}");
        assert!(error.hint().is_some());
    }
}

#[test]
fn numbers_that_overflow_the_wanted_format_are_refused() {
    let dir = nano();
    let file = dir.path().join("model/model-00002-of-00002.safetensors");
    let mut all = fs::read(&file).unwrap();
    let last = all.len() - 4;
    all[last..].copy_from_slice(&1e6_f32.to_le_bytes());
    fs::write(&file, all).unwrap();
    let with = |dtype: &str| UdVlaOptions { dtype: Some(dtype.into()), ..options("libero", None) };
    assert!(UdVla::open(dir.path(), &with("bf16")).is_ok());
    let error = UdVla::open(dir.path(), &with("f16")).unwrap_err();
    assert!(matches!(error, CheckpointError::NotFinite { .. }), "{error:?}");
}

#[test]
fn weights_in_another_format_and_tokenizers_of_another_model_are_named() {
    let error = broken(|dir| {
        // The same number of bytes, declared as integers by the header.
        let file = dir.join("model/model-00001-of-00002.safetensors");
        let mut all = fs::read(&file).unwrap();
        let at = all.windows(5).position(|five| five == b"\"F32\"").unwrap();
        all[at + 1..at + 4].copy_from_slice(b"I32");
        fs::write(&file, all).unwrap();
    });
    assert!(matches!(&error, CheckpointError::Dtype { dtype, .. } if dtype == "I32"), "{error:?}");
    // A vocabulary of another size moves every special token.
    let error = broken(|dir| {
        let file = dir.join("text/ranks.tiktoken");
        let text = fs::read_to_string(&file).unwrap();
        let fewer: Vec<&str> = text.lines().take(255).collect();
        fs::write(&file, fewer.join("\n")).unwrap();
    });
    assert!(chain(&error).contains("text tokenizer"), "{}", chain(&error));
    // So does a list of image tokens in another order.
    let error = broken(|dir| {
        let file = dir.join("text/vision_tokens.txt");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(
            &file,
            text.replacen(
                "<|image token|>\n<|image start|>",
                "<|image start|>\n<|image token|>",
                1,
            ),
        )
        .unwrap();
    });
    assert!(chain(&error).contains("`img_token_id`"), "{}", chain(&error));
}

/// The error with all its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
