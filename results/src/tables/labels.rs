//! What tells measured runs apart: names of rows and curves.

use std::collections::BTreeMap;

use super::format::short_hash;
use super::notes::method;
use super::summary::Summary;

/// Subject and setting of a run by field.
pub(crate) type Fields = BTreeMap<String, String>;

/// Subject and setting, without the fields that mean nothing to a reader.
pub(crate) fn fields(summary: &Summary) -> Fields {
    let mut fields = Fields::from(summary.subject.clone());
    fields.extend(Fields::from(summary.setting.clone()));
    fields.retain(|name, _| !matches!(name.as_str(), "comparable" | "adapters"));
    fields.into_iter().map(|(name, value)| (name, short_hash(&value))).collect()
}

/// The fields in which any of `all` differs, except `hidden`, as words.
pub(crate) fn differing(fields: &Fields, all: &[&Fields], hidden: &str) -> Vec<String> {
    let differs = |name: &str, value: &str| {
        all.iter().filter_map(|other| other.get(name)).any(|other| other != value)
    };
    let shown = fields
        .iter()
        .filter(|(name, value)| *name != "policy" && *name != hidden && differs(name, value));
    let words = shown.map(|(name, value)| match name.as_str() {
        "decoding" | "checkpoint" => value.clone(),
        "denoise_steps" => format!("{value} steps"),
        name => format!("{} {value}", name.replace('_', " ")),
    });
    words.collect()
}

/// Names of the measured rows of a table: [`method`], followed by what differs where two are
/// alike, and by the run's name where nothing does.
pub(crate) fn row_names(summaries: &[&Summary]) -> Vec<String> {
    let mut names: Vec<String> = summaries.iter().map(|summary| method(summary)).collect();
    let all: Vec<Fields> = summaries.iter().map(|summary| fields(summary)).collect();
    let twins = |names: &[String], index: usize| -> Vec<usize> {
        (0..names.len()).filter(|&other| names[other] == names[index]).collect()
    };
    let told_apart: Vec<String> = (0..names.len())
        .map(|index| {
            let alike: Vec<&Fields> =
                twins(&names, index).into_iter().map(|other| &all[other]).collect();
            let words = differing(&all[index], &alike, "");
            [vec![names[index].clone()], words].concat().join(", ")
        })
        .collect();
    for (index, name) in names.iter_mut().enumerate() {
        *name = told_apart[index].clone();
        if twins(&told_apart, index).len() > 1 {
            *name += &format!(", {}", summaries[index].run);
        }
    }
    names
}
