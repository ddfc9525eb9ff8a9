//! The loss of a step beside that of whole sequences, one by one.

use tch::Tensor;

use super::super::loss::Method;
use super::super::network::transformer;
use super::super::*;
use super::{Folder, config};
use crate::udvla::checkpoint::Attention;
use crate::udvla::model::Transformer;
use crate::udvla::model::training::{self, Corrupted, Targets, UNSCORED, VisionWeight};
use crate::udvla::prompt::Prompt;

/// The loss with shared prompts and packed shards is that of whole sequences, one by one.
#[test]
fn the_loss_of_a_step_is_that_of_whole_sequences() {
    let folder = Folder::new();
    for (attention, loss, action_blur) in [
        (Attention::Hybrid, Loss::Released, 1.5),
        (Attention::Hybrid, Loss::Paper, 0.0),
        (Attention::Released, Loss::Released, 0.0),
        (Attention::Causal, Loss::Paper, 1.5),
    ] {
        let mut config = config();
        config.policy.action_blur = action_blur;
        (config.attention, config.policy.loss) = (attention, loss);
        config.policy.regression_weight = 0.0;
        config.policy.stages.remove(0);
        assert_eq!(config.fault(), None);
        let (trainer, windows, tokenizer) = folder.policy(&config);
        let shards = trainer.shards(&windows, Objective::Joint, 3);
        assert_eq!(shards.len(), 2);
        let method = Method { config: config.clone(), model: trainer.model.clone() };
        let (fast, figures) = trainer
            .parameters
            .gradient(&shards, 2, |shard, tensors| method.loss(shard, Objective::Joint, tensors))
            .unwrap();
        let tensors = trainer.parameters.tensors().unwrap();
        let model = transformer(&trainer.model, &tensors).unwrap();
        let (mut states, mut wanted) = (vec![], vec![]);
        for shard in &shards {
            for (prompt, blocks) in shard.prompts.iter().zip(&shard.blocks) {
                for (copy, block) in blocks.iter().enumerate() {
                    let own = (copy < config.policy.own_copies)
                        .then(|| with_own_actions(&model, &trainer, prompt, block));
                    let ids = [&prompt.ids[..], own.as_ref().unwrap_or(&block.ids)].concat();
                    let end = ids.iter().position(|&id| id == trainer.ids().eoa_token_id);
                    let runs = attention.runs(&prompt.parts, end);
                    let hidden = vec![UNSCORED; prompt.ids.len()];
                    let targets = Targets::from_labels(&[hidden, block.labels.clone()].concat());
                    let (all, _) = model.forward(&ids, &runs, None).unwrap();
                    states.push(targets.select(&all).unwrap());
                    wanted.extend(targets.ids);
                }
            }
        }
        let logits = model.logits(&Tensor::cat(&states, 0)).unwrap();
        let weight = VisionWeight::new(config.policy.image_weight, trainer.ids());
        let blur = method.blur();
        // Ids of actions alone: what FAST cannot decode is no neighbor.
        let actions = blur.as_ref().map(|blur| blur.ids.clone().count());
        assert_eq!(actions, (action_blur > 0.0).then_some(tokenizer.vocabulary()));
        let plain = match loss {
            Loss::Released => training::released(&logits, &wanted, &weight, blur.as_ref()).unwrap(),
            Loss::Paper => training::paper(&logits, &wanted, &weight, blur.as_ref()).unwrap(),
        };
        let value = plain.double_value(&[]);
        let total = figures.iter().find(|(name, _)| *name == "loss").unwrap().1;
        assert!((total - value).abs() < 1e-5 * value, "{attention} {loss:?}: {total} {value}");
        let slow = trainer.parameters.gradient_of(plain).unwrap();
        let apart = (&fast - &slow).norm().double_value(&[]) / slow.norm().double_value(&[]);
        assert!(apart < 1e-4, "{attention} {loss:?}: {apart:e}");
    }
}

/// The ids of a block with the most probable actions, by a pass over the whole sequence, where it
/// shows actions.
fn with_own_actions(
    model: &Transformer,
    trainer: &PolicyTrainer,
    prompt: &Prompt,
    block: &Corrupted,
) -> Vec<i64> {
    let ids = trainer.ids();
    let actions = ids.eov_token_id + 1..=ids.last_action_token_id;
    let whole: Vec<i64> = (block.ids.iter().zip(&block.labels))
        .map(|(&id, &label)| if label == UNSCORED { id } else { label })
        .collect();
    let is_generated = |id: &i64| *id >= ids.bov_token_id || *id == ids.eoa_token_id;
    let hidden = |id: &i64| if is_generated(id) { ids.mask_token_id } else { *id };
    let input = [&prompt.ids[..], &whole.iter().map(hidden).collect::<Vec<_>>()].concat();
    let runs = trainer.config.attention.runs(&prompt.parts, None);
    let (states, _) = model.forward(&input, &runs, None).unwrap();
    let logits = model.logits(&states).unwrap();
    let best = |slot: usize| {
        let row = logits.get((prompt.ids.len() + slot) as i64 - 1);
        let value = |id: &i64| row.double_value(&[*id]);
        actions.clone().max_by(|a, b| value(a).total_cmp(&value(b))).unwrap()
    };
    let shown =
        |slot: usize| if actions.contains(&block.ids[slot]) { best(slot) } else { block.ids[slot] };
    (0..block.ids.len()).map(shown).collect()
}
