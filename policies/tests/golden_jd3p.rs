//! The language model and its joint decoding against outputs of the released code.
//!
//! Every file of kind `jd3p` in the directory that `UDVLA_GOLDEN` names is a case; without the
//! variable the tests say so and pass. Weights and noise come from the formula that the files
//! were made with.
#![cfg(feature = "torch")]

use std::fs;

use serde::Deserialize;
use serde_json::Value;
use tch::{Device, Kind, Tensor};
use udvla_policies::golden;
use udvla_policies::udvla::attention::{Attention, Parts};
use udvla_policies::udvla::config::{ModelConfig, Sizes, SpecialIds};
use udvla_policies::udvla::jd3p::{Jd3p, Step};
use udvla_policies::udvla::noise::GoldenNoise;
use udvla_policies::udvla::prompt::{Block, Prompt, action_ids, image_ids};
use udvla_policies::udvla::sampling::Allowed;
use udvla_policies::udvla::transformer::Transformer;
use udvla_policies::udvla::weights::Placement;

/// A file of kind `jd3p`.
#[derive(Deserialize)]
struct Decoding {
    views: Vec<[usize; 2]>,
    action_slots: usize,
    digit_ids: Vec<i64>,
    text_ids: Vec<i64>,
    prefix_ids: Vec<i64>,
    steps: u16,
    action_vocab_size: usize,
    trace: Vec<Pass>,
    logits_probe: Option<Probe>,
}

#[derive(Deserialize)]
struct Pass {
    sampled: Vec<i64>,
    masked_after: Vec<usize>,
    temperature_after: f64,
}

#[derive(Deserialize)]
struct Probe {
    input_ids: Vec<i64>,
    positions: Vec<i64>,
    token_ids: Vec<i64>,
    released: Answers,
    paper_hybrid: Answers,
    released_bidirectional: Answers,
    causal: Answers,
}

#[derive(Deserialize)]
struct Answers {
    logits: Vec<Vec<f32>>, // [positions, token ids]
    argmax: Vec<i64>,
}

impl Decoding {
    fn parts(&self) -> Parts {
        // A view is its codes, the characters of its size text and four marks.
        let positions =
            |[rows, columns]: &[usize; 2]| rows * columns + format!("1*{rows}*{columns}").len() + 4;
        let views = self.views.iter().map(positions).collect();
        Parts { text: self.text_ids.len(), views, actions: self.action_slots }
    }

    fn prompt(&self) -> Prompt {
        Prompt { ids: self.prefix_ids.clone(), parts: self.parts() }
    }
}

fn config() -> ModelConfig {
    let sizes = Sizes {
        vocab_size: 184_622,
        hidden_size: 32,
        intermediate_size: 64,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        rms_norm_eps: 1e-5,
        rope_theta: 1e6,
        max_position_embeddings: 2048,
        tie_word_embeddings: false,
        qkv_bias: false,
        hidden_act: "silu".into(),
        use_blockwise_attn_mask: Some(true),
        use_bidirectional_attn_mask: None,
    };
    ModelConfig { sizes, ids: SpecialIds::default() }
}

fn model(kind: Kind) -> Transformer {
    let placement = Placement { device: Device::Cpu, kind };
    let weight = |name: &str, shape: &[i64]| {
        Ok(Tensor::from_slice(&golden::language_weight(name, shape)).view(shape).to_kind(kind))
    };
    Transformer::build(&config(), placement, &mut { weight }).expect("the formula has every weight")
}

/// The golden files of this kind with their names; none, with a line that says so, when the
/// variable is not set.
fn cases() -> Vec<(String, Decoding)> {
    let Some(directory) = std::env::var_os("UDVLA_GOLDEN") else {
        println!("skipped: UDVLA_GOLDEN does not name a directory");
        return vec![];
    };
    let mut cases: Vec<(String, Decoding)> = fs::read_dir(directory)
        .expect("UDVLA_GOLDEN names a directory")
        .map(|entry| entry.expect("the directory can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .filter_map(|path| {
            let name = path.display().to_string();
            let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{name}: {e}"));
            let value: Value =
                serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
            let decoding = || serde_json::from_value(value.clone());
            (value["kind"] == "jd3p")
                .then(|| decoding().unwrap_or_else(|e| panic!("{name}: {e}")))
                .map(|decoding| (name, decoding))
        })
        .collect();
    assert!(!cases.is_empty(), "UDVLA_GOLDEN names a directory without a file of kind `jd3p`");
    cases.sort_by(|a, b| a.0.cmp(&b.0));
    cases
}

/// Decodes a case with the noise that it was recorded with.
fn decode(wanted: &Decoding, model: &Transformer, watch: &mut dyn FnMut(&Step)) -> Vec<i64> {
    let ids = SpecialIds::default();
    let image = Allowed::new(model, &image_ids(&ids, &wanted.digit_ids)).unwrap();
    let action = Allowed::new(model, &action_ids(&ids, wanted.action_vocab_size)).unwrap();
    let decoding = Jd3p {
        model,
        ids: &ids,
        image: &image,
        action: &action,
        attention: Attention::Released,
        steps: wanted.steps,
    };
    let prompt = wanted.prompt();
    let block = Block::new(&ids, &prompt.parts.views, wanted.action_slots);
    decoding.decode(&prompt, &block, &GoldenNoise, watch).unwrap()
}

fn decodes_as_recorded(name: &str, wanted: &Decoding, model: &Transformer) {
    let mut steps = vec![];
    let generated = decode(wanted, model, &mut |step| steps.push(step.clone()));
    assert_eq!(steps.len(), wanted.trace.len(), "{name}");
    for (step, wanted) in steps.iter().zip(&wanted.trace) {
        let differ = |at: &usize| step.sampled[*at] != wanted.sampled[*at];
        let differing: Vec<usize> = (0..wanted.sampled.len()).filter(differ).collect();
        assert!(differing.is_empty(), "{name} step {}: ids differ at {differing:?}", step.step);
        assert_eq!(step.masked, wanted.masked_after, "{name} step {}", step.step);
        let apart = (step.temperature - wanted.temperature_after).abs();
        assert!(apart < 1e-12, "{name} step {}: {}", step.step, step.temperature);
    }
    assert_eq!(generated, steps.last().expect("there is a step").sampled, "{name}");
    assert!(!generated.contains(&SpecialIds::default().mask_token_id), "{name}");
}

#[test]
fn decoding_gives_the_released_ids_step_by_step() {
    let model = model(Kind::Double);
    cases().iter().for_each(|(name, wanted)| decodes_as_recorded(name, wanted, &model));
}

/// The released code gives the same ids in f32 as in f64, except where a draw falls within
/// f32's rounding of a boundary between two ids: this program's sums round elsewhere.
#[test]
fn single_precision_gives_the_same_ids_but_for_ties() {
    let [double, single] = [Kind::Double, Kind::Float].map(model);
    for (name, wanted) in cases() {
        let first = |model: &Transformer| {
            let mut first = None;
            decode(&wanted, model, &mut |step| {
                first.get_or_insert_with(|| step.sampled.clone());
            });
            first.expect("there is a step")
        };
        let (a, b) = (first(&double), first(&single));
        let differing = (0..a.len()).filter(|&at| a[at] != b[at]).count();
        assert!(differing <= 1, "{name}: {differing} of {} ids differ", a.len());
    }
}

#[test]
fn logits_of_all_four_masks_are_the_released_ones() {
    let model = model(Kind::Double);
    for (name, decoding) in cases() {
        let Some(probe) = &decoding.logits_probe else { continue };
        let positions = Tensor::from_slice(&probe.positions);
        let tokens = Tensor::from_slice(&probe.token_ids);
        for (attention, wanted) in [
            (Attention::Released, &probe.released),
            (Attention::Hybrid, &probe.paper_hybrid),
            (Attention::ReleasedBidirectional, &probe.released_bidirectional),
            (Attention::Causal, &probe.causal),
        ] {
            let runs = attention.runs(&decoding.parts(), None);
            let (states, _) = model.forward(&probe.input_ids, &runs, None).unwrap();
            let logits = model.logits(&states.index_select(0, &positions)).unwrap();
            let argmax = Vec::<i64>::try_from(logits.argmax(1, false)).unwrap();
            assert_eq!(argmax, wanted.argmax, "{name} {attention}");
            let got = Vec::<f32>::try_from(logits.index_select(1, &tokens).view(-1)).unwrap();
            let wanted: Vec<f32> = wanted.logits.concat();
            assert_eq!(got.len(), wanted.len(), "{name} {attention}");
            let apart = got.iter().zip(&wanted).map(|(a, b)| (a - b).abs());
            let worst = apart.fold(0.0, f32::max);
            println!("{name} {attention}: largest difference {worst:e}");
            assert!(worst <= 2e-6, "{name} {attention}: {worst:e}");
        }
    }
}
