//! What stands below a measured row: what was measured, verdicts, the other rule, the worst case.

use crate::caption::Caption;
use crate::figures;
use crate::statistics::Rate;
use crate::summary::{SuiteSummary, Summary};

/// Protocol, subject, setting, troubles, verdicts of the suites, and the bound with errors.
pub(crate) fn measured_notes(summary: &Summary) -> Vec<String> {
    let caption = Caption::new(summary);
    let mut notes: Vec<String> = caption.lines;
    notes.extend(caption.warnings.iter().map(|warning| format!("warning: {warning}")));
    for suite in &summary.suites {
        let paper = suite.paper.iter();
        notes.extend(paper.map(|paper| format!("{}: {}", suite.name, paper.verdict.line())));
    }
    notes.extend(summary.suites.iter().filter_map(other_rule_note));
    notes.extend(summary.suites.iter().filter_map(worst_case));
    if let Some(average) = summary.average.as_ref().filter(|average| average.rate.errors > 0) {
        notes.push(format!("all suites: {}", bound(average.rate)));
    }
    notes
}

/// The other rule beside the one of the table, where records tell it apart.
fn other_rule_note(suite: &SuiteSummary) -> Option<String> {
    let (rule, rate) = suite.other_rule?;
    let tasks = suite.tasks.iter().filter_map(|task| task.other_rule);
    let tasks: Vec<_> = tasks.map(|rate| format!("{}/{}", rate.successes, rate.n)).collect();
    Some(format!(
        "{}: {}: {}, by task {} ({})",
        suite.name,
        rule.words(),
        counts(rate),
        tasks.join(", "),
        rule.note()
    ))
}

/// What a suite's numbers are at worst: every error a failure at its first stage.
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
        figures::length(length)
    ))
}

/// `with errors counted as failures: 1920/2000 = 96.0 [95.1, 96.8]`.
fn bound(rate: Rate) -> String {
    let worst = Rate::new(rate.successes, rate.n + rate.errors, 0);
    format!("with errors counted as failures: {}", counts(worst))
}

/// `1920/2000 = 96.0 [95.1, 96.8]`.
fn counts(rate: Rate) -> String {
    let Rate { successes, n, estimate, .. } = rate;
    let value = figures::percent(estimate.map(|e| e.value));
    format!("{successes}/{n} = {value} {}", figures::percent_interval(estimate))
}
