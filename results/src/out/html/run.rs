//! The page of one run.

use maud::{Markup, html};

use super::page::{contents, figure, page, table, warnings};
use super::{episodes, facts};
use crate::out::plots::Plot;
use crate::paper::Paper;
use crate::run::benchmarks::suite_title;
use crate::run::manifest::RunStatus;
use crate::run::read::Run;
use crate::statistics::{Estimate, Rate};
use crate::tables::caption::{Caption, closing_line};
use crate::tables::format::{NONE, length, percent, percent_interval, plural};
use crate::tables::run_tables::tables;
use crate::tables::summary::{SuiteSummary, Summary};
use crate::tables::verdict::PaperComparison;

const SCRIPT: &str = include_str!("../../../html/run.js");
const PARTS: [(&str, &str); 7] = [
    ("summary", "Summary"),
    ("tables", "Tables"),
    ("plots", "Plots"),
    ("episodes", "Episodes"),
    ("paper", "Differences to the paper"),
    ("protocol", "Protocol"),
    ("manifest", "Manifest"),
];

/// The page: summary with verdicts, tables, plots, every episode, what differs from the paper,
/// protocol and manifest. Its bytes depend on the arguments only.
pub fn run_page(run: &Run, summary: &Summary, plots: &[Plot], paper: &Paper) -> String {
    let caption = Caption::new(summary);
    let title = format!("{}: {}", caption.title, run.manifest.run);
    let mut tables = tables(summary);
    // The last table, if there is one, summarizes the others.
    let last = tables.len().min(1);
    tables.rotate_right(last);
    let sections = [
        cards(run, summary),
        html! { @for run_table in &tables { (table(run_table)) } p.faint { (READING) } },
        html! { @for plot in plots { (figure(plot)) } },
        episodes::grids(run, summary),
        facts::differences(&run.manifest, summary, paper),
        facts::protocol(&run.manifest),
        facts::manifest(&run.manifest),
    ];
    let body = html! {
        a.skip href="#summary" { "Skip to the summary" }
        header {
            h1 { (title) }
            ul.lines { @for line in &caption.lines { li { (line) } } }
            (warnings(&caption.warnings))
            (contents(&PARTS))
        }
        main {
            @for ((id, title), section) in PARTS.iter().zip(&sections) {
                section id=(id) aria-labelledby={ (id) "-title" } {
                    h2 id={ (id) "-title" } { (title) }
                    (section)
                }
            }
        }
        footer { "Made by udvla-eval from run.json and episodes.jsonl of the run directory." }
    };
    page(&title, &body, Some(SCRIPT))
}

const READING: &str = "Intervals are two-sided 95 % intervals: Wilson's for success rates, a \
                       bootstrap over sequences for an average length. Episodes that could not be \
                       run (errors) or were not run yet (missing) are neither successes nor \
                       failures of the policy.";

/// The main numbers, one card each, the whole before its parts.
fn cards(run: &Run, summary: &Summary) -> Markup {
    let average = summary.average.iter().map(|average| {
        let paper = average.paper.as_ref();
        rate_card("average of the suites", average.estimate, average.rate, paper)
    });
    let suites = summary.suites.iter().map(|suite| suite_card(&summary.benchmark, suite));
    html! {
        p {
            (closing_line(summary)) ". " (status(run.manifest.status)) " Started "
            time { (run.manifest.started) }
            @if let Some(ended) = &run.manifest.ended { ", ended " time { (ended) } }
            "."
        }
        div.cards { @for card in average.chain(suites) { (card) } }
    }
}

fn status(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Complete => "The run is complete.",
        RunStatus::CompleteWithErrors => "The run is complete; some episodes could not be run.",
        RunStatus::Running => "The run has not ended.",
        RunStatus::StoppedEarly => "The run stopped early, as requested.",
        RunStatus::Interrupted => "The run was interrupted.",
        RunStatus::GaveUp => "The run gave up after repeated failures.",
    }
}

fn suite_card(benchmark: &str, suite: &SuiteSummary) -> Markup {
    let title = suite_title(benchmark, &suite.name);
    let Some(chain) = &suite.chain else {
        return rate_card(&title, suite.rate.estimate, suite.rate, suite.paper.as_ref());
    };
    let estimate = chain.length.estimate;
    let interval =
        estimate.map_or(NONE.into(), |Estimate { low, high, .. }| format!("[{low:.2}, {high:.2}]"));
    html! {
        div.card {
            h3 { (title) ", average length" }
            p.number { (length(estimate.map(|estimate| estimate.value))) }
            p { "95 % interval " (interval) " out of " (suite.stages) ", " (suite.counts.label()) }
            (paper(suite.paper.as_ref(), |value| length(Some(value))))
        }
    }
}

fn rate_card(
    title: &str,
    estimate: Option<Estimate>,
    rate: Rate,
    comparison: Option<&PaperComparison>,
) -> Markup {
    html! {
        div.card {
            h3 { (title) ", success" }
            p.number { (percent(estimate.map(|estimate| estimate.value))) " %" }
            p { "95 % interval " (percent_interval(estimate)) ", " (rate.successes) "/" (rate.n) }
            @if rate.errors > 0 { p { (plural(rate.errors, "error")) ", not counted" } }
            (paper(comparison, |value| format!("{} %", percent(Some(value)))))
        }
    }
}

fn paper(comparison: Option<&PaperComparison>, number: impl Fn(f64) -> String) -> Markup {
    let Some(comparison) = comparison else {
        return html! { p.faint { "The paper has no number for it." } };
    };
    let published = &comparison.published;
    html! {
        p { "paper " (number(published.estimate.value)) " (" (published.source) ", n = " (published.n) ")" }
        p.verdict { (comparison.verdict) }
    }
}
