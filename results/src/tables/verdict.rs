//! Whether a run agrees with a published number.

use std::fmt;

use super::format::plural;
use crate::paper::{PaperTable, Published};
use crate::run::manifest::{EarlyStop, Manifest};
use crate::statistics::{Estimate, difference};

/// A run agrees only if differences of this share of the scale are ruled out: 5 percentage points
/// of a success rate, 0.25 of an average length out of 5.
const MARGIN: f64 = 0.05;

/// A run's number compared with the published one.
#[derive(Debug, Clone, PartialEq)]
pub struct PaperComparison {
    /// The published number.
    pub published: Published,
    /// The run's number minus the published one; absent where the verdict is withheld.
    pub difference: Option<Estimate>,
    /// The conclusion.
    pub verdict: Verdict,
}

/// What a run says about a published number, by the 95 % interval of the difference (the run's
/// number minus the published one, each with its own uncertainty).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The interval contains 0 and lies within 5 % of the scale on either side.
    Agrees,
    /// The interval lies below 0.
    Below,
    /// The interval lies above 0.
    Above,
    /// The interval contains 0, and differences of 5 % of the scale or more as well.
    CannotTell,
    /// The run says nothing about the published number, for this reason.
    Withheld(String),
}

impl Verdict {
    /// The verdict without its reason.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Agrees => "agrees",
            Self::Below => "below",
            Self::Above => "above",
            Self::CannotTell => "cannot tell",
            Self::Withheld(_) => "no verdict",
        }
    }

    /// Why there is no verdict.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Withheld(reason) => Some(reason),
            Self::Agrees | Self::Below | Self::Above | Self::CannotTell => None,
        }
    }
}

impl fmt::Display for Verdict {
    /// The verdict with a symbol, or with the reason why there is none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name();
        match self {
            Self::Agrees => write!(f, "✓ {name}"),
            Self::Below => write!(f, "↓ {name}"),
            Self::Above => write!(f, "↑ {name}"),
            Self::CannotTell => write!(f, "? {name}"),
            Self::Withheld(reason) => write!(f, "{name}: {reason}"),
        }
    }
}

/// A run's number and how complete it is.
#[derive(Debug, Clone, Copy)]
pub struct MeasuredNumber {
    /// The number; `None` when nothing ran.
    pub estimate: Option<Estimate>,
    /// The largest value that it can have.
    pub scale: f64,
    /// Episodes that ran to their end.
    pub n: u32,
    /// Episodes required: those of the protocol, or of the paper if it has fewer.
    pub needed: u32,
    /// Episodes that could not be run.
    pub errors: u32,
    /// Episodes of the plan without a record.
    pub missing: u32,
}

impl MeasuredNumber {
    /// The verdict on `published`, withheld for `reason` or if episodes are lacking.
    pub fn compare(self, published: Published, reason: Option<String>) -> PaperComparison {
        let (difference, verdict) = match (self.estimate, reason.or_else(|| self.shortfall())) {
            (_, Some(reason)) => (None, Verdict::Withheld(reason)),
            (None, None) => (None, Verdict::Withheld("nothing ran".into())),
            (Some(estimate), None) => {
                let difference = difference(estimate, published.estimate);
                (Some(difference), judge(difference, MARGIN * self.scale))
            }
        };
        PaperComparison { published, difference, verdict }
    }

    fn shortfall(self) -> Option<String> {
        if self.errors > 0 {
            Some(plural(self.errors, "error"))
        } else if self.missing > 0 {
            Some(format!("{} missing", self.missing))
        } else if self.n < self.needed {
            Some(format!("{} of {} episodes", self.n, self.needed))
        } else {
            None
        }
    }
}

/// Why a run's numbers are not comparable to any others, for example `stand-in assets`.
pub fn incomparable(manifest: &Manifest) -> Option<String> {
    if manifest.setting.simulator.as_deref() == Some("fake") {
        return Some("fake simulator".into());
    }
    let comparable = manifest.setting.comparable.as_deref()?;
    let reason = comparable.strip_prefix("no")?.trim_start_matches([':', ',', ' ']);
    Some(if reason.is_empty() { "marked so by the simulator" } else { reason }.into())
}

/// Why a run's numbers say nothing about those in `table`, whatever they are.
pub fn withheld(manifest: &Manifest, table: &PaperTable) -> Option<String> {
    let subject = &manifest.subject;
    let policy = subject.policy.as_deref().unwrap_or("unknown");
    let stop = manifest.stopped_early.as_ref().map(EarlyStop::reason);
    let protocol = &manifest.protocol.name;
    incomparable(manifest)
        .or_else(|| stop.map(|reason| format!("stopped early, {reason}")))
        .or_else(|| (policy != "udvla").then(|| format!("policy {policy}")))
        .or_else(|| subject.approximate.as_ref().map(|what| format!("approximate {what}")))
        .or_else(|| {
            let unknown = !table.protocols.contains(protocol);
            unknown.then(|| format!("protocol {protocol} is not the paper's"))
        })
}

fn judge(difference: Estimate, margin: f64) -> Verdict {
    if difference.high < 0.0 {
        Verdict::Below
    } else if difference.low > 0.0 {
        Verdict::Above
    } else if difference.low > -margin && difference.high < margin {
        Verdict::Agrees
    } else {
        Verdict::CannotTell
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::wilson;

    fn verdict(ours: (u32, u32), published: (u32, u32)) -> Verdict {
        let measured = MeasuredNumber {
            estimate: wilson(ours.0, ours.1),
            scale: 1.0,
            n: ours.1,
            needed: published.1,
            errors: 0,
            missing: 0,
        };
        let estimate = wilson(published.0, published.1).unwrap();
        let published = Published { estimate, n: published.1, source: "Table 3".into() };
        measured.compare(published, None).verdict
    }

    #[test]
    fn the_paper_agrees_with_itself_where_its_n_allows() {
        assert_eq!(verdict((476, 500), (476, 500)), Verdict::Agrees);
        assert_eq!(verdict((1922, 2000), (1922, 2000)), Verdict::Agrees);
        // 96 episodes leave 12 points on either side.
        assert_eq!(verdict((73, 96), (73, 96)), Verdict::CannotTell);
    }

    #[test]
    fn a_verdict_falls_with_the_count() {
        // The interval of the difference: above 0, around it, wider than 5 points, below 0.
        for (successes, expected) in [
            (490, Verdict::Above),
            (480, Verdict::Agrees),
            (470, Verdict::Agrees),
            (464, Verdict::CannotTell),
            (455, Verdict::Below),
        ] {
            assert_eq!(verdict((successes, 500), (476, 500)), expected, "{successes}");
        }
    }

    #[test]
    fn too_few_episodes_get_a_reason_instead_of_a_verdict() {
        let found = verdict((10, 10), (476, 500));
        assert_eq!(found.reason(), Some("10 of 500 episodes"));
        assert_eq!(found.to_string(), "no verdict: 10 of 500 episodes");
    }
}
