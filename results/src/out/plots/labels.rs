//! Runs with short labels that distinguish them in one plot.

use std::collections::{BTreeMap, BTreeSet};

use crate::paper::Paper;
use crate::run::read::Run;
use crate::tables::caption::Caption;
use crate::tables::format::short_hash;
use crate::tables::summary::Summary;

/// Subject and setting of a run by field.
type Fields = BTreeMap<String, String>;

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

/// The runs with labels: the policy, and the fields of subject and setting in which runs of that
/// policy differ. Runs with equal labels get their folders' names as well, and a single run is
/// `this run`.
pub(super) fn label_runs<'a>(runs: &'a [Run], paper: &Paper) -> Vec<LabelledRun<'a>> {
    let all: Vec<Fields> = runs.iter().map(fields).collect();
    let mut labels: Vec<String> = all.iter().map(|fields| label(fields, &all, "")).collect();
    for index in 0..labels.len() {
        let twins: Vec<usize> =
            (index..labels.len()).filter(|&other| labels[other] == labels[index]).collect();
        if twins.len() > 1 {
            twins.iter().for_each(|&twin| labels[twin] += &format!(" {}", runs[twin].manifest.run));
        }
    }
    let series = all.iter().map(|fields| label(fields, &all, "denoise_steps"));
    let mut labelled: Vec<LabelledRun> = runs
        .iter()
        .zip(labels.into_iter().zip(series))
        .map(|(run, (label, series))| LabelledRun {
            run,
            summary: Summary::new(run, paper),
            label,
            series,
        })
        .collect();
    if let [only] = &mut labelled[..] {
        only.label = "this run".into();
    }
    labelled
}

/// The policy and the fields in which other runs of it differ, except `hidden`.
fn label(fields: &Fields, all: &[Fields], hidden: &str) -> String {
    let differs = |name: &str, value: &str| {
        let others = all.iter().filter(|other| other.get("policy") == fields.get("policy"));
        others.filter_map(|other| other.get(name)).any(|other| other != value)
    };
    let shown = fields
        .iter()
        .filter(|(name, value)| *name != "policy" && *name != hidden && differs(name, value));
    let parts = shown.map(|(name, value)| match name.as_str() {
        "decoding" | "checkpoint" => value.clone(),
        "denoise_steps" => format!("{value} steps"),
        name => format!("{} {value}", name.replace('_', " ")),
    });
    let policy = fields.get("policy").map_or("unknown policy", String::as_str);
    [policy.to_owned()].into_iter().chain(parts).collect::<Vec<_>>().join(" ")
}

/// Subject and setting, without the fields that mean nothing to a reader.
fn fields(run: &Run) -> Fields {
    let mut fields = Fields::from(run.manifest.subject.clone());
    fields.extend(Fields::from(run.manifest.setting.clone()));
    fields.retain(|name, _| !matches!(name.as_str(), "comparable" | "adapters"));
    fields.into_iter().map(|(name, value)| (name, short_hash(&value))).collect()
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
