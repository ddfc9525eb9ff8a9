//! Sampling noise as a function of a key, never of a generator's state.

use sha2::{Digest, Sha256};

use crate::formula::{self, split_mix};

/// Incremented with every change of the numbers for a key.
pub const NOISE_VERSION: u32 = 1;

/// Random numbers of one decoding call.
pub trait Noise {
    /// Samples the ids of `positions` block positions in step `step` (from 0): each in [0, 1).
    fn sample_uniforms(&self, step: u16, positions: usize) -> Vec<f64>;

    /// Perturbs the ranking of those positions: standard Gumbel.
    fn gumbel(&self, step: u16, positions: usize) -> Vec<f64>;
}

/// Noise keyed by (seed, episode, call), independent of everything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyedNoise {
    key: u64,
}

impl KeyedNoise {
    /// Noise of call number `call` of `episode`.
    pub fn new(seed: u64, episode: &str, call: u32) -> Self {
        let name = format!("udvla-noise-{NOISE_VERSION}/{seed}/{episode}/{call}");
        let digest = Sha256::digest(name.as_bytes());
        let bytes = digest[..8].try_into().expect("a SHA-256 has 32 bytes");
        Self { key: u64::from_le_bytes(bytes) }
    }

    /// One hash per (stream, step) plus a counter per position, hashed again: neighboring numbers
    /// are independent.
    fn uniforms(&self, stream: u64, step: u16, positions: usize) -> impl Iterator<Item = f64> {
        let row = split_mix(self.key ^ split_mix(stream << 32 | u64::from(step)));
        (0..positions as u64).map(move |position| unit(split_mix(row.wrapping_add(position))))
    }
}

impl Noise for KeyedNoise {
    fn sample_uniforms(&self, step: u16, positions: usize) -> Vec<f64> {
        self.uniforms(0, step, positions).collect()
    }

    fn gumbel(&self, step: u16, positions: usize) -> Vec<f64> {
        self.uniforms(1, step, positions).map(gumbel_of).collect()
    }
}

/// Noise of the golden files: series by name, the same for every call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GoldenNoise;

impl Noise for GoldenNoise {
    fn sample_uniforms(&self, step: u16, positions: usize) -> Vec<f64> {
        // The files were made with f32 numbers, whose rounding occasionally decides a sample.
        let uniforms = formula::uniform(&format!("sample/{step}"), positions);
        uniforms.into_iter().map(|u| f64::from(u as f32)).collect()
    }

    fn gumbel(&self, step: u16, positions: usize) -> Vec<f64> {
        let uniforms = formula::uniform(&format!("gumbel/{step}"), positions);
        uniforms.into_iter().map(gumbel_of).collect()
    }
}

/// Standard Gumbel noise from a uniform number; both logarithms' arguments are at least 1e-20 as in
/// the released sampler.
fn gumbel_of(uniform: f64) -> f64 {
    const SMALLEST: f64 = 1e-20;
    let exponential = -uniform.max(SMALLEST).ln();
    -exponential.max(SMALLEST).ln()
}

/// The upper 52 bits as the center of one of 2^52 equal cells of (0, 1).
fn unit(bits: u64) -> f64 {
    // Not 53 bits: the last cell's center would round to 1.
    ((bits >> 12) as f64 + 0.5) * 0.5_f64.powi(52)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_a_function_of_its_key() {
        let noise = |seed, episode, call| KeyedNoise::new(seed, episode, call);
        let first = noise(0, "long-task03-trial017", 2);
        assert_eq!(first, noise(0, "long-task03-trial017", 2));
        let others = [
            noise(1, "long-task03-trial017", 2),
            noise(0, "long-task03-trial018", 2),
            noise(0, "long-task03-trial017", 3),
        ];
        for other in others {
            assert_ne!(first.sample_uniforms(0, 4), other.sample_uniforms(0, 4));
        }
    }

    #[test]
    fn steps_streams_and_positions_differ_and_length_changes_nothing() {
        let noise = KeyedNoise::new(7, "goal-task00-trial000", 0);
        let long = noise.sample_uniforms(3, 817);
        assert_eq!(noise.sample_uniforms(3, 12), long[..12]);
        assert_ne!(noise.sample_uniforms(4, 1)[0], long[0]);
        let mut all: Vec<f64> = (0..72).flat_map(|step| noise.sample_uniforms(step, 817)).collect();
        all.extend((0..72).flat_map(|step| noise.gumbel(step, 817)));
        let count = all.len();
        all.sort_by(f64::total_cmp);
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn the_numbers_of_this_noise_version_stay() {
        let noise = KeyedNoise::new(0, "long-task03-trial017", 0);
        let numbers = [noise.sample_uniforms(0, 1)[0], noise.sample_uniforms(71, 817)[816]];
        // Worked out with an independent implementation.
        assert_eq!(numbers, [0.184_145_789_926_906_22, 0.962_280_190_609_776_8]);
    }

    #[test]
    fn uniforms_fill_the_open_interval_evenly() {
        let noise = KeyedNoise::new(0, "a", 0);
        let numbers: Vec<f64> =
            (0..100).flat_map(|step| noise.sample_uniforms(step, 1000)).collect();
        assert!(numbers.iter().all(|u| (0.0..1.0).contains(u) && *u > 0.0));
        let mut cells = [0_u32; 10];
        numbers.iter().for_each(|u| cells[(u * 10.0) as usize] += 1);
        // 10,000 each; five standard deviations of a binomial are 474.
        assert!(cells.iter().all(|n| n.abs_diff(10_000) < 474), "{cells:?}");
        assert_eq!(unit(u64::MAX), 1.0 - 0.5_f64.powi(53));
    }

    #[test]
    fn gumbel_noise_has_its_mean_and_its_bounds() {
        let noise = KeyedNoise::new(0, "a", 0);
        let numbers: Vec<f64> = (0..100).flat_map(|step| noise.gumbel(step, 1000)).collect();
        let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
        assert!((mean - 0.577_215_66).abs() < 0.02, "{mean}");
        assert!((gumbel_of(0.0) - -(46.051_701_859_880_914_f64.ln())).abs() < 1e-12);
        assert!((gumbel_of(1.0) - 46.051_701_859_880_914).abs() < 1e-12);
    }
}
