//! The paper's sampler against `vectors/paper_sampler.py`, an independent implementation.
#![cfg(feature = "torch")]

use serde::Deserialize;
use tch::{Device, Kind, Tensor};
use udvla_policies::formula;
use udvla_policies::udvla::checkpoint::{Attention, ModelConfig, Placement, SpecialIds};
use udvla_policies::udvla::decode::{
    Decoder, Generator, GoldenNoise, Jd3p, PrefixCache, Request, RestrictedHead, Rules, Step,
};
use udvla_policies::udvla::model::Transformer;
use udvla_policies::udvla::model::mask::Parts;
use udvla_policies::udvla::prompt::{Block, Prompt};

#[derive(Deserialize)]
struct File {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    attention: Attention,
    steps: u16,
    temperature: f64,
    prefix_ids: Vec<i64>,
    text: usize,
    view: usize,
    action_slots: usize,
    image_ids: Vec<i64>,
    action_ids: Vec<i64>,
    trace: Vec<Pass>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Pass {
    sampled: Vec<i64>,
    masked_after: Vec<usize>,
}

fn ids() -> SpecialIds {
    SpecialIds {
        boi_token_id: 30,
        eoi_token_id: 31,
        boa_token_id: 20,
        eoa_token_id: 21,
        mask_token_id: 22,
        ..SpecialIds::default()
    }
}

fn model() -> Transformer {
    let text = r#"{"vocab_size": 64, "hidden_size": 32, "intermediate_size": 48,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "rms_norm_eps": 1e-5, "rope_theta": 1e6, "max_position_embeddings": 64}"#;
    let config = ModelConfig { sizes: serde_json::from_str(text).unwrap(), ids: ids() };
    let placement = Placement { device: Device::Cpu, kind: Kind::Double };
    let mut get = |name: &str, shape: &[i64]| {
        Ok(Tensor::from_slice(&formula::language_weight(name, shape)).view(shape))
    };
    Transformer::build(&config, placement, &mut get).unwrap()
}

#[test]
fn ids_and_masked_sets_are_those_worked_out_in_python() {
    let file: File = serde_json::from_str(include_str!("vectors/paper_sampler.json")).unwrap();
    let (model, ids) = (model(), ids());
    let mut ended = 0;
    for case in &file.cases {
        let [image, action] = [&case.image_ids, &case.action_ids]
            .map(|ids| RestrictedHead::new(&model, ids).unwrap());
        let parts = Parts::new(case.text, vec![case.view], case.action_slots);
        let generator = Generator {
            model: &model,
            ids: &ids,
            image: &image,
            action: &action,
            attention: case.attention,
            prefix_cache: PrefixCache::Exact,
        };
        let decoder = Jd3p { steps: case.steps, rules: Rules::paper(case.temperature) };
        let block = Block::new(&ids, &[case.view], case.action_slots);
        let prompt = Prompt { ids: case.prefix_ids.clone(), parts };
        let mut trace = vec![];
        let mut watch = |_: usize, step: &Step| {
            let (sampled, masked_after) = (step.sampled.clone(), step.masked.clone());
            trace.push(Pass { sampled, masked_after });
        };
        let request = Request { prompt: &prompt, block: &block, noise: &GoldenNoise };
        let generated = decoder.decode(&generator, &[request], &mut watch).unwrap();
        let filled = &generated[0].ids;
        let name = format!("{} {} steps at {}", case.attention, case.steps, case.temperature);
        assert_eq!(trace, case.trace, "{name}");
        assert_eq!(*filled, case.trace.last().unwrap().sampled, "{name}");
        assert!(!filled.contains(&ids.mask_token_id), "{name}");
        let before_last = case.trace.iter().rev().skip(1);
        ended += before_last.filter(|pass| pass.sampled.contains(&ids.eoa_token_id)).count();
    }
    assert!(ended > 0, "no case has an end of actions to go by");
}
