//! Evidence that a policy differs from a reference, valid however often one looks at it.

/// The chance of ever claiming a difference that is not there, over both directions.
pub const FALSE_ALARMS: f64 = 0.05;
/// Shares of the capital that are wagered; small ones find small differences.
const WAGERS: [f64; 9] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9];
/// The least that an outcome is taken to differ from its reference: keeps bets finite.
const LEAST_REACH: f64 = 0.01;

/// A direction in which a policy can differ from its reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// It does better.
    Above,
    /// It does worse.
    Below,
}

/// How far an outcome can lie from its reference, known before the outcome and before the
/// reference's own noise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reach {
    /// The most that it can lie below, above 0.
    pub below: f64,
    /// The most that it can lie above, above 0.
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

/// Two gamblers: one bets that the policy is better than its reference, one that it is worse.
///
/// Each starts with a capital of 1 and wagers a share of it on every episode: the capital is
/// multiplied by `1 + wager * difference / reach`. Where the policy is no better (no worse), the
/// expected factor is at most 1 whatever came before, so the capital is a supermartingale, and
/// the chance that it ever reaches `c` is at most `1/c` (Ville's inequality). Several wagers run
/// side by side, and their mean counts, which is a supermartingale again. With both directions at
/// half of [`FALSE_ALARMS`] the chance of ever claiming a wrong one is at most [`FALSE_ALARMS`].
///
/// Source: Ville 1939; Waudby-Smith and Ramdas 2024, "Estimating means of bounded random
/// variables by betting".
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// Logarithms of the capital of every wager, for each direction.
    above: [f64; WAGERS.len()],
    below: [f64; WAGERS.len()],
}

impl Default for Evidence {
    fn default() -> Self {
        Self { above: [0.0; WAGERS.len()], below: [0.0; WAGERS.len()] }
    }
}

impl Evidence {
    /// Takes one episode into account: its outcome less its reference.
    ///
    /// # Panics
    /// If the difference lies beyond its reach.
    pub fn observe(&mut self, difference: f64, reach: Reach) {
        let fine = -reach.below - 1e-9 <= difference && difference <= reach.above + 1e-9;
        assert!(fine, "{difference} lies beyond {reach:?}");
        for (index, wager) in WAGERS.into_iter().enumerate() {
            self.above[index] += (wager * difference / reach.below).ln_1p();
            self.below[index] += (-wager * difference / reach.above).ln_1p();
        }
    }

    /// The capital of the gambler who bets on `direction`.
    pub fn capital(&self, direction: Direction) -> f64 {
        let logs = match direction {
            Direction::Above => &self.above,
            Direction::Below => &self.below,
        };
        logs.iter().map(|log| log.exp()).sum::<f64>() / logs.len() as f64
    }

    /// The capital at which a direction is certain enough.
    pub fn threshold() -> f64 {
        2.0 / FALSE_ALARMS
    }

    /// The direction that is certain enough now, if one is.
    pub fn decided(&self) -> Option<Direction> {
        let enough = |direction: &Direction| self.capital(*direction) >= Self::threshold();
        [Direction::Above, Direction::Below].into_iter().find(enough)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fair_bet_keeps_its_capital_on_average() {
        // Outcomes 0 and 1 at the reference's own rate: the factors' mean is exactly 1.
        for rate in [0.05, 0.3, 0.5, 0.928, 0.99] {
            let reach = Reach::around(rate);
            let mut solved = Evidence::default();
            solved.observe(1.0 - rate, reach);
            let mut failed = Evidence::default();
            failed.observe(-rate, reach);
            for direction in [Direction::Above, Direction::Below] {
                let (won, lost) = (solved.capital(direction), failed.capital(direction));
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
        assert_eq!(evidence.capital(Direction::Above), 1.0);
        assert_eq!(evidence.decided(), None);
    }

    #[test]
    fn a_reference_of_0_or_1_leaves_bets_finite() {
        for rate in [0.0, 1.0] {
            let mut evidence = Evidence::default();
            (0..500).for_each(|_| evidence.observe(0.0, Reach::around(rate)));
            evidence.observe(if rate == 0.0 { 1.0 } else { -1.0 }, Reach::around(rate));
            let all = [Direction::Above, Direction::Below].map(|d| evidence.capital(d));
            assert!(all.iter().all(|capital| capital.is_finite()), "{all:?}");
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
