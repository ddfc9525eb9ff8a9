//! Decisions about a difference and a margin.

use super::Estimate;

/// What an interval says about a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The whole interval lies where the claim holds.
    Pass,
    /// The whole interval lies where it does not.
    Fail,
    /// The interval holds both: more episodes are needed.
    Inconclusive,
}

impl Decision {
    /// The decision in a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// Whether the new policy is worse by less than `margin`, from the 95 % interval of new less old.
///
/// A test with 2.5 % on its one side, as is usual for non-inferiority.
pub fn not_worse(difference: Estimate, margin: f64) -> Decision {
    if difference.low > -margin {
        Decision::Pass
    } else if difference.high < -margin {
        Decision::Fail
    } else {
        Decision::Inconclusive
    }
}

/// Whether two policies differ by less than `margin` either way, from the 95 % interval of their
/// difference: two one-sided tests, each with 2.5 %.
pub fn equivalent(difference: Estimate, margin: f64) -> Decision {
    if difference.low > -margin && difference.high < margin {
        Decision::Pass
    } else if difference.high < -margin || difference.low > margin {
        Decision::Fail
    } else {
        Decision::Inconclusive
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(low: f64, high: f64) -> Estimate {
        Estimate { value: f64::midpoint(low, high), low, high }
    }

    #[test]
    fn a_decision_needs_the_whole_interval() {
        for (low, high, worse, equal) in [
            (-0.01, 0.01, Decision::Pass, Decision::Pass),
            (-0.01, 0.05, Decision::Pass, Decision::Inconclusive),
            (0.03, 0.05, Decision::Pass, Decision::Fail),
            (-0.03, 0.01, Decision::Inconclusive, Decision::Inconclusive),
            (-0.05, -0.03, Decision::Fail, Decision::Fail),
            (-0.02, 0.01, Decision::Inconclusive, Decision::Inconclusive),
        ] {
            assert_eq!(not_worse(between(low, high), 0.02), worse, "[{low}, {high}]");
            assert_eq!(equivalent(between(low, high), 0.02), equal, "[{low}, {high}]");
        }
    }
}
