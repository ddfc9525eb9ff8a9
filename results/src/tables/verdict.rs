//! Whether a run agrees with a published number.

use std::fmt;

use super::format::plural;
use crate::paper::{PaperTable, Published};
use crate::run::differences;
use crate::run::locked::other_versions;
use crate::run::manifest::{EarlyStop, Manifest};
use crate::statistics::newcombe::{difference_p, equivalence_p};
use crate::statistics::{Estimate, difference, holm};

/// A run agrees only if differences of this share of the scale are ruled out: 5 percentage points
/// of a success rate, 0.25 of an average length out of 5.
const MARGIN: f64 = 0.05;
/// The error rate of verdicts.
pub(super) const LEVEL: f64 = 0.05;

/// A run's number compared with the published one.
#[derive(Debug, Clone, PartialEq)]
pub struct PaperComparison {
    /// The published number.
    pub published: Published,
    /// The run's number minus the published one; absent where the verdict is withheld.
    pub difference: Option<Estimate>,
    /// The p values behind the conclusion, where a success rate has one.
    pub tests: Option<Tests>,
    /// The conclusion.
    pub verdict: Verdict,
}

/// p values of a success rate against a published one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tests {
    /// Successes and episodes of the run.
    pub measured: (u32, u32),
    /// That the rates are equal.
    pub difference: f64,
    /// That they differ by the margin or more.
    pub equivalence: f64,
    /// Number of suites over which both are corrected.
    pub suites: u32,
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
    /// Successes, where it is a success rate of `n` episodes.
    pub successes: Option<u32>,
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
        let withheld = match (self.estimate, reason.or_else(|| self.shortfall())) {
            (Some(estimate), None) => {
                let difference = difference(estimate, published.estimate);
                let tests = self.successes.map(|successes| {
                    let (a, b) = ((successes, self.n), published.count());
                    let p = difference_p(a, b, 0.0);
                    Tests {
                        measured: a,
                        difference: p,
                        equivalence: equivalence_p(a, b, MARGIN),
                        suites: 1,
                    }
                });
                let verdict = judge(difference, MARGIN * self.scale);
                return PaperComparison { published, difference: Some(difference), tests, verdict };
            }
            (None, None) => Verdict::Withheld("nothing ran".into()),
            (_, Some(reason)) => Verdict::Withheld(reason),
        };
        PaperComparison { published, difference: None, tests: None, verdict: withheld }
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

/// Corrects the verdicts on the success rates of several suites by Holm: the probability of any
/// wrong difference among them, and of any wrong agreement, is at most 5 % each.
pub fn correct<'a>(comparisons: impl Iterator<Item = &'a mut PaperComparison>) {
    let mut judged: Vec<(Estimate, Tests, &mut Verdict, &mut Option<Tests>)> = comparisons
        .filter_map(|PaperComparison { difference, tests, verdict, .. }| {
            Some(((*difference)?, (*tests)?, verdict, tests))
        })
        .collect();
    if judged.len() < 2 {
        return;
    }
    let suites = judged.len() as u32;
    let p_values = |value: fn(&Tests) -> f64| -> Vec<f64> {
        holm(&judged.iter().map(|(_, tests, _, _)| value(tests)).collect::<Vec<_>>())
    };
    let corrected = p_values(|tests| tests.difference)
        .into_iter()
        .zip(p_values(|tests| tests.equivalence))
        .collect::<Vec<_>>();
    for ((found, before, verdict, tests), (p, equivalence)) in judged.iter_mut().zip(corrected) {
        **tests = Some(Tests { difference: p, equivalence, suites, ..*before });
        // The correction takes a claim back; it never makes one of the other kind.
        let agrees = **verdict == Verdict::Agrees && equivalence < LEVEL;
        **verdict = match (p < LEVEL, agrees) {
            (true, _) if found.value < 0.0 => Verdict::Below,
            (true, _) => Verdict::Above,
            (false, true) => Verdict::Agrees,
            (false, false) => Verdict::CannotTell,
        };
    }
}

/// Why a run's numbers are not comparable to any others, for example `stand-in assets`.
pub fn incomparable(manifest: &Manifest) -> Option<String> {
    if manifest.setting.simulator.as_deref() == Some("fake") {
        return Some("fake simulator".into());
    }
    marked(manifest).or_else(|| other_versions(manifest))
}

/// The reason that the simulator's adapter gives.
fn marked(manifest: &Manifest) -> Option<String> {
    let comparable = manifest.setting.comparable.as_deref()?;
    let reason = comparable.strip_prefix("no")?.trim_start_matches([':', ',', ' ']);
    Some(if reason.is_empty() { "marked so by the simulator" } else { reason }.into())
}

/// Why a run's numbers say nothing about those in `table`, whatever they are.
pub fn withheld(manifest: &Manifest, table: &PaperTable) -> Option<String> {
    let subject = &manifest.subject;
    let policy = subject.policy.as_deref().unwrap_or("unknown");
    let stop = manifest.stopped_early.as_ref().map(EarlyStop::reason);
    incomparable(manifest)
        .or_else(|| subject.control().map(|control| format!("a control: {control}")))
        .or_else(|| stop.map(|reason| format!("stopped early, {reason}")))
        .or_else(|| {
            let is_other = policy != "udvla" && manifest.published.is_none();
            is_other.then(|| format!("policy {policy}"))
        })
        .or_else(|| subject.approximate.as_ref().map(|what| format!("approximate {what}")))
        .or_else(|| other_protocol(manifest, table))
        .or_else(|| other_renderer(manifest, table))
}

/// How the protocol differs from those of the table. Its name is not enough: a setting such as the
/// reset mode leaves the name and changes the fingerprint.
pub(crate) fn other_protocol(manifest: &Manifest, table: &PaperTable) -> Option<String> {
    let protocol = &manifest.protocol.name;
    if !table.protocols.contains(protocol) {
        return Some(format!("protocol {protocol} is not the paper's"));
    }
    if table.fingerprints.contains(&manifest.protocol_fingerprint) {
        return None;
    }
    Some(match differences::from_bundled(&manifest.protocol).as_slice() {
        [] => format!("protocol {protocol} has another fingerprint than the paper's"),
        [field] => format!("protocol {protocol} with a different {field}"),
        fields => format!("protocol {protocol} with {} different fields", fields.len()),
    })
}

fn other_renderer(manifest: &Manifest, table: &PaperTable) -> Option<String> {
    let renderer = manifest.setting.renderer.as_ref()?;
    let other = table.other_renderers.iter().find(|other| renderer.contains(&other.name))?;
    Some(format!("rendered by {}; {}", other.name, other.why))
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
            successes: Some(ours.0),
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

    /// The verdicts on suites of 500 episodes against the paper's LIBERO suites.
    fn suites(successes: [u32; 4]) -> Vec<PaperComparison> {
        let published = [481, 494, 471, 476];
        let mut found: Vec<PaperComparison> = successes
            .into_iter()
            .zip(published)
            .map(|(ours, published)| {
                let estimate = wilson(published, 500).unwrap();
                let published = Published { estimate, n: 500, source: "Table 3".into() };
                let measured = MeasuredNumber {
                    estimate: wilson(ours, 500),
                    successes: Some(ours),
                    scale: 1.0,
                    n: 500,
                    needed: 500,
                    errors: 0,
                    missing: 0,
                };
                measured.compare(published, None)
            })
            .collect();
        correct(found.iter_mut());
        found
    }

    #[test]
    fn verdicts_on_several_suites_are_corrected_together() {
        // Alone, 460 of 500 is below 476; among four suites it is not.
        assert_eq!(verdict((460, 500), (476, 500)), Verdict::Below);
        let found = suites([481, 494, 471, 460]);
        assert_eq!(found[3].verdict, Verdict::CannotTell);
        let tests = found[3].tests.unwrap();
        assert!(tests.suites == 4 && tests.difference > 0.05, "{tests:?}");
        // The paper still agrees with itself, and a clear difference stays one.
        assert!(found[..3].iter().all(|suite| suite.verdict == Verdict::Agrees), "{found:?}");
        assert_eq!(suites([481, 494, 471, 440])[3].verdict, Verdict::Below);
    }

    #[test]
    fn too_few_episodes_get_a_reason_instead_of_a_verdict() {
        let found = verdict((10, 10), (476, 500));
        assert_eq!(found.reason(), Some("10 of 500 episodes"));
        assert_eq!(found.to_string(), "no verdict: 10 of 500 episodes");
    }
}
