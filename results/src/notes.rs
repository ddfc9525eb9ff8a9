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
    notes.extend(summary.suites.iter().filter_map(any_step_note));
    notes.extend(summary.suites.iter().filter_map(worst_case));
    if let Some(average) = summary.average.as_ref().filter(|average| average.rate.errors > 0) {
        notes.push(format!("all suites: {}", bound(average.rate)));
    }
    notes
}

/// The other rule beside the one of the table, where records tell it apart.
fn any_step_note(suite: &SuiteSummary) -> Option<String> {
    let tasks: Vec<String> = suite
        .tasks
        .iter()
        .filter_map(|task| Some(format!("{}/{}", task.any_step?.successes, task.any_step?.n)))
        .collect();
    Some(format!(
        "{}: success here is what holds after the last step; after any step it held in {} ({})",
        suite.name,
        counts(suite.any_step?),
        tasks.join(", ")
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
