//! The order of trials: random over all tasks, and drawn from a seed.

use sha2::{Digest, Sha256};
use udvla_sims::episode::EpisodeKey;

/// A trial of one of the session's policies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Trial {
    /// The episode.
    pub key: EpisodeKey,
    /// Index of the policy's run directory.
    pub arm: usize,
}

/// All trials of `keys` in the order that `seed` draws. With two arms a placement is played twice in a
/// row, once by each, and a coin decides which goes first.
pub fn order(keys: &[EpisodeKey], arms: usize, seed: u64) -> Vec<Trial> {
    let mut keys = keys.to_vec();
    keys.sort_by_cached_key(|key| draw(seed, &key.to_string()));
    keys.into_iter()
        .flat_map(|key| {
            let mut pair: Vec<Trial> =
                (0..arms).map(|arm| Trial { key: key.clone(), arm }).collect();
            if draw(seed, &format!("{key}/first"))[0] & 1 == 1 {
                pair.reverse();
            }
            pair
        })
        .collect()
}

/// Whether the first policy that was named gets the second run directory.
pub fn is_swapped(seed: u64) -> bool {
    draw(seed, "arms")[0] & 1 == 1
}

/// SHA-256 of `SEED/WHAT`.
fn draw(seed: u64, what: &str) -> [u8; 32] {
    Sha256::digest(format!("{seed}/{what}")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Vec<EpisodeKey> {
        let key = |task, trial| EpisodeKey { suite: "seen".into(), task, trial };
        (0..3).flat_map(|task| (0..30).map(move |trial| key(task, trial))).collect()
    }

    #[test]
    fn every_trial_comes_once_in_an_order_that_the_seed_decides() {
        let drawn = order(&keys(), 1, 7);
        assert_eq!(drawn, order(&keys(), 1, 7));
        assert_ne!(drawn, order(&keys(), 1, 8));
        let mut sorted: Vec<EpisodeKey> = drawn.into_iter().map(|trial| trial.key).collect();
        assert_ne!(sorted, keys());
        sorted.sort();
        assert_eq!(sorted, keys());
    }

    #[test]
    fn two_policies_play_a_placement_in_a_row_and_take_turns_in_going_first() {
        let drawn = order(&keys(), 2, 7);
        let pairs: Vec<_> = drawn.chunks_exact(2).collect();
        assert!(pairs.iter().all(|pair| pair[0].key == pair[1].key && pair[0].arm != pair[1].arm));
        let first = pairs.iter().filter(|pair| pair[0].arm == 0).count();
        assert!((30..=60).contains(&first), "{first} of 90");
        assert!((0..40).any(is_swapped) && !(0..40).all(is_swapped));
    }
}
