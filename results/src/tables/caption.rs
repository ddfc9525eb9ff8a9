//! What must accompany every number: protocol, subject, setting and warnings.

use std::collections::BTreeMap;

use super::counts::Counts;
use super::format::{plural, short_hash};
use super::summary::Summary;
use crate::run::benchmarks::benchmark_title;
use crate::run::manifest::RunStatus;

/// The caption of a run's tables and plots.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caption {
    /// Display name of the benchmark.
    pub title: String,
    /// Protocol, subject and setting, one line each; empty ones are left out.
    pub lines: Vec<String>,
    /// What limits the numbers, for example `stand-in assets, not comparable`.
    pub warnings: Vec<String>,
}

impl Caption {
    /// The caption of `summary`.
    pub fn new(summary: &Summary) -> Self {
        let lines = [
            format!("protocol {}", summary.protocol),
            subject_line(summary),
            setting_line(summary),
            published_line(summary),
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
    let Counts { asked, ok, errors, missing, retried } = summary.counts;
    let missing = if missing > 0 { format!(", {missing} missing") } else { String::new() };
    let (asked, errors) = (plural(asked, "episode"), plural(errors, "error"));
    format!("{ok} of {asked}, {errors}{missing}, {retried} retried")
}

/// The policy first, then the rest of the subject by name.
fn subject_line(summary: &Summary) -> String {
    let mut fields: Vec<(String, String)> =
        BTreeMap::from(summary.subject.clone()).into_iter().collect();
    fields.sort_by_key(|(name, _)| name != "policy");
    let fields = fields.iter().map(|(name, value)| format!("{name} {}", short_hash(value)));
    fields.collect::<Vec<_>>().join(" · ")
}

/// The part of the setting that belongs next to a number.
fn setting_line(summary: &Summary) -> String {
    let setting = &summary.setting;
    let fields = [
        ("simulator", &setting.simulator),
        ("assets", &setting.assets),
        ("renderer", &setting.renderer),
    ];
    let shown = |(name, value): (&str, &Option<String>)| {
        Some(format!("{name} {}", short_hash(value.as_ref()?)))
    };
    fields.into_iter().filter_map(shown).collect::<Vec<_>>().join(" · ")
}

/// The row that verdicts are against, where the user named one.
fn published_line(summary: &Summary) -> String {
    let row = summary.published.as_ref();
    row.map_or(String::new(), |row| format!("compared with {}", row.label()))
}

fn warnings(summary: &Summary) -> Vec<String> {
    let status = match summary.status {
        RunStatus::Complete | RunStatus::CompleteWithErrors => None,
        // The reason follows.
        RunStatus::StoppedEarly if summary.stopped_early.is_some() => None,
        RunStatus::StoppedEarly => Some("the run stopped early"),
        RunStatus::Running => Some("the run has not ended"),
        RunStatus::Interrupted => Some("the run was interrupted"),
        RunStatus::GaveUp => Some("the run gave up"),
    };
    let incomparable = summary.incomparable.as_ref().map(|why| format!("{why}, not comparable"));
    let control = summary.subject.control().map(|control| {
        format!("a control, {control}: shows what the policy needs, not how good it is")
    });
    let server = summary.subject.other.contains_key("server").then(|| {
        "the policy ran on a server: its noise is not reproducible by this harness, stored actions \
         are"
        .to_owned()
    });
    let approximate = summary.subject.approximate.as_deref().map(short_hash);
    let early = summary.stopped_early.as_ref().map(|why| {
        format!(
            "stopped early, {why}: direction significant at 5 %; point estimates are biased \
             towards it"
        )
    });
    let partial = !summary.counts.excluded().is_empty();
    let torn = summary
        .torn_line
        .map(|line| format!("line {line} of the records was cut short by a crash and is skipped"));
    let all = [
        control,
        incomparable,
        server,
        approximate.map(|what| format!("approximate decoding: {what}")),
        status.map(str::to_owned),
        early,
        partial.then(|| summary.counts.label()),
        torn,
    ];
    all.into_iter().flatten().chain(summary.notes.clone()).collect()
}
