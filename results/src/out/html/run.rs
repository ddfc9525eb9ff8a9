//! The page of one run.

use std::path::Path;

use maud::{Markup, PreEscaped, html};

use super::page::{contents, figure, page, served_page, table, warnings};
use super::timelines::Timelines;
use super::{episodes, facts};
use crate::out::plots::Plot;
use crate::paper::Paper;
use crate::run::benchmarks::suite_title;
use crate::run::manifest::RunStatus;
use crate::run::read::Run;
use crate::statistics::{Estimate, Rate};
use crate::tables::caption::{Caption, closing_line};
use crate::tables::format::{NONE, length, percent, percent_interval, plural};
use crate::tables::run_tables::{partial_note, tables};
use crate::tables::summary::{SuiteSummary, Summary};
use crate::tables::verdict::PaperComparison;

const SCRIPT: &str = concat!(
    include_str!("../../../html/curves.js"),
    include_str!("../../../html/timeline.js"),
    include_str!("../../../html/run.js"),
);
const PARTS: [(&str, &str); 7] = [
    ("summary", "Summary"),
    ("episodes", "Episodes"),
    ("tables", "Tables"),
    ("plots", "Plots"),
    ("paper", "Differences to the paper"),
    ("protocol", "Protocol"),
    ("manifest", "Manifest"),
];

/// The page: summary with verdicts, every episode, tables, plots, what differs from the paper,
/// protocol and manifest. Its bytes depend on the arguments only. It expects the files of
/// [`Timelines`], the images and the videos next to it.
pub fn run_page(run: &Run, summary: &Summary, plots: &[Plot], paper: &Paper) -> String {
    let body = body(&Parts { run, summary, plots, paper }, None);
    page(&title(run, summary), &body, Some(SCRIPT))
}

/// The page as `view` serves it: it follows the run while it lasts.
pub fn served_run_page(run: &Run, summary: &Summary, plots: &[Plot], paper: &Paper) -> String {
    let body = body(&Parts { run, summary, plots, paper }, None);
    let body = html! { p.all { a href="../../" { "All runs" } } (body) };
    served_page(&title(run, summary), &body, SCRIPT)
}

/// The page with all images, videos and timelines inside: one file that can be sent to someone.
pub fn self_contained_run_page(dir: &Path, run: &Run, summary: &Summary, plots: &[Plot]) -> String {
    let paper = Paper::bundled();
    let data = Timelines::new(dir, run).inline();
    let body = body(&Parts { run, summary, plots, paper: &paper }, Some(&data));
    page(&title(run, summary), &body, Some(SCRIPT))
}

/// What a page is made of.
struct Parts<'a> {
    run: &'a Run,
    summary: &'a Summary,
    plots: &'a [Plot],
    paper: &'a Paper,
}

fn title(run: &Run, summary: &Summary) -> String {
    format!("{}: {}", Caption::new(summary).title, run.manifest.run)
}

/// The page without its frame; `data` holds the timelines if they are not in files of their own.
fn body(Parts { run, summary, plots, paper }: &Parts<'_>, data: Option<&str>) -> Markup {
    let caption = Caption::new(summary);
    let mut tables = tables(summary);
    // The last table, if there is one, summarizes the others.
    let last = tables.len().min(1);
    tables.rotate_right(last);
    let sections = [
        cards(run, summary),
        episodes::grids(run, summary),
        html! { @for run_table in &tables { (table(run_table)) } p.faint { (READING) } },
        html! { @for plot in *plots { (figure(plot)) } },
        facts::differences(&run.manifest, summary, paper),
        facts::protocol(&run.manifest),
        facts::manifest(&run.manifest),
    ];
    html! {
        a.skip href="#summary" { "Skip to the summary" }
        header {
            h1 { (title(run, summary)) }
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
        footer { "Made by udvla-eval from the files of the run directory." }
        @if let Some(data) = data {
            // The data contains no `<`.
            script #timelines type="application/json" { (PreEscaped(data)) }
        }
    }
}

const READING: &str = "Intervals are two-sided 95 % intervals: Wilson's for success rates, a \
                       bootstrap over sequences for an average length. Episodes that could not be \
                       run (errors) or were not run yet (missing) are neither successes nor \
                       failures of the policy.";

/// The main numbers, one card each, the whole before its parts.
fn cards(run: &Run, summary: &Summary) -> Markup {
    let average = summary.average.iter().map(|average| {
        let paper = average.paper.as_ref().ok_or(average.partial.as_deref());
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

pub(super) fn status(status: RunStatus) -> &'static str {
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
        return rate_card(&title, suite.rate.estimate, suite.rate, beside(suite));
    };
    let estimate = chain.length.estimate;
    let interval =
        estimate.map_or(NONE.into(), |Estimate { low, high, .. }| format!("[{low:.2}, {high:.2}]"));
    html! {
        div.card {
            h3 { (title) ", average length" }
            p.number { (length(estimate.map(|estimate| estimate.value))) }
            p { "95 % interval " (interval) " out of " (suite.stages) ", " (suite.counts.label()) }
            (paper(beside(suite), |value| length(Some(value))))
        }
    }
}

fn rate_card(
    title: &str,
    estimate: Option<Estimate>,
    rate: Rate,
    comparison: Beside<'_>,
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

/// The published number, or why it is left out.
type Beside<'a> = Result<&'a PaperComparison, Option<&'a str>>;

fn beside(suite: &SuiteSummary) -> Beside<'_> {
    suite.paper.as_ref().ok_or(suite.partial.as_deref())
}

fn paper(comparison: Beside<'_>, number: impl Fn(f64) -> String) -> Markup {
    let comparison = match comparison {
        Ok(comparison) => comparison,
        Err(Some(part)) => return html! { p.faint { (partial_note(part)) } },
        Err(None) => return html! { p.faint { "The paper has no number for it." } },
    };
    let published = &comparison.published;
    html! {
        p { "paper " (number(published.estimate.value)) " (" (published.source) ", n = " (published.n) ")" }
        p.verdict { (comparison.verdict) }
    }
}
