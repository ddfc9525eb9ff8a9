//! Runs with short names that tell them apart in one plot.

use std::collections::{BTreeMap, BTreeSet};

use crate::caption::Caption;
use crate::paper::Paper;
use crate::read::Run;
use crate::summary::Summary;

/// Subject and setting of a run by name.
type Facts = BTreeMap<String, String>;

/// A run, its numbers, and its name in a plot.
#[derive(Debug, Clone)]
pub(super) struct Named<'a> {
    /// The run.
    pub(super) run: &'a Run,
    /// Its numbers.
    pub(super) summary: Summary,
    /// `this run`, or what tells it from the others.
    pub(super) label: String,
    /// The same without the number of denoising steps.
    pub(super) series: String,
}

/// The runs with labels: the policy, and the fields of subject and setting in which runs of that
/// policy differ. Runs with equal labels have their folders' names as well, and a run alone is
/// `this run`.
pub(super) fn named<'a>(runs: &'a [Run], paper: &Paper) -> Vec<Named<'a>> {
    let facts: Vec<Facts> = runs.iter().map(facts).collect();
    let label = |one: &Facts, hidden: &str| {
        let differs = |key: &String, value: &String| {
            let others = facts.iter().filter(|other| other.get("policy") == one.get("policy"));
            others.filter_map(|other| other.get(key)).any(|other| other != value)
        };
        let told = one.iter().filter(|(key, value)| *key != hidden && differs(key, value));
        label(one.get("policy").map_or("unknown policy", String::as_str), told)
    };
    let mut labels: Vec<String> = facts.iter().map(|facts| label(facts, "")).collect();
    let series = facts.iter().map(|facts| label(facts, "denoise_steps"));
    for index in 0..labels.len() {
        let twins: Vec<usize> =
            (index..labels.len()).filter(|&other| labels[other] == labels[index]).collect();
        if twins.len() > 1 {
            twins.iter().for_each(|&twin| labels[twin] += &format!(" {}", runs[twin].manifest.run));
        }
    }
    let summary = |run| Summary::new(run, paper);
    let mut named: Vec<Named> = runs
        .iter()
        .zip(labels.into_iter().zip(series))
        .map(|(run, (label, series))| Named { run, summary: summary(run), label, series })
        .collect();
    if let [only] = &mut named[..] {
        only.label = "this run".into();
    }
    named
}

/// What a plot of these runs says of them: the caption of the one run, or what all share and a
/// line per run.
pub(super) fn caption(runs: &[Named]) -> Caption {
    let mut captions = runs.iter().map(|run| Caption::new(&run.summary));
    let Some(mut caption) = captions.next() else {
        return Caption { title: String::new(), lines: vec![], warnings: vec![] };
    };
    if runs.len() == 1 {
        return caption;
    }
    let protocols: BTreeSet<&String> = runs.iter().map(|run| &run.summary.protocol).collect();
    caption.lines = protocols.into_iter().map(|protocol| format!("protocol {protocol}")).collect();
    caption.warnings.clear();
    for run in runs {
        let warnings = Caption::new(&run.summary).warnings;
        caption.warnings.extend(warnings.iter().map(|why| format!("{}: {why}", run.label)));
    }
    caption
}

/// What is known of a run, without what never tells two of them apart for a reader.
fn facts(run: &Run) -> Facts {
    let known = run.manifest.subject.iter().chain(&run.manifest.setting);
    let told = known.filter(|(key, _)| !matches!(key.as_str(), "comparable" | "adapters"));
    told.map(|(key, value)| (key.clone(), short(value))).collect()
}

fn label<'a>(policy: &str, told: impl Iterator<Item = (&'a String, &'a String)>) -> String {
    let words = told.filter(|(key, _)| *key != "policy").map(|(key, value)| match key.as_str() {
        "decoding" | "checkpoint" => value.clone(),
        "denoise_steps" => format!("{value} steps"),
        key => format!("{} {value}", key.replace('_', " ")),
    });
    [policy.to_owned()].into_iter().chain(words).collect::<Vec<_>>().join(" ")
}

/// The first 8 digits of a `sha256:…`; other text as it is.
fn short(value: &str) -> String {
    match value.strip_prefix("sha256:") {
        Some(digits) => digits.chars().take(8).collect(),
        None => value.to_owned(),
    }
}
