//! Offsets that are added to the expert's actions, so that demonstrations show how to recover.
//!
//! Drawn for an episode as a whole from (seed, suite, task, trial): the same in every collection,
//! whatever ran before.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use udvla_sims::episode::EpisodeKey;

/// Clean control steps before a burst, at least and at most.
const GAP: (u32, u32) = (20, 40);
/// Control steps of a burst, at least and at most.
const BURST: (u32, u32) = (3, 7);
/// Largest offset of the first three numbers of an action.
const TRANSLATION: f32 = 1.0;
/// Largest offset of the next three.
const ROTATION: f32 = 0.3;

/// How offsets are drawn, as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Noise {
    /// Share of the episodes that have bursts.
    pub share: f64,
    /// Clean control steps before a burst, at least and at most.
    pub gap: (u32, u32),
    /// Control steps of a burst, at least and at most.
    pub burst: (u32, u32),
    /// Largest offset of the first three numbers of an action.
    pub translation: f32,
    /// Largest offset of the next three.
    pub rotation: f32,
}

impl Noise {
    /// Bursts in this share of the episodes.
    pub fn new(share: f64) -> Self {
        Self { share, gap: GAP, burst: BURST, translation: TRANSLATION, rotation: ROTATION }
    }

    /// The offsets of an episode's first `steps` control steps, of `width` numbers each.
    pub fn offsets(&self, mut draws: Draws, steps: usize, width: usize) -> Offsets {
        let mut offsets =
            Offsets { width, values: vec![0.0; steps * width], noisy: vec![0; steps] };
        if f64::from(draws.unit()) >= self.share {
            return offsets;
        }
        let mut step = 0;
        loop {
            step += draws.integer(self.gap) as usize;
            let end = step + draws.integer(self.burst) as usize;
            let offset: Vec<f32> = (0..width).map(|index| self.offset(&mut draws, index)).collect();
            if step >= steps {
                return offsets;
            }
            for step in step..end.min(steps) {
                offsets.noisy[step] = 1;
                offsets.values[step * width..][..width].copy_from_slice(&offset);
            }
            step = end;
        }
    }

    fn offset(&self, draws: &mut Draws, index: usize) -> f32 {
        let most = match index {
            0..3 => self.translation,
            3..6 => self.rotation,
            _ => return 0.0,
        };
        most * (2.0 * draws.unit() - 1.0)
    }
}

/// The offsets of an episode.
#[derive(Debug, Clone, PartialEq)]
pub struct Offsets {
    width: usize,
    /// Numbers, step by step.
    values: Vec<f32>,
    /// 1 for every step with an offset, else 0.
    pub noisy: Vec<u8>,
}

impl Offsets {
    /// Those of `count` steps from `first` on; zeros after the last one.
    pub fn of_steps(&self, first: usize, count: usize) -> Vec<f32> {
        let range = first * self.width..(first + count) * self.width;
        range.map(|index| self.values.get(index).copied().unwrap_or_default()).collect()
    }
}

/// Numbers that are drawn one after the other from a seed, an episode's key and a purpose.
#[derive(Debug)]
pub struct Draws {
    key: String,
    count: u32,
}

impl Draws {
    /// The numbers for a purpose.
    pub fn new(seed: u64, episode: &EpisodeKey, purpose: &str) -> Self {
        Self { key: format!("{seed}/{episode}/{purpose}"), count: 0 }
    }

    /// The next number in [0, 1): 24 bits of a SHA-256.
    pub fn unit(&mut self) -> f32 {
        let digest = Sha256::digest(format!("{}/{}", self.key, self.count).as_bytes());
        self.count += 1;
        let bits = u32::from_le_bytes([digest[0], digest[1], digest[2], 0]);
        bits as f32 / (1 << 24) as f32
    }

    /// The next integer from the first to the second, both included.
    pub fn integer(&mut self, (least, most): (u32, u32)) -> u32 {
        let span = most - least + 1;
        least + (self.unit() * span as f32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offsets(share: f64, trial: u16) -> Offsets {
        let key = EpisodeKey { suite: "object".into(), task: 7, trial };
        Noise::new(share).offsets(Draws::new(3, &key, "noise"), 280, 7)
    }

    /// Lengths of the runs of equal values.
    fn runs(noisy: &[u8]) -> Vec<(u8, usize)> {
        noisy.chunk_by(|a, b| a == b).map(|run| (run[0], run.len())).collect()
    }

    #[test]
    fn bursts_are_short_and_leave_windows_of_clean_steps() {
        for trial in 0..50 {
            let offsets = offsets(1.0, trial);
            let runs = runs(&offsets.noisy);
            assert!(runs.len() > 8, "{runs:?}");
            for (noisy, length) in &runs[..runs.len() - 1] {
                let range = if *noisy == 1 { 3..=7 } else { 20..=40 };
                assert!(range.contains(length), "{runs:?}");
            }
        }
    }

    #[test]
    fn a_burst_has_one_offset_that_leaves_the_gripper_alone() {
        let offsets = offsets(1.0, 0);
        let rows: Vec<&[f32]> = offsets.values.chunks_exact(7).collect();
        let mut largest = [0.0_f32; 7];
        for (step, row) in rows.iter().enumerate() {
            assert_eq!(row.iter().any(|value| *value != 0.0), offsets.noisy[step] == 1);
            if step > 0 && offsets.noisy[step - 1] == 1 && offsets.noisy[step] == 1 {
                assert_eq!(*row, rows[step - 1]);
            }
            largest = std::array::from_fn(|index| largest[index].max(row[index].abs()));
        }
        assert!(largest[..3].iter().all(|value| (0.5..=1.0).contains(value)), "{largest:?}");
        assert!(largest[3..6].iter().all(|value| (0.1..=0.3).contains(value)), "{largest:?}");
        assert_eq!(largest[6], 0.0);
    }

    #[test]
    fn an_episode_has_its_own_offsets_and_always_the_same() {
        assert_eq!(offsets(1.0, 4), offsets(1.0, 4));
        assert_ne!(offsets(1.0, 4), offsets(1.0, 5));
    }

    #[test]
    fn the_share_of_noisy_episodes_is_the_one_asked_for() {
        let noisy =
            |share| (0..400).filter(|trial| offsets(share, *trial).noisy.contains(&1)).count();
        assert_eq!((noisy(0.0), noisy(1.0)), (0, 400));
        assert!((320..=360).contains(&noisy(0.85)), "{}", noisy(0.85));
    }

    #[test]
    fn steps_after_the_last_offset_are_clean() {
        assert_eq!(offsets(1.0, 0).of_steps(279, 3)[7..], [0.0; 14]);
    }
}
