//! A checkpoint and inputs for tests.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use udvla_policies::udvla::{
    DecoderKind, DecodingOptions, Target, UdVla, UdVlaOptions, make_checkpoint,
};
use udvla_policies::{Answer, Policy, PolicyInput, PolicySpec, formula};
use udvla_sims::episode::EpisodeKey;
use udvla_sims::observation::{ActionChunk, Image, Observation};

/// The checkpoint `nano` with seed 0, which a test may change.
pub fn nano() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    make_checkpoint("nano", 0, Target::Future, dir.path()).unwrap();
    dir
}

pub fn options(benchmark: &str, steps: Option<u16>) -> UdVlaOptions {
    UdVlaOptions {
        benchmark: benchmark.into(),
        device: "cpu".into(),
        decoding: DecodingOptions { denoise_steps: steps, ..DecodingOptions::default() },
        ..UdVlaOptions::default()
    }
}

/// Options of a decoder by its name.
pub fn decoder(name: &str) -> DecodingOptions {
    let decoder: DecoderKind = name.parse().unwrap();
    DecodingOptions { decoder, ..DecodingOptions::default() }
}

/// A policy's subject as records have it.
pub fn subject(spec: &PolicySpec) -> BTreeMap<String, String> {
    spec.subject.clone().into()
}

pub fn open(dir: &TempDir, benchmark: &str, steps: Option<u16>) -> UdVla {
    UdVla::open(dir.path(), &options(benchmark, steps)).unwrap()
}

/// An input with noise as images, in the policy's sizes.
pub fn row(policy: &UdVla, trial: u16, instruction: &str) -> PolicyInput {
    let image = |index: usize, height: u32, width: u32| {
        let series = formula::uniform(&format!("{trial}/{index}"), (height * width * 3) as usize);
        Image { height, width, rgb: series.into_iter().map(|u| (u * 256.0) as u8).collect() }
    };
    let cameras = policy.spec().cameras.iter().enumerate();
    PolicyInput {
        key: EpisodeKey { suite: "long".into(), task: 3, trial },
        call: 0,
        seed: 0,
        seat: 0,
        observation: Observation {
            images: cameras.map(|(index, c)| image(index, c.height, c.width)).collect(),
            state: vec![],
            instruction: Arc::from(instruction),
            stage: 0,
        },
    }
}

pub fn chunk(answer: &Answer) -> &ActionChunk {
    match answer {
        Answer::Chunk(decision) => &decision.actions,
        Answer::Script { .. } | Answer::Lost(_) => panic!("the model answers with chunks"),
    }
}

/// All files below `dir`, relative to it.
pub fn list(dir: &Path) -> Vec<PathBuf> {
    let mut files = vec![];
    let mut open = vec![dir.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => open.push(path),
                false => files.push(path.strip_prefix(dir).unwrap().to_owned()),
            }
        }
    }
    files
}
