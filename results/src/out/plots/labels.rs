//! Runs with short labels that distinguish them in one plot.

use std::collections::BTreeSet;

use crate::paper::Paper;
use crate::run::read::Run;
use crate::tables::caption::Caption;
use crate::tables::labels::{Fields, differing, fields};
use crate::tables::summary::Summary;

/// A run, its numbers, and its label.
#[derive(Debug, Clone)]
pub(super) struct LabelledRun<'a> {
    pub(super) run: &'a Run,
    pub(super) summary: Summary,
    /// `this run`, or what distinguishes it from the others.
    pub(super) label: String,
    /// The label without the number of denoising steps.
    pub(super) series: String,
}

/// The runs with labels: their names, where they are given; else the policy, and the fields of
/// subject and setting in which runs of that policy differ. Runs with equal labels get their
/// folders' names as well, and a single run without a name is `this run`.
pub(super) fn label_runs<'a>(
    runs: &'a [Run],
    names: &[Option<String>],
    paper: &Paper,
) -> Vec<LabelledRun<'a>> {
    let name = |index: usize| names.get(index).cloned().flatten();
    let summaries: Vec<Summary> = runs
        .iter()
        .enumerate()
        .map(|(index, run)| Summary::new(run, paper).named(name(index)))
        .collect();
    let all: Vec<Fields> = summaries.iter().map(fields).collect();
    let mut labels: Vec<String> = all.iter().map(|fields| label(fields, &all, "")).collect();
    for index in 0..labels.len() {
        let twins: Vec<usize> =
            (index..labels.len()).filter(|&other| labels[other] == labels[index]).collect();
        if twins.len() > 1 {
            twins.iter().for_each(|&twin| labels[twin] += &format!(" {}", runs[twin].manifest.run));
        }
    }
    if let [only] = &mut labels[..] {
        *only = "this run".into();
    }
    let series: Vec<String> =
        all.iter().map(|fields| label(fields, &all, "denoise_steps")).collect();
    let labelled = |((run, summary), (label, series)): ((&'a Run, Summary), (String, String))| {
        let label = summary.name.clone().unwrap_or(label);
        LabelledRun { run, summary, label, series }
    };
    runs.iter().zip(summaries).zip(labels.into_iter().zip(series)).map(labelled).collect()
}

/// The policy and the fields in which other runs of it differ, except `hidden`.
fn label(fields: &Fields, all: &[Fields], hidden: &str) -> String {
    let same_policy = |other: &&Fields| other.get("policy") == fields.get("policy");
    let others: Vec<&Fields> = all.iter().filter(same_policy).collect();
    let policy = fields.get("policy").map_or("unknown policy", String::as_str);
    [vec![policy.to_owned()], differing(fields, &others, hidden)].concat().join(" ")
}

/// The caption of a plot: that of a single run, or the protocols and the warnings of all.
pub(super) fn caption(runs: &[LabelledRun]) -> Caption {
    let captions: Vec<Caption> = runs.iter().map(|run| Caption::new(&run.summary)).collect();
    if let [only] = &captions[..] {
        return only.clone();
    }
    let protocols: BTreeSet<&String> = runs.iter().map(|run| &run.summary.protocol).collect();
    let warnings = runs.iter().zip(&captions).flat_map(|(run, caption)| {
        caption.warnings.iter().map(|warning| format!("{}: {warning}", run.label))
    });
    Caption {
        title: captions.first().map_or(String::new(), |caption| caption.title.clone()),
        lines: protocols.into_iter().map(|protocol| format!("protocol {protocol}")).collect(),
        warnings: warnings.collect(),
    }
}
