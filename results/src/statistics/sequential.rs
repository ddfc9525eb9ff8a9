//! Evidence that a policy differs from a reference, valid at any stopping time.

/// The probability of ever claiming a difference that does not exist, over both directions.
pub const FALSE_ALARMS: f64 = 0.05;
/// Bet sizes; small ones find small differences.
const BETS: [f64; 9] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9];
/// Lower bound of the reach; keeps factors finite.
const LEAST_REACH: f64 = 0.01;

/// A direction in which a policy can differ from its reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// It is better.
    Above,
    /// It is worse.
    Below,
}

/// Bounds of an outcome's difference to its reference, known before the outcome.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reach {
    /// Largest distance below the reference, positive.
    pub below: f64,
    /// Largest distance above the reference, positive.
    pub above: f64,
}

impl Reach {
    /// The reach of a difference of two outcomes between 0 and 1.
    pub const OF_A_PAIR: Self = Self { below: 1.0, above: 1.0 };

    /// The reach of an outcome between 0 and 1 around a fixed rate.
    pub fn around(rate: f64) -> Self {
        Self { below: rate.max(LEAST_REACH), above: (1.0 - rate).max(LEAST_REACH) }
    }
}

/// Two one-sided test martingales (e-processes): one for "better than the reference", one for
/// "worse".
///
/// Each starts at 1 and is multiplied by `1 + bet * difference / reach` after every episode. If
/// the policy is no better (no worse), the expected factor is at most 1 given the past, so the
/// process is a supermartingale, and the probability that it ever reaches `c` is at most `1/c`
/// (Ville's inequality). Where episodes differ in difficulty, their order must be random: what was
/// seen then says nothing about the next one's difficulty. The mean over several bet sizes is a supermartingale again. With both
/// directions at half of [`FALSE_ALARMS`] the probability of ever claiming a wrong one is at most
/// [`FALSE_ALARMS`].
///
/// Source: Ville 1939; Waudby-Smith and Ramdas 2024, "Estimating means of bounded random
/// variables by betting".
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// Logarithm of the process for every bet size, by direction.
    above: [f64; BETS.len()],
    below: [f64; BETS.len()],
}

impl Default for Evidence {
    fn default() -> Self {
        Self { above: [0.0; BETS.len()], below: [0.0; BETS.len()] }
    }
}

impl Evidence {
    /// Adds one episode: its outcome minus its reference.
    ///
    /// # Panics
    /// If the difference lies beyond its reach.
    pub fn observe(&mut self, difference: f64, reach: Reach) {
        let in_reach = -reach.below - 1e-9 <= difference && difference <= reach.above + 1e-9;
        assert!(in_reach, "{difference} lies beyond {reach:?}");
        for (index, bet) in BETS.into_iter().enumerate() {
            self.above[index] += (bet * difference / reach.below).ln_1p();
            self.below[index] += (-bet * difference / reach.above).ln_1p();
        }
    }

    /// The current value of the process for `direction`.
    pub fn value(&self, direction: Direction) -> f64 {
        let logs = match direction {
            Direction::Above => &self.above,
            Direction::Below => &self.below,
        };
        logs.iter().map(|log| log.exp()).sum::<f64>() / logs.len() as f64
    }

    /// The value at which a direction is significant.
    pub fn threshold() -> f64 {
        2.0 / FALSE_ALARMS
    }

    /// The significant direction, if there is one.
    pub fn decided(&self) -> Option<Direction> {
        let enough = |direction: &Direction| self.value(*direction) >= Self::threshold();
        [Direction::Above, Direction::Below].into_iter().find(enough)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fair_bet_keeps_its_value_on_average() {
        // Outcomes 0 and 1 at the reference's own rate: the factors' mean is exactly 1.
        for rate in [0.05, 0.3, 0.5, 0.928, 0.99] {
            let reach = Reach::around(rate);
            let mut solved = Evidence::default();
            solved.observe(1.0 - rate, reach);
            let mut failed = Evidence::default();
            failed.observe(-rate, reach);
            for direction in [Direction::Above, Direction::Below] {
                let (won, lost) = (solved.value(direction), failed.value(direction));
                let mean = rate * won + (1.0 - rate) * lost;
                assert!((mean - 1.0).abs() < 1e-12, "{rate} {direction:?}: {mean}");
                assert!(won > 0.0 && lost > 0.0);
            }
        }
    }

    #[test]
    fn what_always_fails_is_below_and_what_always_wins_above() {
        for (outcome, direction) in [(0.0, Direction::Below), (1.0, Direction::Above)] {
            let mut evidence = Evidence::default();
            let mut n = 0;
            while evidence.decided().is_none() {
                evidence.observe(outcome - 0.5, Reach::around(0.5));
                n += 1;
            }
            assert_eq!(evidence.decided(), Some(direction));
            assert!((6..20).contains(&n), "{n}");
        }
    }

    #[test]
    fn equal_pairs_say_nothing() {
        let mut evidence = Evidence::default();
        (0..1000).for_each(|_| evidence.observe(0.0, Reach::OF_A_PAIR));
        assert_eq!(evidence.value(Direction::Above), 1.0);
        assert_eq!(evidence.decided(), None);
    }

    #[test]
    fn a_reference_of_0_or_1_leaves_bets_finite() {
        for rate in [0.0, 1.0] {
            let mut evidence = Evidence::default();
            (0..500).for_each(|_| evidence.observe(0.0, Reach::around(rate)));
            evidence.observe(if rate == 0.0 { 1.0 } else { -1.0 }, Reach::around(rate));
            let all = [Direction::Above, Direction::Below].map(|d| evidence.value(d));
            assert!(all.iter().all(|value| value.is_finite()), "{all:?}");
        }
    }

    /// The share of 2,000 runs of 500 episodes that ever claim something.
    fn alarms(outcome: impl Fn(f64) -> (f64, Reach), seed: u64) -> f64 {
        let mut state = seed;
        let mut random = || {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        let claims = (0..2000).filter(|_| {
            let mut evidence = Evidence::default();
            (0..500).any(|_| {
                let (difference, reach) = outcome(random());
                evidence.observe(difference, reach);
                evidence.decided().is_some()
            })
        });
        claims.count() as f64 / 2000.0
    }

    /// The share of 2,000 runs over ten tasks of 50 trials that ever claim something; the tasks'
    /// rates are `rates`, their mean is the reference, and `order` arranges the episodes.
    fn alarms_over_tasks(rates: [f64; 10], order: impl Fn(&mut [f64], &mut u64)) -> f64 {
        let reference = rates.iter().sum::<f64>() / 10.0;
        let mut state = 5;
        let claims = (0..2000).filter(|_| {
            let mut episodes: Vec<f64> = rates.iter().flat_map(|&rate| [rate; 50]).collect();
            order(&mut episodes, &mut state);
            let mut evidence = Evidence::default();
            episodes.into_iter().any(|rate| {
                let solved = if uniform(&mut state) < rate { 1.0 } else { 0.0 };
                evidence.observe(solved - reference, Reach::around(reference));
                evidence.decided().is_some()
            })
        });
        claims.count() as f64 / 2000.0
    }

    fn uniform(state: &mut u64) -> f64 {
        *state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (*state >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn shuffle(episodes: &mut [f64], state: &mut u64) {
        for last in (1..episodes.len()).rev() {
            let other = (uniform(state) * (last + 1) as f64) as usize;
            episodes.swap(last, other);
        }
    }

    #[test]
    fn tasks_of_different_difficulty_raise_few_false_alarms_in_a_random_order_alone() {
        let limit = FALSE_ALARMS + 0.0147;
        let easy_and_hard = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.9, 0.8, 0.5];
        let found = alarms_over_tasks(easy_and_hard, shuffle);
        assert!(found <= limit, "{found}");
        let half = [0.1, 0.2, 0.3, 0.4, 0.5, 0.5, 0.6, 0.7, 0.8, 0.9];
        let found = alarms_over_tasks(half, shuffle);
        assert!(found <= limit, "{found}");
        // Task by task, the claim would be wrong in most runs.
        let found = alarms_over_tasks(half, |_, _| ());
        assert!(found > 0.5, "{found}");
    }

    #[test]
    fn looking_after_every_episode_raises_few_false_alarms() {
        // 5 % and three standard deviations of 2,000 runs.
        let limit = FALSE_ALARMS + 0.0147;
        for rate in [0.5, 0.928] {
            let solved = |x: f64| if x < rate { 1.0 } else { 0.0 };
            let found = alarms(|x| (solved(x) - rate, Reach::around(rate)), 7);
            assert!(found <= limit, "{rate}: {found}");
            // A and B solve alone equally often.
            let alone = rate * (1.0 - rate);
            let pair = |x: f64| {
                if x < alone {
                    1.0
                } else if x < 2.0 * alone {
                    -1.0
                } else {
                    0.0
                }
            };
            let found = alarms(|x| (pair(x), Reach::OF_A_PAIR), 11);
            assert!(found <= limit, "pairs at {rate}: {found}");
        }
        // Ten points less than the reference is found in most runs.
        let found = alarms(|x| (if x < 0.828 { 0.072 } else { -0.928 }, Reach::around(0.928)), 13);
        assert!(found > 0.9, "{found}");
    }
}
