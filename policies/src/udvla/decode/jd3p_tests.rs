//! Tests of joint decoding on a model of 64 ids.

use tch::{Device, Kind, Tensor};

use super::super::{GoldenNoise, PrefixCache, RestrictedHead};
use super::*;
use crate::formula;
use crate::udvla::checkpoint::{Attention, ModelConfig, Placement};
use crate::udvla::model::Transformer;
use crate::udvla::model::mask::{self, Parts, Run};
use crate::udvla::model::transfer::crossings;
use crate::udvla::prompt::{Block, Prompt};

/// A model with a vocabulary of 64.
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
        let weight = formula::language_weight(name, shape);
        Ok(Tensor::from_slice(&weight).view(shape).to_kind(Kind::Float))
    };
    let config = ModelConfig { sizes, ids: ids.clone() };
    (Transformer::build(&config, placement, &mut get).unwrap(), ids)
}

/// A model with its two heads.
struct Setup {
    model: Transformer,
    ids: SpecialIds,
    image: RestrictedHead,
    action: RestrictedHead,
}

impl Setup {
    fn new(image: &[i64], action: &[i64]) -> Self {
        let (model, ids) = tiny();
        let [image, action] = [image, action].map(|ids| RestrictedHead::new(&model, ids).unwrap());
        Self { model, ids, image, action }
    }

    fn generator(&self, attention: Attention) -> Generator<'_> {
        let Self { model, ids, image, action } = self;
        let prefix_cache = PrefixCache::Exact;
        Generator { model, ids, image, action, attention, prefix_cache }
    }
}

fn released(steps: u16) -> Jd3p {
    Jd3p { steps, rules: Rules::default() }
}

fn decode(
    decoder: &Jd3p,
    generator: &Generator,
    (prompt, block): (&Prompt, &Block),
    observer: &mut dyn Observer,
) -> Vec<i64> {
    let request = Request { prompt, block, noise: &GoldenNoise };
    decoder.decode(generator, &[request], observer).unwrap().remove(0).ids
}

/// The released code replaces the whole prompt by MASK if EOA is in the last slot.
#[test]
fn an_end_of_actions_in_the_last_slot_changes_nothing_else() {
    let setup = Setup::new(&(0..10).collect::<Vec<_>>(), &[10, 11, 12, 13, 21]);
    let ids = &setup.ids;
    let prompt = Prompt { ids: vec![1, 2, 3, 30, 5, 6, 31], parts: Parts::new(3, vec![4], 5) };
    let mut block = Block::new(ids, &[4], 5);
    *block.ids.last_mut().unwrap() = ids.eoa_token_id;
    for attention in Attention::ALL {
        let generator = setup.generator(attention);
        let filled =
            decode(&released(4), &generator, (&prompt, &block), &mut |_: usize, _: &Step| {});
        assert_eq!((filled[0], filled[3], filled[4], filled[8]), (30, 31, 20, 21));
        assert!(filled[1..3].iter().all(|id| (0..10).contains(id)), "{filled:?}");
        assert!(filled[5..8].iter().all(|id| [10, 11, 12, 13, 21].contains(id)), "{filled:?}");
    }
}

#[test]
fn one_step_fills_everything_and_a_full_block_stays_as_it_is() {
    let setup = Setup::new(&[10, 11], &[10, 11]);
    let ids = &setup.ids;
    let prompt = Prompt { ids: vec![1, 30, 5, 31], parts: Parts::new(1, vec![3], 3) };
    let generator = setup.generator(Attention::Released);
    let block = Block::new(ids, &[3], 3);
    let mut seen = 0;
    let mut count = |_: usize, _: &Step| seen += 1;
    let filled = decode(&released(1), &generator, (&prompt, &block), &mut count);
    assert!(!filled.contains(&ids.mask_token_id));
    assert_eq!(seen, 1);
    let full = Block { ids: filled.clone(), ..block };
    let again = decode(&released(1), &generator, (&prompt, &full), &mut |_: usize, _: &Step| {});
    assert_eq!(again, filled);
}

/// Every step of a block, with or without a cache of the prompt.
fn steps(
    decoder: &Jd3p,
    generator: &Generator,
    (prompt, block): (&Prompt, &Block),
    cached: bool,
) -> Vec<Step> {
    let request = Request { prompt, block, noise: &GoldenNoise };
    let caches = match cached {
        true => generator.prefill(&[request]).unwrap(),
        // An empty cache: every step computes the whole sequence.
        false => vec![generator.model.forward(&[], &[], None).unwrap().1],
    };
    let mut seen = vec![];
    let mut observe = |_: usize, step: &Step| seen.push(step.clone());
    decoder.denoise(generator, &[request], &caches, &mut observe).unwrap();
    seen
}

fn task(ids: &SpecialIds) -> (Prompt, Block) {
    let parts = Parts::new(5, vec![9, 6], 9);
    let prompt = (0..parts.prompt() as i64).map(|at| at * 29 % 64).collect();
    (Prompt { ids: prompt, parts }, Block::new(ids, &[9, 6], 9))
}

#[test]
fn ids_after_a_cache_are_those_of_whole_recomputation() {
    let setup = Setup::new(&(0..10).collect::<Vec<_>>(), &[10, 11, 12, 13, 21]);
    let (prompt, block) = task(&setup.ids);
    let mut ended = 0;
    for attention in Attention::ALL {
        let generator = setup.generator(attention);
        for rules in [Rules::default(), Rules::paper(1.0)] {
            let decoder = Jd3p { steps: 7, rules };
            let [cached, whole] =
                [true, false].map(|cached| steps(&decoder, &generator, (&prompt, &block), cached));
            let ids_of = |steps: &[Step]| -> Vec<_> {
                steps.iter().map(|step| (step.sampled.clone(), step.masked.clone())).collect()
            };
            assert_eq!(ids_of(&cached), ids_of(&whole), "{attention} {rules:?}");
            ended += usize::from(cached[5].sampled.contains(&21));
        }
    }
    assert!(ended > 0, "no case has an end of actions");
}

/// Every position is fixed once, in the step that reports it, with a probability as confidence.
#[test]
fn the_steps_fix_every_unknown_position_once() {
    let allowed = [10, 11, 12, 13, 21];
    let setup = Setup::new(&allowed, &allowed);
    let generator = setup.generator(Attention::Hybrid);
    let (prompt, block) = task(&setup.ids);
    let mask = setup.ids.mask_token_id;
    let unknown: Vec<usize> = (0..block.ids.len()).filter(|&at| block.ids[at] == mask).collect();
    for rules in [Rules::default(), Rules::paper(0.7)] {
        for count in [1, 2, 5, 19, 40] {
            let decoder = Jd3p { steps: count, rules };
            let steps = steps(&decoder, &generator, (&prompt, &block), true);
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
            assert_eq!(fixed, unknown, "{rules:?} {count}");
            let released = rules.sampler == Sampler::Released;
            assert_eq!(last.masked.len(), usize::from(released), "{rules:?} {count}");
        }
    }
}

#[test]
fn an_end_in_the_last_slot_is_counted_where_the_released_code_would_lose_the_prompt() {
    let setup = Setup::new(&[0, 1, 2], &[10, 11]);
    let generator = setup.generator(Attention::Released);
    let (prompt, mut block) = task(&setup.ids);
    let guarded = |block: &Block, rules| {
        let steps = steps(&Jd3p { steps: 4, rules }, &generator, (&prompt, block), true);
        steps.iter().filter(|step| step.guarded).count()
    };
    assert_eq!(guarded(&block, Rules::default()), 0);
    let last = block.ids.len() - 1;
    block.ids[last] = setup.ids.eoa_token_id;
    assert_eq!(guarded(&block, Rules::default()), 4);
    assert_eq!(guarded(&block, Rules::paper(1.0)), 0);
    // An earlier end is the first one, and nothing is guarded.
    block.ids[last - 1] = setup.ids.eoa_token_id;
    assert_eq!(guarded(&block, Rules::default()), 0);
}

/// The approximate cache is the prompt alone, once, and the block after it in every step.
#[test]
fn the_approximate_cache_is_the_prompt_alone_and_differs_under_the_released_mask() {
    let setup = Setup::new(&[0, 1, 2, 3, 4, 5, 6, 7], &[10, 11, 12, 13]);
    let (prompt, block) = task(&setup.ids);
    let parts = &prompt.parts;
    let exact = setup.generator(Attention::Released);
    let approximate = Generator { prefix_cache: PrefixCache::Approximate, ..exact };
    let request = Request { prompt: &prompt, block: &block, noise: &GoldenNoise };
    let caches = approximate.prefill(&[request]).unwrap();
    assert_eq!(caches[0].positions(), prompt.ids.len());
    assert_eq!(exact.prefill(&[request]).unwrap()[0].positions(), parts.text);
    // The states of a prompt without a block.
    let alone = Parts { future: vec![], actions: 0, ..parts.clone() };
    let runs = Attention::Released.runs(&alone, None);
    let (_, expected) = setup.model.forward(&prompt.ids, &runs, None).unwrap();
    // Caches are equal if later positions read the same from them.
    let runs = runs_after(&prompt);
    let read = |cache: &Cache| setup.model.forward(&block.ids, &runs, Some(cache)).unwrap().0;
    assert_eq!(read(&caches[0]), read(&expected));
    let ids = |generator: &Generator| {
        let steps = steps(&released(3), generator, (&prompt, &block), true);
        steps.last().unwrap().sampled.clone()
    };
    assert_ne!(ids(&approximate), ids(&exact));
}

/// What a block attends to after a prompt whose positions are all in the cache.
fn runs_after(prompt: &Prompt) -> Vec<Run> {
    mask::after(&Attention::Released.runs(&prompt.parts, None), prompt.ids.len())
}

/// On a GPU each crossing is a wait of the host: one up and one down per step, and one up for the
/// prompts, whatever the batch, the sampler and the mask.
#[test]
fn a_step_sends_one_block_of_numbers_and_reads_one_whatever_the_batch() {
    let setup = Setup::new(&(0..10).collect::<Vec<_>>(), &[10, 11, 12, 13, 21]);
    let prompt = Prompt { ids: vec![1, 2, 3, 30, 5, 6, 31], parts: Parts::new(3, vec![4], 5) };
    let block = Block::new(&setup.ids, &[4], 5);
    let steps = 3;
    for attention in Attention::ALL {
        for rules in [Rules::default(), Rules::paper(1.0), Rules::paper(0.0)] {
            for batch in [1, 2, 8] {
                let request = || Request { prompt: &prompt, block: &block, noise: &GoldenNoise };
                let requests: Vec<Request> = (0..batch).map(|_| request()).collect();
                let before = crossings();
                let decoder = Jd3p { steps, rules };
                decoder
                    .decode(&setup.generator(attention), &requests, &mut |_, _: &Step| {})
                    .unwrap();
                let now = crossings();
                let counts = [0, 1].map(|way| now[way] - before[way]);
                let steps = u64::from(steps);
                assert_eq!(counts, [steps + 1, steps], "{attention}, batch of {batch}");
            }
        }
    }
}

/// Nothing else in a step crosses: no other file of the model and the decoders copies to a device or
/// reads a value.
#[test]
fn only_transfer_crosses_between_host_and_device_in_a_step() {
    let words = ["f_to_device", "to_device(", "Vec::try_from", "_value(", "f_from_slice", ".to(De"];
    // Where something is loaded, or a training step is made.
    let at_start = ["fn head_rows", "fn rotary_table", "pub fn new("];
    let sources = [
        ("self_attention.rs", include_str!("../model/self_attention.rs")),
        ("layers.rs", include_str!("../model/layers.rs")),
        ("packing.rs", include_str!("../model/packing.rs")),
        ("context.rs", include_str!("../model/context.rs")),
        ("transformer.rs", include_str!("../model/transformer.rs")),
        ("generator.rs", include_str!("generator.rs")),
        ("jd3p.rs", include_str!("jd3p.rs")),
        ("restricted_head.rs", include_str!("restricted_head.rs")),
    ];
    let mut seen = 0;
    for (name, text) in sources {
        let text = text.split("#[cfg(test)]").next().unwrap();
        let mut function = "";
        for line in text.lines() {
            if line.contains("fn ") {
                function = line;
            }
            if words.iter().any(|word| line.contains(word)) {
                seen += 1;
                let allowed = at_start.iter().any(|start| function.contains(start));
                assert!(allowed, "{name}: {function} has {line}");
            }
        }
    }
    assert!(seen >= 3, "the words are found where they are allowed");
}
