//! Tests of joint decoding on a model of 64 ids.

use tch::{Device, Kind, Tensor};

use super::super::attention::Parts;
use super::super::config::{ModelConfig, SpecialIds};
use super::super::noise::GoldenNoise;
use super::super::sampling::Allowed;
use super::super::transformer::Transformer;
use super::super::weights::Placement;
use super::*;
use crate::golden;

/// A model of 64 ids and what it may fill in: image ids 0 to 9, action ids 10 to 19 and 21.
fn tiny() -> (Transformer, SpecialIds) {
    let ids = SpecialIds {
        boi_token_id: 30,
        eoi_token_id: 31,
        boa_token_id: 20,
        eoa_token_id: 21,
        mask_token_id: 22,
        ..SpecialIds::default()
    };
    let text = r#"{"vocab_size": 64, "hidden_size": 32, "intermediate_size": 48,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "rms_norm_eps": 1e-5, "rope_theta": 1e6, "max_position_embeddings": 64}"#;
    let sizes = serde_json::from_str(text).unwrap();
    let placement = Placement { device: Device::Cpu, kind: Kind::Float };
    let mut get = |name: &str, shape: &[i64]| {
        let weight = golden::language_weight(name, shape);
        Ok(Tensor::from_slice(&weight).view(shape).to_kind(Kind::Float))
    };
    let config = ModelConfig { sizes, ids: ids.clone() };
    (Transformer::build(&config, placement, &mut get).unwrap(), ids)
}

fn decoding(generator: Generator<'_>, attention: Attention, steps: u16) -> Jd3p<'_> {
    let (prefix_cache, rules) = (PrefixCache::Exact, Rules::default());
    Jd3p { generator, attention, prefix_cache, steps, rules }
}

/// The released code turns the whole prompt to MASK when EOA stands in the last slot.
#[test]
fn an_end_of_actions_in_the_last_slot_changes_nothing_else() {
    let (model, ids) = tiny();
    let image = Allowed::new(&model, &(0..10).collect::<Vec<_>>()).unwrap();
    let action = Allowed::new(&model, &[10, 11, 12, 13, 21]).unwrap();
    let prompt = Prompt { ids: vec![1, 2, 3, 30, 5, 6, 31], parts: Parts::new(3, vec![4], 5) };
    let mut block = Block::new(&ids, &[4], 5);
    *block.ids.last_mut().unwrap() = ids.eoa_token_id;
    for attention in Attention::ALL {
        let generator = Generator { model: &model, ids: &ids, image: &image, action: &action };
        let decoding = decoding(generator, attention, 4);
        let filled = decoding.decode(&prompt, &block, &GoldenNoise, &mut |_| {}).unwrap();
        assert_eq!((filled[0], filled[3], filled[4], filled[8]), (30, 31, 20, 21));
        assert!(filled[1..3].iter().all(|id| (0..10).contains(id)), "{filled:?}");
        assert!(filled[5..8].iter().all(|id| [10, 11, 12, 13, 21].contains(id)), "{filled:?}");
    }
}

#[test]
fn one_step_fills_everything_and_a_full_block_stays_as_it_is() {
    let (model, ids) = tiny();
    let allowed = Allowed::new(&model, &[10, 11]).unwrap();
    let prompt = Prompt { ids: vec![1, 30, 5, 31], parts: Parts::new(1, vec![3], 3) };
    let (image, action) = (&allowed, &allowed);
    let generator = Generator { model: &model, ids: &ids, image, action };
    let decoding = decoding(generator, Attention::Released, 1);
    let block = Block::new(&ids, &[3], 3);
    let mut seen = 0;
    let filled = decoding.decode(&prompt, &block, &GoldenNoise, &mut |_| seen += 1).unwrap();
    assert!(!filled.contains(&ids.mask_token_id));
    assert_eq!(seen, 1);
    let full = Block { ids: filled.clone(), ..block };
    assert_eq!(decoding.decode(&prompt, &full, &GoldenNoise, &mut |_| {}).unwrap(), filled);
}

/// What a batch of one block becomes, step by step, behind `caches` or what they should be.
fn steps(decoding: &Jd3p, task: (&Prompt, &Block), cached: bool) -> Vec<Step> {
    let request = Request { prompt: task.0, block: task.1, noise: &GoldenNoise };
    let caches = match cached {
        true => decoding.prefill(&[request]).unwrap(),
        // A cache of nothing: every step computes the whole sequence.
        false => vec![decoding.generator.model.forward(&[], &[], None).unwrap().1],
    };
    let mut seen = vec![];
    decoding.denoise(&[request], &caches, &mut |_, step| seen.push(step.clone())).unwrap();
    seen
}

fn task(ids: &SpecialIds) -> (Prompt, Block) {
    let parts = Parts::new(5, vec![9, 6], 9);
    let prompt = (0..parts.prompt() as i64).map(|at| at * 29 % 64).collect();
    (Prompt { ids: prompt, parts }, Block::new(ids, &[9, 6], 9))
}

#[test]
fn ids_behind_a_cache_are_those_of_whole_recomputation() {
    let (model, ids) = tiny();
    let image = Allowed::new(&model, &(0..10).collect::<Vec<_>>()).unwrap();
    let action = Allowed::new(&model, &[10, 11, 12, 13, 21]).unwrap();
    let generator = Generator { model: &model, ids: &ids, image: &image, action: &action };
    let (prompt, block) = task(&ids);
    let mut ended = 0;
    for attention in Attention::ALL {
        for sampler in [Sampler::Released, Sampler::Paper { temperature: 1.0 }] {
            let mut decoding = decoding(generator, attention, 7);
            decoding.rules = Rules::joint(sampler);
            let [cached, whole] =
                [true, false].map(|cached| steps(&decoding, (&prompt, &block), cached));
            let ids_of = |steps: &[Step]| -> Vec<_> {
                steps.iter().map(|step| (step.sampled.clone(), step.masked.clone())).collect()
            };
            assert_eq!(ids_of(&cached), ids_of(&whole), "{attention} {sampler:?}");
            ended += usize::from(cached[5].sampled.contains(&21));
        }
    }
    assert!(ended > 0, "no case has an end of actions");
}

/// Every position is fixed once, in the step that says so, at the confidence of a probability.
#[test]
fn the_steps_fix_every_unknown_position_once() {
    let (model, ids) = tiny();
    let allowed = Allowed::new(&model, &[10, 11, 12, 13, 21]).unwrap();
    let generator = Generator { model: &model, ids: &ids, image: &allowed, action: &allowed };
    let (prompt, block) = task(&ids);
    let unknown = positions_of(&block.ids, ids.mask_token_id);
    for sampler in [Sampler::Released, Sampler::Paper { temperature: 0.7 }] {
        for count in [1, 2, 5, 19, 40] {
            let mut decoding = decoding(generator, Attention::Hybrid, count);
            decoding.rules = Rules::joint(sampler);
            let steps = steps(&decoding, (&prompt, &block), true);
            let mut fixed: Vec<usize> = vec![];
            for step in &steps {
                for one in &step.fixed {
                    assert_eq!(step.sampled[one.position], one.id);
                    assert!((0.0..=1.0).contains(&one.confidence), "{one:?}");
                    fixed.push(one.position);
                }
            }
            let last = steps.last().unwrap();
            fixed.extend(&last.masked);
            fixed.sort_unstable();
            assert_eq!(fixed, unknown, "{sampler:?} {count}");
            let released = sampler == Sampler::Released;
            assert_eq!(last.masked.len(), usize::from(released), "{sampler:?} {count}");
        }
    }
}

#[test]
fn an_end_in_the_last_slot_is_counted_where_the_released_code_would_lose_the_prompt() {
    let (model, ids) = tiny();
    let image = Allowed::new(&model, &[0, 1, 2]).unwrap();
    let action = Allowed::new(&model, &[10, 11]).unwrap();
    let generator = Generator { model: &model, ids: &ids, image: &image, action: &action };
    let (prompt, mut block) = task(&ids);
    let guarded = |block: &Block, sampler| {
        let mut decoding = decoding(generator, Attention::Released, 4);
        decoding.rules = Rules::joint(sampler);
        let steps = steps(&decoding, (&prompt, block), true);
        steps.iter().filter(|step| step.guarded).count()
    };
    assert_eq!(guarded(&block, Sampler::Released), 0);
    let last = block.ids.len() - 1;
    block.ids[last] = ids.eoa_token_id;
    assert_eq!(guarded(&block, Sampler::Released), 4);
    assert_eq!(guarded(&block, Sampler::Paper { temperature: 1.0 }), 0);
    // An earlier end is the first one, and everything is as it should be.
    block.ids[last - 1] = ids.eoa_token_id;
    assert_eq!(guarded(&block, Sampler::Released), 0);
}

/// The approximate cache is: the prompt alone, once, and the block behind it in every step.
#[test]
fn the_approximate_cache_is_the_prompt_alone_and_differs_under_the_released_mask() {
    let (model, ids) = tiny();
    let (image, action) = ([0, 1, 2, 3, 4, 5, 6, 7], [10, 11, 12, 13]);
    let [image, action] = [&image[..], &action].map(|ids| Allowed::new(&model, ids).unwrap());
    let generator = Generator { model: &model, ids: &ids, image: &image, action: &action };
    let (prompt, block) = task(&ids);
    let parts = &prompt.parts;
    let exact = decoding(generator, Attention::Released, 3);
    let approximate = Jd3p { prefix_cache: PrefixCache::Approximate, ..exact };
    let caches = approximate.freeze(&[&prompt]).unwrap();
    assert_eq!(caches[0].positions(), prompt.ids.len());
    assert_eq!(exact.freeze(&[&prompt]).unwrap()[0].positions(), parts.text);
    // The states of a prompt that nothing follows.
    let alone = Parts { future: vec![], actions: 0, ..parts.clone() };
    let runs = Attention::Released.runs(&alone, None);
    let (_, wanted) = model.forward(&prompt.ids, &runs, None).unwrap();
    let all = |cache: &Cache| {
        // What the next position reads of a cache is all that a cache is.
        let runs = attention_behind(&prompt);
        model.forward(&block.ids, &runs, Some(cache)).unwrap().0
    };
    assert_eq!(all(&caches[0]), all(&wanted));
    let ids = |decoding: &Jd3p| steps(decoding, (&prompt, &block), true).pop().unwrap().sampled;
    assert_ne!(ids(&approximate), ids(&exact));
}

/// What a block sees behind a prompt whose positions are all in the cache.
fn attention_behind(prompt: &Prompt) -> Vec<super::super::attention::Run> {
    let runs = Attention::Released.runs(&prompt.parts, None);
    super::super::attention::behind(&runs, prompt.ids.len())
}
