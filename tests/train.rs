//! `train` through the program, on demonstrations of the fake simulator.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Ended, Run, udvla};

struct Bench {
    demonstrations: Run,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let fake = env!("CARGO_BIN_EXE_udvla-sim-fake");
        let words = ["collect", "libero", "--simulator", fake, "--no-progress"];
        let more = ["--suite", "object", "--task", "0", "--sizes", "16,16", "--episodes", "9"];
        let demonstrations = Run::new(&[&words[..], &more].concat());
        assert_eq!(demonstrations.go().code, 0);
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("small.json"), settings()).unwrap();
        Self { demonstrations, folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn train(&self, part: &str, out: &str, from: Option<&str>) -> Ended {
        let word = |path: PathBuf| path.display().to_string();
        let [out, config] = [out, "small.json"].map(|name| word(self.file(name)));
        let from = from.map(|from| word(self.file(from)));
        let data = word(self.demonstrations.directory());
        let words = ["train", part, "--data", &data, "--out", &out, "--config", &config];
        let from: Vec<&str> = from.iter().flat_map(|from| ["--from", from]).collect();
        udvla(&[&words[..], &["--name", "small"], &from].concat())
    }
}

/// The bundled settings at sizes that train in seconds.
fn settings() -> String {
    let mut all: Value =
        serde_json::from_str(include_str!("../policies/nano/object.json")).unwrap();
    for view in all["layout"]["views"].as_array_mut().unwrap() {
        view["resized"] = [16, 16].into();
    }
    all["layout"]["size_characters"] = "*12".into();
    all["validation_every"] = 3.into();
    (all["vision"]["steps"], all["vision"]["batch"]) = (2.into(), 4.into());
    let policy = &mut all["policy"];
    for (name, value) in [
        ("hidden_size", 32),
        ("intermediate_size", 48),
        ("layers", 1),
        ("key_heads", 2),
        ("batch", 2),
        ("variants", 1),
    ] {
        policy[name] = value.into();
    }
    for stage in policy["stages"].as_array_mut().unwrap() {
        stage["steps"] = 1.into();
    }
    all.to_string()
}

fn json(file: &Path) -> Value {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

#[track_caller]
fn refuses(ended: &Ended, wanted: &str) {
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains(wanted) && ended.stderr.contains("hint: "), "{}", ended.stderr);
}

#[test]
fn a_training_makes_a_checkpoint_and_another_starts_from_it() {
    let bench = Bench::new();
    for part in ["vision", "actions", "policy", "futures"] {
        let ended = bench.train(part, "first", None);
        assert_eq!(ended.code, 0, "{part}: {}", ended.stderr);
    }
    let manifest = json(&bench.file("first/training.json"));
    let stages = manifest["settings"]["policy"]["stages"].as_array().unwrap().len();
    assert_eq!(manifest["parts"]["policy"]["steps"], stages);
    assert!(manifest["from"].is_null());
    assert_eq!(json(&bench.file("first/checkpoint.json"))["name"], "small");
    let ended = bench.train("policy", "second", Some("first"));
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    for name in ["vision/model.safetensors", "fast/tokenizer.json", "norm_stats.json"] {
        let of = |out: &str| fs::read(bench.file(out).join(name)).unwrap();
        assert_eq!(of("first"), of("second"), "{name}");
    }
    assert!(json(&bench.file("second/training.json"))["from"].is_string());

    let ended = bench.train("policy", "second", Some("second"));
    refuses(&ended, "was begun with another `--from`");
    refuses(&bench.train("vision", "third", Some("first")), "`--from` keeps");
}
