//! Decisions about a difference and a margin.

use serde::Serialize;

use super::Estimate;

/// What an interval says about a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// The claim holds on the whole interval.
    Pass,
    /// It holds nowhere on the interval.
    Fail,
    /// The interval contains both: more episodes are needed.
    Inconclusive,
}

impl Decision {
    /// The decision in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// Whether the new policy is worse by less than `margin`, from the 95 % interval of new minus old:
/// a one-sided 2.5 % test, as is usual for non-inferiority.
pub fn not_worse(difference: Estimate, margin: f64) -> Decision {
    if difference.low > -margin {
        Decision::Pass
    } else if difference.high < -margin {
        Decision::Fail
    } else {
        Decision::Inconclusive
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_needs_the_whole_interval() {
        for (low, high, decision) in [
            (-0.01, 0.01, Decision::Pass),
            (-0.01, 0.05, Decision::Pass),
            (0.03, 0.05, Decision::Pass),
            (-0.03, 0.01, Decision::Inconclusive),
            (-0.05, -0.03, Decision::Fail),
            (-0.02, 0.01, Decision::Inconclusive),
        ] {
            let difference = Estimate { value: f64::midpoint(low, high), low, high };
            assert_eq!(not_worse(difference, 0.02), decision, "[{low}, {high}]");
        }
    }
}
