//! What training asks of the model: corrupted blocks and the three losses, as pure functions.
//!
//! Gradients flow from a loss through `logits` to whatever weights were made to require them.

use std::ops::RangeInclusive;

use tch::{Kind, TchError, Tensor};

use super::config::SpecialIds;

/// The label of a position that no loss looks at.
pub const UNSCORED: i64 = -100;
/// The released lower bound of a mask ratio.
pub const SMALLEST_RATIO: f32 = 0.1;

/// The random numbers that corrupt one part of a block.
#[derive(Debug, Clone, Copy)]
pub struct PartNoise<'a> {
    /// What the mask ratio follows from, in [0, 1).
    pub ratio: f64,
    /// One number per position; the positions with the smallest are masked.
    pub order: &'a [f64],
}

/// Part of a sequence with some ids replaced by MASK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corrupted {
    /// What the model is shown.
    pub ids: Vec<i64>,
    /// What it should say there; [`UNSCORED`] where nothing was replaced.
    pub labels: Vec<i64>,
}

/// The mask ratio of a uniform number in [0, 1): `cos(pi/2 u)`, at least [`SMALLEST_RATIO`].
///
/// Source: `mask_or_random_replace_tokens` of the released training code.
pub fn mask_ratio(uniform: f64) -> f32 {
    (uniform as f32 * std::f32::consts::FRAC_PI_2).cos().max(SMALLEST_RATIO)
}

/// Replaces ids of one part by MASK: `round(n * ratio)` of its `n` positions are chosen, those of
/// them that hold a begin or end mark of a view or the begin mark of the actions stay as they
/// are. At least one position is masked wherever one can be.
///
/// Views and actions are corrupted apart, with a ratio of their own each.
///
/// Source: as [`mask_ratio`]; there a choice that hits only marks masks nothing.
///
/// # Panics
/// If `noise.order` has not as many numbers as `part` has ids.
pub fn corrupt(part: &[i64], noise: &PartNoise, ids: &SpecialIds) -> Corrupted {
    assert_eq!(noise.order.len(), part.len(), "numbers and positions");
    let marks = [ids.boi_token_id, ids.eoi_token_id, ids.boa_token_id];
    let wanted = (part.len() as f32 * mask_ratio(noise.ratio)).round_ties_even() as usize;
    let mut order: Vec<usize> = (0..part.len()).collect();
    order.sort_by(|&a, &b| noise.order[a].total_cmp(&noise.order[b]));
    let maskable = |at: &&usize| !marks.contains(&part[**at]);
    let mut chosen: Vec<usize> =
        order[..wanted.max(1).min(part.len())].iter().filter(maskable).copied().collect();
    if chosen.is_empty() {
        chosen.extend(order.iter().find(maskable));
    }
    let mut corrupted = Corrupted { ids: part.to_vec(), labels: vec![UNSCORED; part.len()] };
    for at in chosen {
        corrupted.labels[at] = part[at];
        corrupted.ids[at] = ids.mask_token_id;
    }
    corrupted
}

/// The views of a block, corrupted, then its actions, corrupted, filled up with MASK to `slots`.
///
/// # Panics
/// If a noise has not as many numbers as its part has ids.
pub fn corrupt_block(
    [views, actions]: [&[i64]; 2],
    noise: [&PartNoise; 2],
    slots: usize,
    ids: &SpecialIds,
) -> Corrupted {
    let mut block = corrupt(views, noise[0], ids);
    let actions = corrupt(actions, noise[1], ids);
    block.ids.extend(actions.ids);
    block.labels.extend(actions.labels);
    let length = views.len() + slots.max(block.ids.len() - views.len());
    block.ids.resize(length, ids.mask_token_id);
    block.labels.resize(length, UNSCORED);
    block
}

/// Which rows of states predict something that is scored, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Targets {
    /// Rows, ascending: the states at a position predict the next one.
    pub rows: Vec<i64>,
    /// The id that each should give.
    pub ids: Vec<i64>,
}

impl Targets {
    /// The targets of a sequence's labels; the first position has no row that predicts it.
    pub fn of(labels: &[i64]) -> Self {
        let scored = labels.iter().enumerate().skip(1).filter(|(_, label)| **label != UNSCORED);
        let (rows, ids) = scored.map(|(at, &label)| (at as i64 - 1, label)).unzip();
        Self { rows, ids }
    }

    /// The rows of `states [t, d]` that predict something: `[n, d]`.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn select(&self, states: &Tensor) -> Result<Tensor, TchError> {
        states.f_index_select(0, &Tensor::f_from_slice(&self.rows)?.f_to_device(states.device())?)
    }
}

/// How much a visual code counts; every other id counts 1.
#[derive(Debug, Clone, PartialEq)]
pub struct VisionWeight {
    /// The weight.
    pub weight: f64,
    /// The visual codes.
    pub codes: RangeInclusive<i64>,
}

impl VisionWeight {
    /// `weight` for the visual codes of a vocabulary.
    pub fn new(weight: f64, ids: &SpecialIds) -> Self {
        Self { weight, codes: ids.bov_token_id..=ids.eov_token_id }
    }

    fn of(&self, targets: &[i64]) -> Vec<f64> {
        let weight = |id: &i64| if self.codes.contains(id) { self.weight } else { 1.0 };
        targets.iter().map(weight).collect()
    }
}

/// The released training loss: weighted cross-entropy of `logits [n, vocab]` f32 at `targets`
/// `[n]`, divided by the sum of the weights. A scalar, f32.
///
/// Source: `Emu3MoE.forward` of the released model code.
///
/// # Errors
/// What libtorch refuses.
pub fn released(
    logits: &Tensor,
    targets: &[i64],
    weight: &VisionWeight,
) -> Result<Tensor, TchError> {
    let weights = Tensor::f_from_slice(&weight.of(targets))?;
    let weights = weights.f_to_kind(logits.kind())?.f_to_device(logits.device())?; // [n]
    let total = weights.f_sum(None::<Kind>)?;
    surprise(logits, targets)?.f_mul(&weights)?.f_sum(None::<Kind>)?.f_div(&total)
}

/// The paper's training loss: weighted cross-entropy as in [`released`], divided by the number of
/// masked positions. A scalar, f32.
///
/// Source: paper Eq. 8 with the mean of Eq. 16. The paper weighs visual tokens; which of the
/// format tokens around the codes count as such it does not say, here none does.
///
/// # Errors
/// What libtorch refuses.
pub fn paper(logits: &Tensor, targets: &[i64], weight: &VisionWeight) -> Result<Tensor, TchError> {
    let weights = Tensor::f_from_slice(&weight.of(targets))?;
    let weights = weights.f_to_kind(logits.kind())?.f_to_device(logits.device())?; // [n]
    surprise(logits, targets)?.f_mul(&weights)?.f_mean(None::<Kind>)
}

/// The next-token loss: the mean cross-entropy of `logits [n, vocab]` f32 at `targets` `[n]`.
///
/// Source: paper Eq. 17.
///
/// # Errors
/// What libtorch refuses.
pub fn next_token(logits: &Tensor, targets: &[i64]) -> Result<Tensor, TchError> {
    surprise(logits, targets)?.f_mean(None::<Kind>)
}

/// The negative logarithm of each target's probability, `[n]`.
fn surprise(logits: &Tensor, targets: &[i64]) -> Result<Tensor, TchError> {
    let targets = Tensor::f_from_slice(targets)?.f_to_device(logits.device())?.f_unsqueeze(1)?;
    let logarithms = logits.f_log_softmax(-1, logits.kind())?;
    logarithms.f_gather(1, &targets, false)?.f_squeeze_dim(1)?.f_neg()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    fn ids() -> SpecialIds {
        SpecialIds::default()
    }

    fn noise(name: &str, count: usize) -> Vec<f64> {
        golden::uniform(name, count)
    }

    #[test]
    fn ratios_fall_from_one_and_are_clipped() {
        assert_eq!(mask_ratio(0.0), 1.0);
        assert!((mask_ratio(0.5) - std::f32::consts::FRAC_1_SQRT_2).abs() < 1e-6);
        assert_eq!(mask_ratio(0.99), 0.1);
    }

    #[test]
    fn the_share_of_a_part_is_masked_but_its_marks_are_not() {
        let ids = ids();
        let part: Vec<i64> = [ids.boi_token_id]
            .into_iter()
            .chain(200_000..200_098)
            .chain([ids.eoi_token_id])
            .collect();
        for (ratio, wanted) in [(0.0, 100), (0.5, 71), (0.9, 16), (0.999, 10)] {
            let order = noise(&format!("order/{ratio}"), part.len());
            let corrupted = corrupt(&part, &PartNoise { ratio, order: &order }, &ids);
            let masked = corrupted.ids.iter().filter(|&&id| id == ids.mask_token_id).count();
            assert!((wanted - 2..=wanted).contains(&masked), "{ratio}: {masked}");
            for (at, &id) in part.iter().enumerate() {
                let pair = (corrupted.ids[at], corrupted.labels[at]);
                assert!(pair == (id, UNSCORED) || pair == (ids.mask_token_id, id), "{at}");
            }
            assert_eq!((corrupted.ids[0], corrupted.ids[99]), (part[0], part[99]));
        }
    }

    #[test]
    fn at_least_one_is_masked_and_the_slots_behind_are_not_scored() {
        let ids = ids();
        let views = [ids.boi_token_id, 7, ids.eoi_token_id];
        let actions = [ids.boa_token_id, 5, ids.eoa_token_id];
        let order = [0.1, 0.9, 0.2];
        let noise = PartNoise { ratio: 0.999, order: &order };
        let block = corrupt_block([&views, &actions], [&noise, &noise], 5, &ids);
        let mask = ids.mask_token_id;
        let (boi, eoi, boa) = (ids.boi_token_id, ids.eoi_token_id, ids.boa_token_id);
        assert_eq!(block.ids, [boi, mask, eoi, boa, 5, mask, mask, mask]);
        assert_eq!(block.labels, [-100, 7, -100, -100, -100, ids.eoa_token_id, -100, -100]);
    }

    #[test]
    fn targets_are_shifted() {
        let targets = Targets::of(&[9, UNSCORED, 4, UNSCORED, 6]);
        assert_eq!(targets, Targets { rows: vec![1, 3], ids: vec![4, 6] });
    }

    #[test]
    fn losses_and_their_gradients_are_those_of_the_equations() {
        let numbers: Vec<f32> = noise("logits", 12).iter().map(|&u| u as f32).collect();
        let targets = [0, 3, 2];
        let weight = VisionWeight { weight: 0.5, codes: 3..=3 };
        let log = |row: usize, id: i64| {
            let row = &numbers[row * 4..row * 4 + 4];
            row.iter().map(|x| x.exp()).sum::<f32>().ln() - row[id as usize]
        };
        let each = [log(0, 0), log(1, 3), log(2, 2)];
        let weighted = each[0] + 0.5 * each[1] + each[2];
        let logits = || Tensor::from_slice(&numbers).view([3, 4]).set_requires_grad(true);
        for (name, loss, wanted, share) in [
            ("released", released(&logits(), &targets, &weight).unwrap(), weighted / 2.5, 0.2),
            ("paper", paper(&logits(), &targets, &weight).unwrap(), weighted / 3.0, 1.0 / 6.0),
            (
                "next token",
                next_token(&logits(), &targets).unwrap(),
                each.iter().sum::<f32>() / 3.0,
                1.0 / 3.0,
            ),
        ] {
            assert!((loss.double_value(&[]) as f32 - wanted).abs() < 1e-6, "{name}");
            let leaf = logits();
            let loss = match name {
                "released" => released(&leaf, &targets, &weight),
                "paper" => paper(&leaf, &targets, &weight),
                _ => next_token(&leaf, &targets),
            };
            loss.unwrap().backward();
            // By the target of row 1: its share times (probability - 1).
            let got = leaf.grad().double_value(&[1, 3]);
            let wanted = share * (f64::from((-each[1]).exp()) - 1.0);
            assert!((got - wanted).abs() < 1e-6, "{name}: {got} {wanted}");
        }
    }
}
