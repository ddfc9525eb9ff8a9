//! Corruption of blocks and losses for training, as pure functions.
//!
//! Gradients flow from a loss through `logits` to all weights that require them.

use std::ops::RangeInclusive;

use tch::{Kind, TchError, Tensor};

use crate::udvla::checkpoint::SpecialIds;

/// Label of positions that no loss scores.
pub const UNSCORED: i64 = -100;
/// Lower bound of mask ratios in the release.
pub const SMALLEST_RATIO: f32 = 0.1;

/// Random numbers for the corruption of one part of a block.
#[derive(Debug, Clone, Copy)]
pub struct PartNoise<'a> {
    /// Determines the mask ratio; in [0, 1).
    pub ratio: f64,
    /// One number per position; positions with the smallest numbers are masked.
    pub order: &'a [f64],
}

/// Part of a sequence with some ids replaced by MASK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corrupted {
    /// Input of the model.
    pub ids: Vec<i64>,
    /// Original ids of masked positions, [`UNSCORED`] elsewhere.
    pub labels: Vec<i64>,
}

/// The mask ratio of a uniform number in [0, 1): `cos(pi/2 u)`, at least [`SMALLEST_RATIO`].
///
/// Source: `mask_or_random_replace_tokens` of the released training code.
pub fn mask_ratio(uniform: f64) -> f32 {
    (uniform as f32 * std::f32::consts::FRAC_PI_2).cos().max(SMALLEST_RATIO)
}

/// Replaces ids of one part by MASK: `round(n * ratio)` of `n` positions are chosen, of which
/// begin and end marks of images and the begin-of-actions mark are kept. At least one position is
/// masked if any can be.
///
/// Images and actions are corrupted separately, each with its own ratio.
///
/// Source: as [`mask_ratio`]; there, a choice of marks only masks nothing.
///
/// # Panics
/// If the lengths of `noise.order` and `part` differ.
pub fn corrupt(part: &[i64], noise: &PartNoise, ids: &SpecialIds) -> Corrupted {
    assert_eq!(noise.order.len(), part.len(), "numbers and positions");
    let marks = [ids.boi_token_id, ids.eoi_token_id, ids.boa_token_id];
    let count = (part.len() as f32 * mask_ratio(noise.ratio)).round_ties_even() as usize;
    let mut order: Vec<usize> = (0..part.len()).collect();
    order.sort_by(|&a, &b| noise.order[a].total_cmp(&noise.order[b]));
    let maskable = |at: &&usize| !marks.contains(&part[**at]);
    let mut chosen: Vec<usize> =
        order[..count.max(1).min(part.len())].iter().filter(maskable).copied().collect();
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

/// Corrupts a block's images, then its actions, padded with MASK to `slots`.
///
/// # Panics
/// If the lengths of a part and its noise differ.
pub fn corrupt_block(
    [images, actions]: [&[i64]; 2],
    noise: [&PartNoise; 2],
    slots: usize,
    ids: &SpecialIds,
) -> Corrupted {
    let mut block = corrupt(images, noise[0], ids);
    let actions = corrupt(actions, noise[1], ids);
    block.ids.extend(actions.ids);
    block.labels.extend(actions.labels);
    let length = images.len() + slots.max(block.ids.len() - images.len());
    block.ids.resize(length, ids.mask_token_id);
    block.labels.resize(length, UNSCORED);
    block
}

/// Hidden states that predict a scored position, and the ids they should predict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Targets {
    /// Positions of the hidden states, ascending; each predicts the next position.
    pub rows: Vec<i64>,
    /// Target ids.
    pub ids: Vec<i64>,
}

impl Targets {
    /// Targets for a sequence's labels; nothing predicts the first position.
    pub fn from_labels(labels: &[i64]) -> Self {
        let scored = labels.iter().enumerate().skip(1).filter(|(_, label)| **label != UNSCORED);
        let (rows, ids) = scored.map(|(at, &label)| (at as i64 - 1, label)).unzip();
        Self { rows, ids }
    }

    /// Selects from hidden states `[t, d]`: `[n, d]`.
    pub fn select(&self, states: &Tensor) -> Result<Tensor, TchError> {
        states.f_index_select(0, &Tensor::f_from_slice(&self.rows)?.f_to_device(states.device())?)
    }
}

/// Loss weight of visual codes; all other ids have weight 1.
#[derive(Debug, Clone, PartialEq)]
pub struct VisionWeight {
    /// Weight of a visual code.
    pub weight: f64,
    /// Ids of the visual codes.
    pub codes: RangeInclusive<i64>,
}

impl VisionWeight {
    /// `weight` for the visual codes of a vocabulary.
    pub fn new(weight: f64, ids: &SpecialIds) -> Self {
        Self { weight, codes: ids.bov_token_id..=ids.eov_token_id }
    }

    fn weights(&self, targets: &[i64]) -> Vec<f64> {
        let weight = |id: &i64| if self.codes.contains(id) { self.weight } else { 1.0 };
        targets.iter().map(weight).collect()
    }
}

/// Ids whose order is that of the numbers they stand for. A target among them is blurred: its
/// neighbors, up to 3 standard deviations away, are targets too, weighted by the density of a
/// Gaussian. Weight beyond the first or last id is theirs.
///
/// Source: after HL-Gauss of Farebrother et al. 2024; the paper's targets are single ids.
#[derive(Debug, Clone, PartialEq)]
pub struct Blur {
    /// The ordered ids.
    pub ids: RangeInclusive<i64>,
    /// Standard deviation in ids, over 0.
    pub deviation: f64,
}

impl Blur {
    /// Offsets from a target, with weights that add up to 1.
    fn weights(&self) -> Vec<(i64, f64)> {
        let reach = (3.0 * self.deviation).ceil() as i64;
        let height = |offset: i64| (-0.5 * (offset as f64 / self.deviation).powi(2)).exp();
        let total: f64 = (-reach..=reach).map(height).sum();
        (-reach..=reach).map(|offset| (offset, height(offset) / total)).collect()
    }

    /// The id `offset` from `target`, within the ordered ids.
    fn neighbor(&self, target: i64, offset: i64) -> i64 {
        match self.ids.contains(&target) {
            true => (target + offset).clamp(*self.ids.start(), *self.ids.end()),
            false => target,
        }
    }
}

/// The released training loss: weighted cross-entropy of `logits [n, vocab]` f32 at `targets`
/// `[n]`, divided by the sum of the weights. A scalar, f32.
///
/// Source: `Emu3MoE.forward` of the released model code.
pub fn released(
    logits: &Tensor,
    targets: &[i64],
    weight: &VisionWeight,
    blur: Option<&Blur>,
) -> Result<Tensor, TchError> {
    let weights = Tensor::f_from_slice(&weight.weights(targets))?;
    let weights = weights.f_to_kind(logits.kind())?.f_to_device(logits.device())?; // [n]
    let total = weights.f_sum(None::<Kind>)?;
    cross_entropy(logits, targets, blur)?.f_mul(&weights)?.f_sum(None::<Kind>)?.f_div(&total)
}

/// The paper's training loss: weighted cross-entropy as in [`released`], divided by the number of
/// masked positions. A scalar, f32.
///
/// Source: paper Eq. 8 with the mean of Eq. 16. The paper does not say whether format tokens
/// around the codes count as visual tokens; here they do not.
pub fn paper(
    logits: &Tensor,
    targets: &[i64],
    weight: &VisionWeight,
    blur: Option<&Blur>,
) -> Result<Tensor, TchError> {
    let weights = Tensor::f_from_slice(&weight.weights(targets))?;
    let weights = weights.f_to_kind(logits.kind())?.f_to_device(logits.device())?; // [n]
    cross_entropy(logits, targets, blur)?.f_mul(&weights)?.f_mean(None::<Kind>)
}

/// The next-token loss: the mean cross-entropy of `logits [n, vocab]` f32 at `targets` `[n]`.
///
/// Source: paper Eq. 17.
pub fn next_token(logits: &Tensor, targets: &[i64]) -> Result<Tensor, TchError> {
    cross_entropy(logits, targets, None)?.f_mean(None::<Kind>)
}

/// Negative log-probability of each target, over its neighbors if blurred, `[n]`.
fn cross_entropy(
    logits: &Tensor,
    targets: &[i64],
    blur: Option<&Blur>,
) -> Result<Tensor, TchError> {
    let neighbors = blur.map_or(vec![(0, 1.0)], Blur::weights);
    let id = |target, offset| blur.map_or(target, |blur| blur.neighbor(target, offset));
    let ids: Vec<i64> = (targets.iter())
        .flat_map(|&target| neighbors.iter().map(move |(offset, _)| id(target, *offset)))
        .collect();
    let weights: Vec<f64> = neighbors.iter().map(|(_, weight)| *weight).collect();
    let weights = Tensor::f_from_slice(&weights)?.f_to_kind(logits.kind())?; // [k]
    let ids = Tensor::f_from_slice(&ids)?.f_view([-1, weights.size()[0]])?; // [n, k]
    let logarithms = logits.f_log_softmax(-1, logits.kind())?;
    let logarithms = logarithms.f_gather(1, &ids.f_to_device(logits.device())?, false)?;
    logarithms.f_matmul(&weights.f_to_device(logits.device())?)?.f_neg()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formula;

    fn ids() -> SpecialIds {
        SpecialIds::default()
    }

    fn noise(name: &str, count: usize) -> Vec<f64> {
        formula::uniform(name, count)
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
    fn at_least_one_is_masked_and_the_later_slots_are_not_scored() {
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
        let targets = Targets::from_labels(&[9, UNSCORED, 4, UNSCORED, 6]);
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
            (
                "released",
                released(&logits(), &targets, &weight, None).unwrap(),
                weighted / 2.5,
                0.2,
            ),
            (
                "paper",
                paper(&logits(), &targets, &weight, None).unwrap(),
                weighted / 3.0,
                1.0 / 6.0,
            ),
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
                "released" => released(&leaf, &targets, &weight, None),
                "paper" => paper(&leaf, &targets, &weight, None),
                _ => next_token(&leaf, &targets),
            };
            loss.unwrap().backward();
            // By the target of row 1: its share times (probability - 1).
            let got = leaf.grad().double_value(&[1, 3]);
            let wanted = share * (f64::from((-each[1]).exp()) - 1.0);
            assert!((got - wanted).abs() < 1e-6, "{name}: {got} {wanted}");
        }
    }

    #[test]
    fn a_blurred_target_is_the_weighted_mean_of_its_neighbors_and_others_are_as_they_were() {
        let numbers: Vec<f32> = noise("blurred", 6).iter().map(|&u| u as f32).collect();
        let logits = Tensor::from_slice(&numbers).view([1, 6]);
        let blur = Blur { ids: 1..=4, deviation: 0.3 };
        let value = |id, blur| cross_entropy(&logits, &[id], blur).unwrap().double_value(&[0]);
        // One neighbor on each side.
        let height = (-0.5_f64 / 0.09).exp();
        let [middle, side] = [1.0, height].map(|h| h / (1.0 + 2.0 * height));
        let exact: Vec<f64> = (0..6).map(|id| value(id, None)).collect();
        for (id, [left, right]) in [(1, [1, 2]), (2, [1, 3]), (4, [3, 4]), (0, [0, 0]), (5, [5, 5])]
        {
            let wanted = middle * exact[id] + side * (exact[left] + exact[right]);
            let got = value(id as i64, Some(&blur));
            assert!((got - wanted).abs() < 1e-6, "{id}: {got}, not {wanted}");
        }
    }
}
