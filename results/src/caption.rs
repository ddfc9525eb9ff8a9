//! What must stand beside every number: protocol, subject, setting and warnings.

use crate::counts::counted;
use crate::manifest::RunStatus;
use crate::summary::Summary;

/// The caption of a run's tables and plots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caption {
    /// The benchmark's name as people write it.
    pub title: String,
    /// Protocol, subject and setting, one line each; a setting that says nothing has none.
    pub lines: Vec<String>,
    /// Why the numbers are not what they seem, for example `stand-in assets, not comparable`.
    pub warnings: Vec<String>,
}

impl Caption {
    /// The caption of `summary`.
    pub fn new(summary: &Summary) -> Self {
        let join = |pairs: &[(String, String)]| {
            let words = pairs.iter().map(|(key, value)| format!("{key} {value}"));
            words.collect::<Vec<_>>().join(" · ")
        };
        let lines = [
            format!("protocol {}", summary.protocol),
            join(&summary.subject),
            join(&summary.setting),
        ];
        Self {
            title: benchmark_title(&summary.benchmark).to_owned(),
            lines: lines.into_iter().filter(|line| !line.is_empty()).collect(),
            warnings: warnings(summary),
        }
    }
}

/// `325 of 500 episodes, 0 errors, 175 missing, 1 retried`.
pub fn closing_line(summary: &Summary) -> String {
    let counts = summary.counts;
    let mut line =
        format!("{} of {} episodes, {}", counts.ok, counts.asked, counted(counts.errors, "error"));
    if counts.missing > 0 {
        line += &format!(", {} missing", counts.missing);
    }
    line + &format!(", {} retried", counts.retried)
}

/// The name of a suite as people write it, after its benchmark's.
pub fn suite_title(benchmark: &str, suite: &str) -> String {
    let suite = match (benchmark, suite) {
        ("calvin", "abcd-d") => "ABCD→D",
        ("simpler", "widowx") => "WidowX",
        (_, suite) => suite,
    };
    format!("{} {suite}", benchmark_title(benchmark))
}

fn benchmark_title(benchmark: &str) -> &str {
    match benchmark {
        "calvin" => "CALVIN",
        "libero" => "LIBERO",
        "simpler" => "SimplerEnv",
        other => other,
    }
}

fn warnings(summary: &Summary) -> Vec<String> {
    let incomparable = summary.incomparable.as_ref().map(|why| format!("{why}, not comparable"));
    let approximate = summary.subject.iter().find(|(key, _)| key == "approximate");
    let approximate = approximate.map(|(_, what)| format!("approximate decoding: {what}"));
    let status = match summary.status {
        RunStatus::Complete | RunStatus::CompleteWithErrors => None,
        // Says why, below.
        RunStatus::StoppedEarly if summary.stopped_early.is_some() => None,
        RunStatus::StoppedEarly => Some("the run stopped early"),
        RunStatus::Running => Some("the run has not ended"),
        RunStatus::Interrupted => Some("the run was interrupted"),
        RunStatus::GaveUp => Some("the run gave up"),
    };
    let early = summary.stopped_early.as_ref().map(|why| {
        format!("stopped early, {why}: the side is certain (5 %), the rates lean to it")
    });
    let apart = summary.counts.apart();
    let partial = (!apart.is_empty()).then(|| summary.counts.words());
    let torn = summary
        .torn_line
        .map(|line| format!("line {line} of the records was cut short by a crash and is left out"));
    let all = [incomparable, approximate, status.map(str::to_owned), early, partial, torn];
    all.into_iter().flatten().collect()
}
