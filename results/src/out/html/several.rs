//! Any number of runs side by side, for `view`.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};
use udvla_sims::episode::EpisodeKey;

use super::list::{encoded, policy, result};
use super::outcome::CellKind;
use super::page::{figure, served_page};
use crate::out::plots::Plot;
use crate::run::benchmarks::{benchmark_title, suite_title};
use crate::run::read::Run;
use crate::tables::format::{NONE, plural};
use crate::tables::summary::Summary;

/// A run of a comparison.
#[derive(Debug, Clone, Copy)]
pub struct Compared<'a> {
    /// Its name in addresses.
    pub name: &'a str,
    /// The run.
    pub run: &'a Run,
    /// Its numbers.
    pub summary: &'a Summary,
}

/// The page: numbers by suite, what differs between the runs, plots, and the episodes that they did
/// not end alike. Links lead to `run/NAME/` and `pair?a=NAME&b=NAME`.
pub fn several_page(runs: &[Compared<'_>], plots: &[Plot]) -> String {
    let protocols: BTreeSet<&str> =
        runs.iter().map(|run| run.run.manifest.protocol_fingerprint.as_str()).collect();
    let body = html! {
        header {
            h1 { "Comparison of " (plural(runs.len() as u32, "run")) }
            p { a href="./" { "All runs" } }
            @if protocols.len() > 1 {
                p.warning role="note" {
                    strong { "Note: " } "The runs have different protocols. Their numbers are not comparable."
                }
            }
        }
        main {
            section #rates aria-labelledby="rates-title" { h2 #rates-title { "Numbers" } (numbers(runs)) }
            @if protocols.len() == 1 && runs.len() > 1 {
                section #pairs aria-labelledby="pairs-title" { h2 #pairs-title { "Pairs" } (pairs(runs)) }
            }
            section #differences aria-labelledby="differences-title" {
                h2 #differences-title { "What differs" }
                (differences(runs))
            }
            @if protocols.len() == 1 {
                section #episodes aria-labelledby="episodes-title" {
                    h2 #episodes-title { "Episodes with different outcomes" }
                    (episodes(runs))
                }
            }
            section #plots aria-labelledby="plots-title" {
                h2 #plots-title { "Plots" }
                @for plot in plots { (figure(plot)) }
                @if plots.is_empty() { p { "These runs have no plot in common." } }
            }
        }
        footer { "Served by udvla-eval from the files of the run directories; it changes none." }
    };
    served_page("Comparison", &body, "")
}

fn link(run: &Compared<'_>) -> Markup {
    html! { a href={ "run/" (encoded(run.name)) "/" } { (run.name) } }
}

/// A table with these heads and a row for each run.
fn table(label: &str, heads: &[String], rows: &[Vec<Markup>]) -> Markup {
    html! {
        div.scroll tabindex="0" role="group" aria-label=(label) {
            table {
                thead { tr { @for head in heads { th scope="col" { (head) } } } }
                tbody { @for row in rows { tr { @for cell in row { td { (cell) } } } } }
            }
        }
    }
}

/// A row for each run and a column for each suite of any.
fn numbers(runs: &[Compared<'_>]) -> Markup {
    let mut suites: Vec<(&str, &str)> = Vec::new();
    for run in runs {
        for suite in &run.summary.suites {
            let known = (run.summary.benchmark.as_str(), suite.name.as_str());
            if !suites.contains(&known) {
                suites.push(known);
            }
        }
    }
    let titles = suites.iter().map(|(benchmark, suite)| suite_title(benchmark, suite));
    let heads: Vec<String> =
        ["run", "benchmark", "policy"].map(String::from).into_iter().chain(titles).collect();
    let cell = |run: &Compared<'_>, (benchmark, name): (&str, &str)| {
        let own = run.summary.benchmark == benchmark;
        let suite = run.summary.suites.iter().find(|suite| own && suite.name == name);
        html! { (suite.map_or(NONE.into(), result)) }
    };
    let row = |run: &Compared<'_>| {
        let title = benchmark_title(&run.summary.benchmark);
        let first = [link(run), html! { (title) }, html! { (policy(run.summary)) }];
        first.into_iter().chain(suites.iter().map(|suite| cell(run, *suite))).collect()
    };
    table("numbers", &heads, &runs.iter().map(row).collect::<Vec<Vec<Markup>>>())
}

/// Links to the comparison of any two.
fn pairs(runs: &[Compared<'_>]) -> Markup {
    html! {
        p { "Episode by episode, with an interval and a test of the difference:" }
        ul {
            @for (index, a) in runs.iter().enumerate() {
                @for b in &runs[index + 1..] {
                    li { a href={ "pair?a=" (encoded(a.name)) "&b=" (encoded(b.name)) } { (a.name) " and " (b.name) } }
                }
            }
        }
    }
}

/// Fields of protocol, subject and setting that are not equal in all runs.
fn differences(runs: &[Compared<'_>]) -> Markup {
    let fields = |run: &Compared<'_>| -> BTreeMap<String, String> {
        let manifest = &run.run.manifest;
        let part = |name: &'static str, map: BTreeMap<String, String>| {
            map.into_iter().map(move |(key, value)| (format!("{name}.{key}"), value))
        };
        let protocol = ("protocol".to_owned(), manifest.protocol_line());
        part("subject", manifest.subject.clone().into())
            .chain(part("setting", manifest.setting.clone().into()))
            .chain([protocol])
            .collect()
    };
    let all: Vec<BTreeMap<String, String>> = runs.iter().map(fields).collect();
    let names: BTreeSet<&String> = all.iter().flat_map(BTreeMap::keys).collect();
    let differs = |name: &&String| all.iter().any(|map| map.get(*name) != all[0].get(*name));
    let value = |map: &BTreeMap<String, String>, name: &String| {
        let text = map.get(name).cloned().unwrap_or(NONE.into());
        html! { (text) }
    };
    let rows: Vec<Vec<Markup>> = names
        .into_iter()
        .filter(differs)
        .map(|name| {
            let first = html! { (name) };
            [first].into_iter().chain(all.iter().map(|map| value(map, name))).collect()
        })
        .collect();
    let heads: Vec<String> =
        ["field"].into_iter().chain(runs.iter().map(|run| run.name)).map(String::from).collect();
    html! {
        @if rows.is_empty() { p { "Protocol, subject and setting are equal." } }
        @else { (table("differences", &heads, &rows)) }
    }
}

/// Episodes with a record in at least two of the runs that did not all end alike.
fn episodes(runs: &[Compared<'_>]) -> Markup {
    let keys: BTreeSet<&EpisodeKey> = runs.iter().flat_map(|run| run.run.records.keys()).collect();
    let progress = |run: &Compared<'_>, key: &EpisodeKey| {
        run.run.records.get(key).map(|record| (CellKind::of(Some(record)), record.stages_completed))
    };
    let differs = |key: &&EpisodeKey| {
        let found: Vec<_> = runs.iter().filter_map(|run| progress(run, key)).collect();
        found.iter().any(|one| *one != found[0])
    };
    let cell = |run: &Compared<'_>, key: &EpisodeKey| match run.run.records.get(key) {
        None => html! { (NONE) },
        Some(record) => {
            let kind = CellKind::of(Some(record));
            let stages = (record.stages > 1)
                .then(|| format!(", {} of {}", record.stages_completed, record.stages));
            html! {
                a href={ "run/" (encoded(run.name)) "/#" (key) } {
                    (kind.symbol()) " " (kind.short()) (stages.unwrap_or_default())
                }
            }
        }
    };
    let rows: Vec<Vec<Markup>> = keys
        .into_iter()
        .filter(differs)
        .map(|key| {
            let first = html! { (key) };
            [first].into_iter().chain(runs.iter().map(|run| cell(run, key))).collect()
        })
        .collect();
    let heads: Vec<String> =
        ["episode"].into_iter().chain(runs.iter().map(|run| run.name)).map(String::from).collect();
    html! {
        @if rows.is_empty() { p { "None." } }
        @else { p { (plural(rows.len() as u32, "episode")) "." } (table("episodes", &heads, &rows)) }
    }
}
