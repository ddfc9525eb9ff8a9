//! Whether a run agrees with a published number.

use crate::counts::counted;
use crate::manifest::Manifest;
use crate::paper::{PaperTable, Published};
use crate::statistics::{Estimate, difference};

/// Differences of this share of the scale must be ruled out before a run agrees: 5 percentage
/// points of a success rate, 0.25 of an average length out of 5.
const MARGIN: f64 = 0.05;

/// A run's number beside the published one.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The published number.
    pub published: Published,
    /// Ours less the published one; absent where the verdict is withheld.
    pub difference: Option<Estimate>,
    /// What follows.
    pub verdict: Verdict,
}

/// What a run says about a published number, judged by the 95 % interval of the difference
/// (ours less the published one, both with their own noise).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The interval holds 0 and lies within 5 % of the scale on either side.
    Agrees,
    /// The interval lies below 0.
    Below,
    /// The interval lies above 0.
    Above,
    /// The interval holds 0, and differences of 5 % of the scale or more as well.
    CannotTell,
    /// The run says nothing about the published number, for this reason.
    Withheld(String),
}

impl Verdict {
    /// The verdict in one or two words.
    pub fn words(&self) -> &'static str {
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

    /// The verdict with a sign before it, and the reason where there is none.
    pub fn line(&self) -> String {
        match self {
            Self::Agrees => "✓ agrees".into(),
            Self::Below => "↓ below".into(),
            Self::Above => "↑ above".into(),
            Self::CannotTell => "? cannot tell".into(),
            Self::Withheld(reason) => format!("no verdict: {reason}"),
        }
    }
}

/// What the verdict on one number rests on.
#[derive(Debug, Clone, Copy)]
pub struct Evidence {
    /// The run's number; `None` when nothing ran.
    pub ours: Option<Estimate>,
    /// The largest value that the number can have.
    pub scale: f64,
    /// Episodes that ran to their end.
    pub n: u32,
    /// Episodes that the protocol gives, or the paper where it has fewer.
    pub needed: u32,
    /// Episodes that could not be run.
    pub errors: u32,
    /// Episodes of the plan without a record.
    pub missing: u32,
}

impl Evidence {
    /// The verdict on `published`, withheld for `reason` or where the evidence is not whole.
    pub fn compare(self, published: Published, reason: Option<String>) -> Comparison {
        let reason = reason.or_else(|| self.shortfall());
        let (difference, verdict) = match (self.ours, reason) {
            (_, Some(reason)) => (None, Verdict::Withheld(reason)),
            (None, None) => (None, Verdict::Withheld("nothing ran".into())),
            (Some(ours), None) => {
                let difference = difference(ours, published.estimate);
                (Some(difference), judge(difference, MARGIN * self.scale))
            }
        };
        Comparison { published, difference, verdict }
    }

    fn shortfall(self) -> Option<String> {
        if self.errors > 0 {
            Some(counted(self.errors, "error"))
        } else if self.missing > 0 {
            Some(format!("{} missing", self.missing))
        } else if self.n < self.needed {
            Some(format!("{} of {} episodes", self.n, self.needed))
        } else {
            None
        }
    }
}

/// What makes a run's numbers incomparable to anybody's, in the words of the tables.
pub fn incomparable(manifest: &Manifest) -> Option<String> {
    if manifest.setting.get("simulator").is_some_and(|simulator| simulator == "fake") {
        return Some("fake simulator".into());
    }
    let comparable = manifest.setting.get("comparable")?;
    let rest = comparable.strip_prefix("no")?.trim_start_matches([':', ',', ' ']);
    Some(if rest.is_empty() { "marked so by the simulator" } else { rest }.into())
}

/// Why a run's numbers say nothing about the paper's in `table`, whatever they are.
pub fn withheld(manifest: &Manifest, table: &PaperTable) -> Option<String> {
    if let Some(reason) = incomparable(manifest) {
        return Some(reason);
    }
    if let Some(stop) = &manifest.stopped_early {
        return Some(format!("stopped early, {}", stop.words()));
    }
    let policy = manifest.subject.get("policy").map_or("unknown", String::as_str);
    if policy != "udvla" {
        return Some(format!("policy {policy}"));
    }
    if let Some(what) = manifest.subject.get("approximate") {
        return Some(format!("approximate {what}"));
    }
    let name = &manifest.protocol.name;
    (!table.protocols.contains(name)).then(|| format!("protocol {name} is not the paper's"))
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
        let evidence = Evidence {
            ours: wilson(ours.0, ours.1),
            scale: 1.0,
            n: ours.1,
            needed: published.1,
            errors: 0,
            missing: 0,
        };
        let estimate = wilson(published.0, published.1).unwrap();
        let published = Published { estimate, n: published.1, source: "Table 3".into() };
        evidence.compare(published, None).verdict
    }

    #[test]
    fn the_paper_agrees_with_itself_where_its_n_allows() {
        assert_eq!(verdict((476, 500), (476, 500)), Verdict::Agrees);
        assert_eq!(verdict((1922, 2000), (1922, 2000)), Verdict::Agrees);
        // 96 episodes leave 12 points on either side.
        assert_eq!(verdict((73, 96), (73, 96)), Verdict::CannotTell);
    }

    #[test]
    fn a_verdict_goes_down_with_the_count() {
        // From the interval of the difference: above 0, around it, wider than 5 points, below 0.
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
        assert_eq!(found.line(), "no verdict: 10 of 500 episodes");
    }
}
