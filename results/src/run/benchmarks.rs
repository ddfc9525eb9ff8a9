//! Everything this crate knows of single benchmarks: display names, the names other tools use,
//! and SimplerEnv's second success rule.
//!
//! A benchmark that is not listed works too; it goes by the names in its protocol. The names are
//! here and not in the protocol files because those are fingerprinted: a new title would make
//! every stored run another protocol's.

use udvla_sims::protocol::SuccessRule;

use super::manifest::Manifest;
use super::record::{EpisodeRecord, Status};
use crate::statistics::Rate;

/// Display names by benchmark.
const TITLES: [(&str, &str); 4] =
    [("calvin", "CALVIN"), ("libero", "LIBERO"), ("simpler", "SimplerEnv"), ("real", "Real robot")];
/// Display names of suites, by benchmark and suite.
const SUITE_TITLES: [(&str, &str, &str); 2] =
    [("calvin", "abcd-d", "ABCD→D"), ("simpler", "widowx", "WidowX")];
/// The suite of LIBERO that upstream, and so other tools, call `10`.
const UPSTREAM_LONG: (&str, &str) = ("long", "10");
/// Stages of a CALVIN chain in files that do not state them.
pub(crate) const CALVIN_STAGES: u16 = 5;

/// Display name of a benchmark.
pub fn benchmark_title(benchmark: &str) -> &str {
    TITLES.iter().find(|entry| entry.0 == benchmark).map_or(benchmark, |entry| entry.1)
}

/// Display name of a suite, after its benchmark's.
pub fn suite_title(benchmark: &str, suite: &str) -> String {
    let entry = SUITE_TITLES.iter().find(|entry| (entry.0, entry.1) == (benchmark, suite));
    format!("{} {}", benchmark_title(benchmark), entry.map_or(suite, |entry| entry.2))
}

/// Name of a suite in files of lerobot-eval.
pub(crate) fn lerobot_group(benchmark: &str, suite: &str) -> String {
    match (benchmark, suite) {
        ("libero", suite) if suite == UPSTREAM_LONG.0 => format!("libero_{}", UPSTREAM_LONG.1),
        _ => format!("{benchmark}_{suite}"),
    }
}

/// The suite of a group in files of lerobot-eval or vla-eval, by our name.
pub(crate) fn suite_of_group(group: &str) -> String {
    let suite = TITLES.iter().find_map(|(name, _)| group.strip_prefix(name)?.strip_prefix('_'));
    match suite.unwrap_or(group) {
        name if name == UPSTREAM_LONG.1 => UPSTREAM_LONG.0.into(),
        name => name.into(),
    }
}

/// The suite of a task in an aggregate of vla-eval that names no suite.
pub(crate) fn suite_of_vla_eval(benchmark: &str, task: &str) -> String {
    if task.starts_with("seq_") {
        "abcd-d".into()
    } else if benchmark.to_lowercase().contains("simpler") {
        "widowx".into()
    } else {
        benchmark.into()
    }
}

/// The success rule that a protocol does not follow, of the two in use for SimplerEnv.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherRule {
    /// The goal held after some step; the protocol requires the last one.
    AnyStep,
    /// The goal held after the last step; the protocol accepts any.
    LastStep,
}

impl OtherRule {
    /// The rule that the run's protocol does not follow.
    pub fn of(manifest: &Manifest) -> Self {
        match manifest.protocol.environment.success() {
            Some(SuccessRule::AnyStep) => Self::LastStep,
            Some(SuccessRule::LastStep) | None => Self::AnyStep,
        }
    }

    /// Column heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::AnyStep => "at any step",
            Self::LastStep => "at the last step",
        }
    }

    /// How a table with both rules is read.
    pub fn note(self) -> &'static str {
        match self {
            Self::AnyStep => {
                "success: the goal holds after the last step; at any step: it held at some point, \
                 even if lost again"
            }
            Self::LastStep => {
                "success: the goal held after any step; at the last step: it still holds at the \
                 end"
            }
        }
    }

    /// The rate by this rule, from the simulator's notes; `None` where an episode has no note.
    pub fn rate(self, records: &[&EpisodeRecord]) -> Option<(Self, Rate)> {
        let note = match self {
            Self::AnyStep => "success_any",
            Self::LastStep => "success_last",
        };
        let ok = records.iter().filter(|record| record.status == Status::Ok);
        let outcomes: Vec<bool> =
            ok.map(|record| record.notes.get(note)?.as_bool()).collect::<Option<_>>()?;
        let successes = outcomes.iter().filter(|&&success| success).count() as u32;
        let n = outcomes.len() as u32;
        (n > 0).then(|| (self, Rate::new(successes, n, records.len() as u32 - n)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_other_tools_lead_back_to_our_suites() {
        for (benchmark, suite) in [("libero", "long"), ("libero", "goal"), ("calvin", "abcd-d")] {
            assert_eq!(suite_of_group(&lerobot_group(benchmark, suite)), suite);
        }
    }

    #[test]
    fn an_unknown_benchmark_goes_by_its_own_names() {
        assert_eq!(suite_title("robosuite", "lift"), "robosuite lift");
        assert_eq!(lerobot_group("robosuite", "10"), "robosuite_10");
    }
}
