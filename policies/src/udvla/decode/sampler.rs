//! Samplers: which sampled ids a denoising step keeps, by the released code and by the paper.

use crate::names::names;

use serde::{Deserialize, Serialize};

/// How a denoising step samples ids and chooses the ones to keep.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Sampler {
    /// The released code's: multinomial, ranked by probability with annealed Gumbel noise.
    ///
    /// Ids are sampled at temperature 1; the schedule counts the whole block.
    #[default]
    Released,
    /// The paper's: Gumbel-max at a temperature, ranked by the largest probability.
    ///
    /// The schedule counts masked positions. Source: Eq. 10 to 12.
    Paper,
}

names!(Sampler { Released => "released", Paper => "paper" });

/// Treatment of masked slots after an end of actions that an earlier step fixed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AfterEnd {
    /// Sampled, ranked and fixed like all others (joint decoding).
    #[default]
    Sample,
    /// Left as MASK (action stage of independent diffusion).
    KeepMask,
}

/// Sampling parameters of a denoising stage.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(missing_docs, reason = "the types say what the fields are")]
pub struct Rules {
    pub sampler: Sampler,
    /// Released sampler: temperature of the ranking noise before the first step. Paper's sampler:
    /// sampling temperature; 0 is argmax.
    pub temperature: f64,
    pub after_end: AfterEnd,
}

impl Default for Rules {
    /// Joint decoding by the released code.
    fn default() -> Self {
        Self { sampler: Sampler::Released, temperature: 1.0, after_end: AfterEnd::Sample }
    }
}

impl Rules {
    /// Joint decoding with the paper's sampler.
    pub fn paper(temperature: f64) -> Self {
        Self { sampler: Sampler::Paper, temperature, ..Self::default() }
    }
}

/// Released schedule: number of positions that stay masked after step `step` of `steps` (from 1).
///
/// Cosine schedule: few positions are fixed in early steps, most in late ones. `tokens` is the
/// length of the whole block, including given positions. At least one position stays masked even
/// after the last step; the caller fills it from that step's samples.
///
/// Source: paper section 3.3; the rounding and both bounds follow the released sampler.
///
/// # Panics
/// If `step` is not in `1..=steps`.
pub fn still_masked(step: u16, steps: u16, tokens: usize, masked_now: usize) -> usize {
    assert!((1..=steps).contains(&step), "step {step} of {steps}");
    // In f32 like the released code: 708 tokens at 2/3 leave 353, not 354.
    let progress = (f64::from(step) / f64::from(steps)) as f32;
    let share = (progress * std::f32::consts::PI * 0.5).cos();
    let scheduled = (tokens as f32 * share) as usize;
    scheduled.min(masked_now.saturating_sub(1)).max(1)
}

/// The `positions` whose rank is strictly below entry `count` (from 0) of the sorted ranks; all of
/// them if there are at most `count`.
///
/// The released code also ranks fixed positions, above all masked ones, so that they never count.
pub(super) fn lowest(positions: &[usize], ranks: &[f64], count: usize) -> Vec<usize> {
    let mut sorted = ranks.to_vec();
    sorted.sort_by(f64::total_cmp);
    let threshold = sorted.get(count).copied().unwrap_or(f64::INFINITY);
    positions.iter().zip(ranks).filter(|(_, rank)| **rank < threshold).map(|(&at, _)| at).collect()
}

/// Paper's schedule: number of `masked_now` positions to fix in step `step` of `steps` (from 1).
///
/// With t = `steps` + 1 - `step`: `k = max(1, round((1 - rho_t) |M_t|))` where
/// `rho_t = cos(pi/2 (T + 1 - t) / (T + 1))` and `|M_t|` is `masked_now`; at t = 1 everything is
/// fixed.
///
/// Source: paper section 3.3, Eq. 11; the paper leaves the rounding, the bound and the last step
/// open.
///
/// # Panics
/// If `step` is not in `1..=steps`.
pub fn newly_fixed(step: u16, steps: u16, masked_now: usize) -> usize {
    assert!((1..=steps).contains(&step), "step {step} of {steps}");
    if step == steps {
        return masked_now;
    }
    let share = (std::f64::consts::FRAC_PI_2 * f64::from(step) / (f64::from(steps) + 1.0)).cos();
    (((1.0 - share) * masked_now as f64).round() as usize).max(1).min(masked_now)
}

/// The `positions` that stay masked if the `count` most confident ones are fixed (ties: the first
/// are fixed), ascending.
pub(super) fn least_confident(
    positions: &[usize],
    confidences: &[f64],
    count: usize,
) -> Vec<usize> {
    let mut order: Vec<usize> = (0..positions.len()).collect();
    order.sort_by(|&a, &b| confidences[b].total_cmp(&confidences[a]));
    let mut left: Vec<usize> = order.into_iter().skip(count).map(|at| positions[at]).collect();
    left.sort_unstable();
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left masked after each step while no two ranks are equal.
    fn schedule(steps: u16, tokens: usize, unknown: usize) -> Vec<usize> {
        let mut masked = unknown;
        (1..=steps)
            .map(|step| {
                masked = still_masked(step, steps, tokens, masked);
                masked
            })
            .collect()
    }

    #[test]
    fn the_schedule_of_two_views_in_72_steps_is_the_released_one() {
        let masked = schedule(72, 817, 812);
        let facts = [9, 24, 36, 48, 60, 71, 72].map(|step| masked[step - 1]);
        assert_eq!(facts, [801, 707, 577, 408, 211, 17, 1]);
        assert_eq!(masked[..8], [811, 810, 809, 808, 807, 806, 805, 804]);
        let committed: Vec<usize> = masked.windows(2).map(|pair| pair[0] - pair[1]).collect();
        assert_eq!(committed[7..9], [3, 4]);
        assert_eq!(committed.iter().max(), Some(&18));
    }

    #[test]
    fn other_schedules_of_the_released_sampler() {
        assert_eq!(schedule(10, 181, 178), [177, 172, 161, 146, 127, 106, 82, 55, 28, 1]);
        // In f64 the second number would be 354.
        assert_eq!(schedule(3, 708, 705), [613, 353, 1]);
        let slow = schedule(128, 708, 705);
        assert!(slow[..20].windows(2).all(|pair| pair[0] - pair[1] == 1), "{:?}", &slow[..24]);
        assert_eq!(slow[127], 1);
    }

    #[test]
    fn the_schedule_never_rises_and_ends_at_one() {
        for (steps, tokens, unknown) in [(1, 817, 812), (5, 20, 3), (200, 817, 812), (72, 8, 1)] {
            let masked = schedule(steps, tokens, unknown);
            assert!(masked.windows(2).all(|pair| pair[1] <= pair[0]), "{masked:?}");
            assert_eq!(masked.last(), Some(&1));
        }
    }

    #[test]
    fn ties_at_the_cut_are_kept() {
        assert_eq!(lowest(&[4, 5, 6], &[2.0, 1.0, 3.0], 1), [5]);
        assert_eq!(lowest(&[4, 5, 6], &[1.0, 1.0, 3.0], 1), [0_usize; 0]);
        assert_eq!(lowest(&[4], &[-9.0], 1), [4]);
    }

    #[test]
    fn the_papers_schedule_ends_with_nothing_masked() {
        for steps in [1, 4, 8, 16, 72, 128] {
            for unknown in [1, 5, 705, 812] {
                let mut masked = unknown;
                for step in 1..=steps {
                    let count = newly_fixed(step, steps, masked);
                    assert!(count <= masked && (count > 0 || masked == 0), "{step} of {steps}");
                    masked -= count;
                }
                assert_eq!(masked, 0, "{unknown} in {steps}");
            }
        }
    }

    #[test]
    fn the_share_is_of_what_is_masked_now() {
        // 1 - cos(pi/2 s/5) for s = 1 to 3: 0.0489, 0.1910, 0.4122.
        assert_eq!(
            [(1, 812), (2, 772), (3, 625)].map(|(s, m)| newly_fixed(s, 4, m)),
            [40, 147, 258]
        );
        assert_eq!(newly_fixed(1, 72, 812), 1);
        assert_eq!(newly_fixed(4, 4, 367), 367);
    }

    #[test]
    fn the_least_confident_stay_masked_and_of_ties_the_last() {
        assert_eq!(least_confident(&[3, 5, 8, 9], &[0.5, 0.1, 0.5, 0.9], 2), [5, 8]);
        assert_eq!(least_confident(&[3, 5], &[0.5, 0.1], 2), [0_usize; 0]);
    }
}
