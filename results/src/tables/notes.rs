//! Notes on a measured row: what was measured, verdicts, the other success rule, the worst case.

use super::caption::Caption;
use super::format;
use super::run_tables::partial_note;
use super::summary::{SuiteSummary, Summary};
use crate::statistics::Rate;

/// What a note on the limits of a measured row begins with, after the row's name.
pub(crate) const WARNING: &str = "warning: ";

/// Name of a measured row: the user's; else the checkpoint's, by its folder and digest, or the
/// policy's.
pub(crate) fn method(summary: &Summary) -> String {
    if let Some(name) = &summary.name {
        return name.clone();
    }
    let policy = summary.subject.policy.as_deref().unwrap_or("policy");
    let name = summary.checkpoint_name.as_deref().unwrap_or(policy);
    let checkpoint = summary.subject.checkpoint.as_ref();
    let checkpoint = checkpoint.map(|digest| format!(" {}", format::short_hash(digest)));
    let control = summary.subject.control().map(|control| format!(", control: {control}"));
    format!("this harness, {name}{}{}", checkpoint.unwrap_or_default(), control.unwrap_or_default())
}

/// Caption, warnings, verdicts of the suites, and the bounds with errors as failures.
pub(crate) fn measured_notes(summary: &Summary) -> Vec<String> {
    let Caption { lines: mut notes, warnings, .. } = Caption::new(summary);
    notes.extend(warnings.iter().map(|warning| format!("{WARNING}{warning}")));
    notes.extend(summary.suites.iter().filter_map(|suite| {
        Some(format!("{}, {}", suite.name, partial_note(suite.partial.as_ref()?)))
    }));
    notes.extend(summary.suites.iter().filter_map(|suite| {
        suite.paper.as_ref().map(|paper| format!("{}: {}", suite.name, paper.verdict))
    }));
    notes.extend(summary.suites.iter().filter_map(other_rule_note));
    notes.extend(summary.suites.iter().filter_map(worst_case));
    if let Some(average) = summary.average.as_ref().filter(|average| average.rate.errors > 0) {
        notes.push(format!("all suites: {}", bound(average.rate)));
    }
    notes
}

/// The rate by the other success rule, where records tell the two apart.
fn other_rule_note(suite: &SuiteSummary) -> Option<String> {
    let (rule, rate) = suite.other_rule?;
    let rates = suite.tasks.iter().filter_map(|task| task.other_rule);
    let tasks: Vec<_> = rates.map(format::fraction).collect();
    Some(format!(
        "{}: {}: {}, by task {} ({})",
        suite.name,
        rule.title(),
        with_counts(rate),
        tasks.join(", "),
        rule.note()
    ))
}

/// A suite's number at worst: every error counted as a failure at its first stage.
fn worst_case(suite: &SuiteSummary) -> Option<String> {
    if suite.counts.errors == 0 {
        return None;
    }
    let Some(chain) = &suite.chain else {
        return Some(format!("{}: {}", suite.name, bound(suite.rate)));
    };
    let (ran, all) = (f64::from(chain.length.n), f64::from(chain.length.n + chain.length.errors));
    let length = chain.length.estimate.map(|estimate| estimate.value * ran / all);
    Some(format!(
        "{}: with errors counted as failures the average length is {}",
        suite.name,
        format::length(length)
    ))
}

/// `with errors counted as failures: 1920/2000 = 96.0 [95.1, 96.8]`.
fn bound(rate: Rate) -> String {
    let worst = Rate::new(rate.successes, rate.n + rate.errors, 0);
    format!("with errors counted as failures: {}", with_counts(worst))
}

/// `1920/2000 = 96.0 [95.1, 96.8]`.
fn with_counts(rate: Rate) -> String {
    let Rate { successes, n, estimate, .. } = rate;
    let value = format::percent(estimate.map(|estimate| estimate.value));
    format!("{successes}/{n} = {value} {}", format::percent_interval(estimate))
}
