//! Autoregressive decoding against full recomputation, Jacobi against autoregressive decoding.

use tch::{Device, Kind};

use super::super::config::{ModelConfig, SpecialIds};
use super::super::noise::{GoldenNoise, KeyedNoise};
use super::super::sampling::Allowed;
use super::super::transformer::Transformer;
use super::super::weights::Placement;
use super::*;
use crate::golden;

struct Tiny {
    model: Transformer,
    ids: SpecialIds,
    image: Allowed,
    action: Allowed,
}

/// A model of 64 ids in f64: image ids 0 to 15 and marks, action ids 40 to 59 and `eoa`.
fn tiny(name: &str, eoa: i64) -> Tiny {
    let ids = SpecialIds {
        boi_token_id: 30,
        eoi_token_id: 31,
        boa_token_id: 20,
        eoa_token_id: eoa,
        mask_token_id: 22,
        ..SpecialIds::default()
    };
    let text = r#"{"vocab_size": 64, "hidden_size": 32, "intermediate_size": 48,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "rms_norm_eps": 1e-5, "rope_theta": 1e6, "max_position_embeddings": 128}"#;
    let placement = Placement { device: Device::Cpu, kind: Kind::Double };
    let mut get = |part: &str, shape: &[i64]| {
        let weight = golden::language_weight(&format!("{name}/{part}"), shape);
        Ok(Tensor::from_slice(&weight).view(shape))
    };
    let config = ModelConfig { sizes: serde_json::from_str(text).unwrap(), ids: ids.clone() };
    let model = Transformer::build(&config, placement, &mut get).unwrap();
    let marks: Vec<i64> = (0..16).chain([30, 31]).collect();
    let actions: Vec<i64> = (40..60).chain([eoa]).collect();
    let [image, action] = [marks, actions].map(|ids| Allowed::new(&model, &ids).unwrap());
    Tiny { model, ids, image, action }
}

impl Tiny {
    fn decoding(&self) -> Sequential<'_> {
        let Self { model, ids, image, action } = self;
        Sequential { generator: Generator { model, ids, image, action } }
    }

    fn task(&self) -> (Prompt, Block) {
        let parts = Parts::new(3, vec![9, 7], 21);
        let ids = (0..parts.prompt() as i64).map(|at| at * 29 % 64).collect();
        (Prompt { ids, parts }, Block::new(&self.ids, &[9, 7], 21))
    }

    /// The same ids without a cache: the whole sequence again for every position.
    fn recomputed(&self, prompt: &Prompt, block: &Block) -> Vec<i64> {
        let mut all = prompt.ids.clone();
        for position in 0..block.ids.len() {
            let parts = Parts::of_text(all.len());
            let runs = Attention::Causal.runs(&parts, None);
            let (states, _) = self.model.forward(&all, &runs, None).unwrap();
            let last = states.narrow(0, all.len() as i64 - 1, 1);
            let allowed = if position < block.image { &self.image } else { &self.action };
            let best = allowed.best(&last).unwrap().unwrap()[0];
            let id = if position == block.image { self.ids.boa_token_id } else { best };
            all.push(id);
            if position > block.image && id == self.ids.eoa_token_id {
                break;
            }
        }
        all.split_off(prompt.ids.len())
    }
}

#[test]
fn autoregressive_ids_are_those_of_full_recomputation() {
    for name in ["a", "b", "c"] {
        // With an action id as the end mark the sequence ends early.
        for eoa in [21, 41, 44, 50, 55] {
            let tiny = tiny(name, eoa);
            let (prompt, block) = tiny.task();
            let ids = tiny.decoding().autoregressive(&prompt, &block).unwrap();
            assert_eq!(ids, tiny.recomputed(&prompt, &block), "{name} {eoa}");
            assert_eq!(ids[16], tiny.ids.boa_token_id);
        }
    }
}

#[test]
fn the_fixed_point_of_jacobi_is_autoregressive_decoding() {
    let mut ended = 0;
    for name in ["a", "b", "c", "d"] {
        for eoa in [21, 41, 44, 50, 55] {
            let tiny = tiny(name, eoa);
            let (prompt, block) = tiny.task();
            let wanted = tiny.decoding().autoregressive(&prompt, &block).unwrap();
            ended += usize::from(wanted.len() < block.ids.len());
            for stretch in [1, 2, 5, 16, 64] {
                for cap in [None, Some(stretch)] {
                    let jacobi = Jacobi { stretch, cap };
                    let noise = KeyedNoise::new(stretch as u64, name, 0);
                    let got = tiny.decoding().jacobi(&prompt, &block, &noise, jacobi).unwrap();
                    assert_eq!(got.ids, wanted, "{name} {eoa} {jacobi:?}");
                    // A causal stretch settles a position per pass: the released cap is not met.
                    assert_eq!(got.stopped, 0, "{name} {eoa} {jacobi:?}");
                }
            }
        }
    }
    assert!(ended > 0, "no case met its end mark");
}

#[test]
fn a_small_cap_stops_stretches_and_counts_them() {
    let tiny = tiny("a", 21);
    let (prompt, block) = tiny.task();
    let decode = |cap| {
        let jacobi = Jacobi { stretch: 16, cap };
        tiny.decoding().jacobi(&prompt, &block, &GoldenNoise, jacobi).unwrap()
    };
    let (free, capped) = (decode(None), decode(Some(1)));
    assert_eq!((free.stopped, capped.stopped, capped.passes), (0, 3, 3));
    assert_eq!(capped.ids.len(), free.ids.len());
    assert_ne!(capped.ids, free.ids);
}

#[test]
fn a_sequence_that_does_not_fit_is_refused() {
    let tiny = tiny("a", 21);
    let (mut prompt, block) = tiny.task();
    prompt.ids = vec![1; 128];
    let error = tiny.decoding().autoregressive(&prompt, &block).unwrap_err();
    assert!(matches!(error, DecodeError::TooLong { wanted: 165, limit: 128 }), "{error:?}");
}
