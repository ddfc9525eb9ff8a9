//! Gradients through the model that evaluations run.
#![cfg(feature = "torch")]

use std::collections::BTreeMap;

use tch::{Device, Kind, Tensor};
use udvla_policies::formula;
use udvla_policies::udvla::checkpoint::{Attention, ModelConfig, Placement, SpecialIds};
use udvla_policies::udvla::model::Transformer;
use udvla_policies::udvla::model::mask::Parts;
use udvla_policies::udvla::model::training::{self, Targets, UNSCORED, VisionWeight};

type Weights = BTreeMap<String, Tensor>;

fn config() -> ModelConfig {
    let text = r#"{"vocab_size": 64, "hidden_size": 32, "intermediate_size": 48,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "rms_norm_eps": 1e-5, "rope_theta": 1e6, "max_position_embeddings": 64}"#;
    ModelConfig { sizes: serde_json::from_str(text).unwrap(), ids: SpecialIds::default() }
}

fn weights() -> Weights {
    let weight = |(name, shape): (String, Vec<i64>)| {
        let values = Tensor::from_slice(&formula::language_weight(&name, &shape)).view(&shape[..]);
        (name, values.set_requires_grad(true))
    };
    Transformer::parameters(&config()).into_iter().map(weight).collect()
}

/// The released loss of a sequence with every third position scored, in f64.
fn loss(weights: &Weights, attention: Attention) -> Tensor {
    let placement = Placement { device: Device::Cpu, kind: Kind::Double };
    let mut get = |name: &str, _: &[i64]| Ok(weights[name].shallow_clone());
    let model = Transformer::build(&config(), placement, &mut get).unwrap();
    let parts = Parts::new(5, vec![8, 6], 7);
    let ids: Vec<i64> = (0..parts.total() as i64).map(|at| at * 29 % 64).collect();
    let label = |(at, &id): (usize, &i64)| if at % 3 == 2 { id } else { UNSCORED };
    let labels: Vec<i64> = ids.iter().enumerate().map(label).collect();
    let (states, _) = model.forward(&ids, &attention.runs(&parts, None), None).unwrap();
    let targets = Targets::from_labels(&labels);
    let logits = model.logits(&targets.select(&states).unwrap()).unwrap();
    let weight = VisionWeight { weight: 0.5, codes: 32..=63 };
    training::released(&logits, &targets.ids, &weight, None).unwrap()
}

#[test]
fn every_weight_gets_a_gradient_under_every_mask_and_a_step_along_it_lowers_the_loss() {
    for attention in Attention::ALL {
        let mut weights = weights();
        let before = loss(&weights, attention);
        before.backward();
        for (name, leaf) in &weights {
            let norm = leaf.grad().square().sum(Kind::Double).sqrt().double_value(&[]);
            assert!(norm.is_finite() && norm > 0.0, "{attention} {name}: {norm}");
        }
        for leaf in weights.values_mut() {
            *leaf = tch::no_grad(|| leaf.detach() - leaf.grad() * 0.05);
        }
        let after = loss(&weights, attention).double_value(&[]);
        assert!(after < before.double_value(&[]), "{attention}: {after}");
    }
}

/// Norms are always f32, which limits the precision of differences of losses.
#[test]
fn gradients_are_differences_of_the_loss() {
    for name in ["model.layers.0.mlp.up_proj.weight", "model.layers.1.self_attn.k_proj.weight"] {
        let weights = weights();
        loss(&weights, Attention::Hybrid).backward();
        let gradient = weights[name].grad();
        let direction = gradient.sign();
        let along = |size: f64| {
            let mut moved: Weights =
                weights.iter().map(|(name, leaf)| (name.clone(), leaf.detach())).collect();
            let shifted = &moved[name] + &direction * size;
            moved.insert(name.to_owned(), shifted);
            loss(&moved, Attention::Hybrid).double_value(&[])
        };
        let difference = (along(1e-3) - along(-1e-3)) / 2e-3;
        let wanted = gradient.abs().sum(Kind::Double).double_value(&[]);
        let apart = (difference - wanted).abs() / wanted;
        assert!(apart < 1e-2, "{name}: {difference} instead of {wanted}");
    }
}
