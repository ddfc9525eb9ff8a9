//! The list of runs that `view` starts with.

use maud::{Markup, html};

use super::page::served_page;
use super::run::status;
use crate::run::benchmarks::{benchmark_title, suite_title};
use crate::run::read::Run;
use crate::tables::format::{
    NONE, fraction, length, percent, percent_interval, plural, short_hash,
};
use crate::tables::summary::{SuiteSummary, Summary};

/// A run directory as `view` found it.
#[derive(Debug, Clone)]
pub struct Listed<'a> {
    /// Its name in addresses.
    pub name: String,
    /// The run with its numbers, or why it cannot be read.
    pub run: Result<(&'a Run, &'a Summary), String>,
}

/// The page with a row for every run; links lead to `run/NAME/` and `compare?run=NAME&run=…`.
pub fn list_page(runs: &[Listed<'_>]) -> String {
    let heads = ["run", "benchmark", "policy", "status", "episodes", "result", "started"];
    let body = html! {
        header {
            h1 { "Runs" }
            p { (plural(runs.len() as u32, "run")) ", newest first. Select a column heading to sort by it." }
        }
        main {
            form.list action="compare" method="get" {
                div.filter {
                    label { "Filter " input #list-filter type="search" placeholder="words in any column"; }
                    button type="submit" { "Compare selected" }
                }
                div.scroll tabindex="0" role="group" aria-label="runs" {
                    table #runs {
                        thead {
                            tr {
                                th scope="col" { span.hidden { "compare" } }
                                @for head in heads {
                                    th scope="col" { button type="button" data-sort=(head) { (head) } }
                                }
                            }
                        }
                        tbody { @for run in runs { (row(run)) } }
                    }
                }
                @if runs.is_empty() { p { "No run directory here: no folder has a run.json." } }
                p #no-match hidden { "No run matches." }
            }
        }
        footer { "Served by udvla-eval from the files of the run directories; it changes none." }
    };
    served_page("Runs", &body, include_str!("../../../html/list.js"))
}

fn row(listed: &Listed<'_>) -> Markup {
    let name = &listed.name;
    let (run, summary) = match &listed.run {
        Ok(read) => *read,
        Err(reason) => {
            return html! {
                tr { td {} td { (name) } td.wide colspan="6" { "cannot be read: " (reason) } }
            };
        }
    };
    let manifest = &run.manifest;
    let counts = &summary.counts;
    html! {
        tr {
            td { input type="checkbox" name="run" value=(name) aria-label={ "compare " (name) }; }
            td { a href={ "run/" (encoded(name)) "/" } { (name) } }
            td { (benchmark_title(&summary.benchmark)) }
            td { (policy(summary)) }
            td title=(status(manifest.status)) { (short_status(run)) }
            td data-value=(counts.ok + counts.errors) {
                (counts.ok + counts.errors) " of " (counts.asked)
                @if counts.errors > 0 { ", " (plural(counts.errors, "error")) }
            }
            td data-value=[value(summary)] {
                @for line in results(summary) { div { (line) } }
                @if let Some(reason) = &summary.incomparable { div.faint { "not comparable: " (reason) } }
            }
            td { time { (manifest.started) } }
        }
    }
}

/// The run's status in a word: that of its manifest.
fn short_status(run: &Run) -> String {
    let text = serde_json::to_value(run.manifest.status).unwrap_or_default();
    text.as_str().unwrap_or_default().replace('-', " ")
}

/// The policy, and its checkpoint's digest.
pub(super) fn policy(summary: &Summary) -> String {
    let fields = std::collections::BTreeMap::from(summary.subject.clone());
    let field = |name: &str| fields.get(name).map(|value| short_hash(value));
    let control = summary.subject.control().map(|control| format!("(control: {control})"));
    let parts = [field("policy"), field("checkpoint"), control];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// The number that runs are sorted by: the average success rate, or the average length.
fn value(summary: &Summary) -> Option<String> {
    let chained = summary.chained().map(|(_, chain)| chain.length.estimate);
    let average = summary.average.as_ref().map(|average| average.estimate);
    let only = summary.suites.first().map(|suite| suite.rate.estimate);
    chained.or(average).or(only)?.map(|estimate| format!("{:.6}", estimate.value))
}

/// A line for every number of the run, the whole before its parts.
fn results(summary: &Summary) -> Vec<String> {
    let average = summary.average.iter().map(|average| {
        let estimate = average.estimate;
        let value = percent(estimate.map(|estimate| estimate.value));
        format!("average {value} % {}", percent_interval(estimate))
    });
    let suites = summary
        .suites
        .iter()
        .map(|suite| format!("{} {}", suite_title(&summary.benchmark, &suite.name), result(suite)));
    average.chain(suites).collect()
}

/// The number of a suite with its interval.
pub(super) fn result(suite: &SuiteSummary) -> String {
    let Some(chain) = &suite.chain else {
        let estimate = suite.rate.estimate;
        let value = percent(estimate.map(|estimate| estimate.value));
        return format!("{value} % {}, {}", percent_interval(estimate), fraction(suite.rate));
    };
    match chain.length.estimate {
        None => NONE.into(),
        Some(estimate) => format!(
            "average length {} [{:.2}, {:.2}], n = {}",
            length(Some(estimate.value)),
            estimate.low,
            estimate.high,
            suite.counts.ok
        ),
    }
}

/// A name as one segment of an address.
pub(super) fn encoded(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let encode = |byte: u8| {
        if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    name.bytes().map(encode).collect()
}
