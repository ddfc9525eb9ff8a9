//! Tests of the language model, with weights from the weight formula.

use super::super::mask::{self, Parts};
use super::*;
use crate::formula;
use crate::udvla::checkpoint::{Attention, Sizes, SpecialIds};

fn tiny(kind: Kind) -> Transformer {
    let sizes = Sizes {
        vocab_size: 64,
        hidden_size: 32,
        intermediate_size: 48,
        num_hidden_layers: 3,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        rms_norm_eps: 1e-5,
        rope_theta: 1e6,
        max_position_embeddings: 64,
        tie_word_embeddings: false,
        qkv_bias: false,
        hidden_act: "silu".into(),
        use_blockwise_attn_mask: None,
        use_bidirectional_attn_mask: None,
    };
    let config = ModelConfig { sizes, ids: SpecialIds::default() };
    let mut get = |name: &str, shape: &[i64]| {
        let weight = formula::language_weight(name, shape);
        Ok(Tensor::from_slice(&weight).view(shape).to_kind(kind))
    };
    let placement = Placement { device: Device::Cpu, kind };
    Transformer::build(&config, placement, &mut get).unwrap()
}

/// A model whose products are large enough to be tiled.
fn wide() -> Transformer {
    let text = r#"{"vocab_size": 64, "hidden_size": 384, "intermediate_size": 1000,
        "num_hidden_layers": 2, "num_attention_heads": 6, "num_key_value_heads": 2,
        "rms_norm_eps": 1e-5, "rope_theta": 1e6, "max_position_embeddings": 256}"#;
    let sizes = serde_json::from_str(text).unwrap();
    let mut get = |name: &str, shape: &[i64]| {
        let weight = formula::language_weight(name, shape);
        Ok(Tensor::from_slice(&weight).view(shape).to_kind(Kind::Float))
    };
    let placement = Placement { device: Device::Cpu, kind: Kind::Float };
    let config = ModelConfig { sizes, ids: SpecialIds::default() };
    Transformer::build(&config, placement, &mut get).unwrap()
}

fn sequence() -> (Vec<i64>, Parts) {
    let parts = Parts::new(6, vec![8, 5], 7);
    ((0..parts.total() as i64).map(|at| at * 29 % 64).collect(), parts)
}

#[test]
fn positions_after_a_cache_have_the_states_of_the_whole_sequence() {
    let (ids, parts) = sequence();
    let model = tiny(Kind::Double);
    for attention in Attention::ALL {
        let runs = attention.runs(&parts, Some(parts.total() - 3));
        let (whole, _) = model.forward(&ids, &runs, None).unwrap();
        let count = mask::cacheable(&runs, parts.prompt());
        let before: Vec<Run> = runs
            .iter()
            .filter(|run| run.start < count)
            .map(|run| Run { end: run.end.min(count), ..*run })
            .collect();
        let (head, cache) = model.forward(&ids[..count], &before, None).unwrap();
        assert_eq!(cache.positions(), count, "{attention}");
        let after = mask::from_position(&runs, count);
        let (tail, cache) = model.forward(&ids[count..], &after, Some(&cache)).unwrap();
        assert_eq!(cache.positions(), ids.len(), "{attention}");
        // The norms are f32, so the order of f64 sums shows at that size.
        let apart = (Tensor::cat(&[head, tail], 0) - whole).abs().max().double_value(&[]);
        assert!(apart < 1e-6, "{attention}: {apart:e}");
    }
}

/// The fast path of a denoising step, against the states of all positions.
#[test]
fn selected_positions_have_the_states_that_they_have_among_all() {
    let (ids, parts) = sequence();
    let model = tiny(Kind::Double);
    for attention in Attention::ALL {
        let runs = attention.runs(&parts, Some(parts.total() - 3));
        let (all, cache) = model.forward(&ids, &runs, None).unwrap();
        let places = vec![0, 2, 5, 6, 9, 13, 20, parts.total() - 2, parts.total() - 1];
        let row = Sequence { ids: &ids, runs: &runs, cache: None };
        let spans = [(0, places.clone()), (0, vec![]), (0, (0..ids.len()).collect())];
        let (states, caches) = model.forward_batch(&[row], &spans, &[]).unwrap();
        let wanted = places.iter().map(|&place| all.narrow(0, place as i64, 1));
        let wanted = Tensor::cat(&wanted.collect::<Vec<_>>(), 0);
        for (index, wanted) in [(0, &wanted), (2, &all)] {
            let (found, packing) = states.spans(index..index + 1).unwrap();
            let apart = packing.slice(&found, 0, 0).unwrap() - wanted;
            let apart = apart.abs().max().double_value(&[]);
            assert!(apart < 1e-6, "{attention}: {apart:e}");
        }
        let last = [&cache, &caches[0]].map(|cache| &cache.layers[2]);
        for (whole, part) in last[0].iter().zip(last[1]) {
            let apart = (whole - part).abs().max().double_value(&[]);
            assert!(apart < 1e-6, "{attention}: {apart:e}");
        }
    }
}

#[test]
fn nothing_after_the_end_of_actions_changes_earlier_positions() {
    let (ids, parts) = sequence();
    let model = tiny(Kind::Float);
    let end = parts.total() - 3;
    for attention in [Attention::Released, Attention::ReleasedBidirectional] {
        let runs = attention.runs(&parts, Some(end));
        let (first, _) = model.forward(&ids, &runs, None).unwrap();
        let changed = [&ids[..=end], &[1, 1]].concat();
        let (second, _) = model.forward(&changed, &runs, None).unwrap();
        let cut = |states: &Tensor| states.narrow(0, 0, end as i64 + 1);
        assert_eq!(cut(&first), cut(&second), "{attention}");
        assert_ne!(first, second, "{attention}");
    }
}

#[test]
fn half_precision_stays_near_single_precision() {
    let (ids, parts) = sequence();
    let runs = Attention::Released.runs(&parts, None);
    let logits = |kind| {
        let model = tiny(kind);
        model.logits(&model.forward(&ids, &runs, None).unwrap().0).unwrap()
    };
    let single = logits(Kind::Float);
    for kind in [Kind::BFloat16, Kind::Half] {
        let other = logits(kind);
        assert_eq!(other.kind(), Kind::Float);
        let apart = (&other - &single).abs().mean(Kind::Float).double_value(&[]);
        assert!(apart < 0.05, "{kind:?}: {apart}");
    }
}

#[test]
fn the_listed_parameters_are_the_ones_asked_for() {
    let sizes = tiny(Kind::Float);
    assert_eq!(sizes.max_positions(), 64);
    let mut asked = vec![];
    let config = ModelConfig::parse(
        r#"{"vocab_size": 64, "hidden_size": 32, "intermediate_size": 48,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
            "rms_norm_eps": 1e-5, "rope_theta": 1e6, "max_position_embeddings": 8,
            "pad_token_id": 1, "bos_token_id": 1, "img_token_id": 1, "boi_token_id": 1,
            "eoi_token_id": 1, "eof_token_id": 1, "boa_token_id": 1, "eoa_token_id": 1,
            "mask_token_id": 1, "bov_token_id": 1, "eov_token_id": 1,
            "last_action_token_id": 1}"#,
        std::path::Path::new("config.json"),
    )
    .unwrap();
    let mut get = |name: &str, shape: &[i64]| {
        asked.push((name.to_owned(), shape.to_vec()));
        Ok(Tensor::zeros(shape, (Kind::Float, Device::Cpu)))
    };
    let placement = Placement { device: Device::Cpu, kind: Kind::Float };
    Transformer::build(&config, placement, &mut get).unwrap();
    let mut listed = Transformer::parameters(&config);
    listed.sort();
    asked.sort();
    assert_eq!(listed, asked);
}

/// Bit for bit, for any batch size. Three threads would split the work elsewhere than at starts of
/// sequences, and differ in the last bit.
#[test]
fn sequences_of_a_batch_have_the_states_that_they_have_alone() {
    let model = wide();
    let lengths = [(3, 40), (10, 40), (64, 40), (1, 40)];
    for threads in [1, 2, 4] {
        tch::set_num_threads(threads);
        for attention in Attention::ALL {
            let parts = lengths.map(|(text, view)| Parts::new(text, vec![view, 9], 7));
            let ids: Vec<Vec<i64>> = (0..)
                .zip(&parts)
                .map(|(row, parts)| {
                    (0..parts.total() as i64).map(|at| (at * 29 + row * 7) % 64).collect()
                })
                .collect();
            let runs: Vec<_> = parts.iter().map(|parts| attention.runs(parts, None)).collect();
            let row = |(ids, runs)| Sequence { ids, runs, cache: None };
            let rows: Vec<Sequence> = ids
                .iter()
                .map(Vec::as_slice)
                .zip(runs.iter().map(Vec::as_slice))
                .map(row)
                .collect();
            // Every third place of each row, and a second span of the last two.
            let places = |row: &Sequence, step: usize| (0..row.ids.len()).rev().step_by(step);
            let wanted =
                |row: &Sequence| [places(row, 3).collect(), places(row, 1).take(2).collect()];
            let wanted: Vec<[Vec<usize>; 2]> = rows.iter().map(wanted).collect();
            let wanted = |part: usize, index: usize| {
                let mut places = wanted[index][part].clone();
                places.reverse();
                places
            };
            let of_part = |part: usize| (0..rows.len()).map(move |index| (index, part));
            let spans = of_part(0).chain(of_part(1));
            let spans: Vec<_> = spans.map(|(index, part)| (index, wanted(part, index))).collect();
            let (together, caches) = model.forward_batch(&rows, &spans, &[]).unwrap();
            for (index, row) in rows.iter().enumerate() {
                let own = [(0, wanted(0, index)), (0, wanted(1, index))];
                let (alone, cache) = model.forward_batch(&[*row], &own, &[]).unwrap();
                for part in [0, 1] {
                    let at = part * rows.len() + index;
                    let (alone, own) = alone.spans(part..part + 1).unwrap();
                    let (batched, packing) = together.spans(at..at + 1).unwrap();
                    let cut = |x: &Tensor, packing: &Packing| packing.slice(x, 0, 0).unwrap();
                    let equal = cut(&alone, &own) == cut(&batched, &packing);
                    assert!(equal, "{threads} {attention}: {index} {part}");
                }
                assert_eq!(cache[0].layers, caches[index].layers, "{threads} {attention}: {index}");
            }
        }
    }
    tch::set_num_threads(1);
}
