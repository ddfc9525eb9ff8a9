//! Autoregressive decoding against full recomputation, Jacobi against autoregressive decoding.

use tch::{Device, Kind};

use super::super::jacobi::Iterated;
use super::super::{
    Autoregressive, Decoder, Generated, GoldenNoise, Jacobi, KeyedNoise, Noise, PrefixCache,
    Request, RestrictedHead, Step,
};
use super::*;
use crate::formula;
use crate::udvla::checkpoint::{ModelConfig, Placement, SpecialIds};
use crate::udvla::model::Transformer;

struct Tiny {
    model: Transformer,
    ids: SpecialIds,
    image: RestrictedHead,
    action: RestrictedHead,
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
        let weight = formula::language_weight(&format!("{name}/{part}"), shape);
        Ok(Tensor::from_slice(&weight).view(shape))
    };
    let config = ModelConfig { sizes: serde_json::from_str(text).unwrap(), ids: ids.clone() };
    let model = Transformer::build(&config, placement, &mut get).unwrap();
    let marks: Vec<i64> = (0..16).chain([30, 31]).collect();
    let actions: Vec<i64> = (40..60).chain([eoa]).collect();
    let [image, action] = [marks, actions].map(|ids| RestrictedHead::new(&model, &ids).unwrap());
    Tiny { model, ids, image, action }
}

impl Tiny {
    fn generator(&self) -> Generator<'_> {
        let Self { model, ids, image, action } = self;
        let (attention, prefix_cache) = (Attention::Causal, PrefixCache::Exact);
        Generator { model, ids, image, action, attention, prefix_cache }
    }

    fn autoregressive(&self, prompt: &Prompt, block: &Block) -> Result<Vec<i64>, DecodeError> {
        let request = Request { prompt, block, noise: &GoldenNoise };
        let observer = &mut |_: usize, _: &Step| {};
        let generated = Autoregressive.decode(&self.generator(), &[request], observer)?;
        Ok(generated.into_iter().map(|Generated { ids, .. }| ids).next().unwrap())
    }

    fn jacobi(
        &self,
        decoder: Jacobi,
        (prompt, block): (&Prompt, &Block),
        noise: &dyn Noise,
    ) -> Iterated {
        decoder.decode_one(&self.generator(), &Request { prompt, block, noise }).unwrap()
    }

    fn task(&self) -> (Prompt, Block) {
        let parts = Parts::new(3, vec![9, 7], 21);
        let ids = (0..parts.prompt() as i64).map(|at| at * 29 % 64).collect();
        (Prompt { ids, parts }, Block::new(&self.ids, &[9, 7], 21))
    }

    /// The ids without a cache: the whole sequence is recomputed for every position.
    fn recomputed(&self, prompt: &Prompt, block: &Block) -> Vec<i64> {
        let mut all = prompt.ids.clone();
        for position in 0..block.ids.len() {
            let parts = Parts::of_text(all.len());
            let runs = Attention::Causal.runs(&parts, None);
            let (states, _) = self.model.forward(&all, &runs, None).unwrap();
            let last = states.narrow(0, all.len() as i64 - 1, 1);
            let allowed = if position < block.image_positions { &self.image } else { &self.action };
            let best = allowed.argmax(&last).unwrap().unwrap()[0];
            let id = if position == block.image_positions { self.ids.boa_token_id } else { best };
            all.push(id);
            if position > block.image_positions && id == self.ids.eoa_token_id {
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
            let ids = tiny.autoregressive(&prompt, &block).unwrap();
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
            let wanted = tiny.autoregressive(&prompt, &block).unwrap();
            ended += usize::from(wanted.len() < block.ids.len());
            for span in [1, 2, 5, 16, 64] {
                for cap in [None, Some(span)] {
                    let jacobi = Jacobi { span, cap };
                    let noise = KeyedNoise::new(span.into(), name, 0);
                    let got = tiny.jacobi(jacobi, (&prompt, &block), &noise);
                    assert_eq!(got.ids, wanted, "{name} {eoa} {jacobi:?}");
                    // A causal span fixes a position per pass: the released cap is never reached.
                    assert_eq!(got.stopped, 0, "{name} {eoa} {jacobi:?}");
                }
            }
        }
    }
    assert!(ended > 0, "no case met its end mark");
}

#[test]
fn a_small_cap_stops_spans_and_counts_them() {
    let tiny = tiny("a", 21);
    let (prompt, block) = tiny.task();
    let decode = |cap| tiny.jacobi(Jacobi { span: 16, cap }, (&prompt, &block), &GoldenNoise);
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
    let error = tiny.autoregressive(&prompt, &block).unwrap_err();
    assert!(matches!(error, DecodeError::TooLong { length: 165, limit: 128 }), "{error:?}");
}
