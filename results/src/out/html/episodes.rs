//! The episodes of a run as a grid, and the dialog that shows one.

use maud::{Markup, html};
use udvla_sims::episode::EpisodeKey;

use crate::run::benchmarks::suite_title;
use crate::run::read::Run;
use crate::run::record::{EpisodeRecord, Status};
use crate::tables::format::NONE;
use crate::tables::summary::{SuiteSummary, Summary, TaskSummary};

use super::outcome::CellKind;
use super::records;
use super::timelines::components;

/// Grids by suite and task, a legend that filters them, and the dialog that shows an episode.
pub(super) fn grids(run: &Run, summary: &Summary) -> Markup {
    let chained = summary.suites.iter().any(|suite| suite.chain.is_some());
    html! {
        p {
            "A cell per episode, task by task, in the order of their trials. Select one to see what \
             happened; the arrow keys go from cell to cell."
            @if chained { " A number is how many tasks in a row were solved." }
        }
        (legend(run))
        (filter(run))
        div #grids {
            @for suite in &summary.suites {
                div.suite {
                    h3 { (suite_title(&summary.benchmark, &suite.name)) ", " (suite.counts.label()) }
                    @for task in &suite.tasks { (grid(run, suite, task)) }
                    (records::list(run, suite))
                }
            }
        }
        p #no-match hidden { "No episode matches." }
        (detail(run))
    }
}

/// The symbols with their meanings.
fn legend(run: &Run) -> Markup {
    html! {
        ul.legend {
            @for outcome in CellKind::ALL {
                li {
                    span class={ "cell " (outcome.class()) } aria-hidden="true" { span { (outcome.symbol()) } }
                    (outcome.label()) ": " (count(run, outcome))
                }
            }
        }
    }
}

/// Buttons and a field that leave only the cells that match; they need the script.
fn filter(run: &Run) -> Markup {
    html! {
        div.filter hidden role="group" aria-label="Filter" {
            span { "Show" }
            button type="button" aria-pressed="true" data-kind="" { "all" }
            @for outcome in CellKind::ALL.into_iter().filter(|outcome| count(run, *outcome) > 0) {
                button type="button" aria-pressed="false" data-kind=(outcome.class()) {
                    (outcome.short())
                }
            }
            label { "task " input #filter-text type="search" placeholder="words of the instruction"; }
        }
    }
}

/// Number of planned episodes with that outcome.
fn count(run: &Run, outcome: CellKind) -> usize {
    let episodes = run.manifest.episodes();
    episodes.iter().filter(|key| CellKind::of(run.records.get(key)) == outcome).count()
}

/// The cells of one task.
fn grid(run: &Run, suite: &SuiteSummary, task: &TaskSummary) -> Markup {
    let planned = run.manifest.planned(&suite.name, task.task);
    let episodes = planned.into_iter().flat_map(|planned| run.manifest.episodes_of(planned));
    let rate = match (task.rate.n, suite.stages) {
        (0, _) => NONE.to_owned(),
        (n, 1) => format!("{} of {n} solved", task.rate.successes),
        (n, _) => format!("{} of {n} solved to the end", task.rate.successes),
    };
    html! {
        div.task data-instruction=(task.instruction) {
            div.name {
                span { (task.task) " · " (task.instruction) }
                span.faint { (rate) }
            }
            div.cells role="group" aria-label={ "episodes of task " (task.task) } {
                @for key in episodes {
                    (cell(&key, run.records.get(&key)))
                }
            }
        }
    }
}

fn cell(key: &EpisodeKey, record: Option<&EpisodeRecord>) -> Markup {
    let trial = key.trial;
    let outcome = CellKind::of(record);
    let class = format!("cell {}", outcome.class());
    let Some(record) = record else {
        let label = format!("trial {trial}: {}", outcome.label());
        return html! {
            span class=(class) role="img" aria-label=(label) title=(label) { (outcome.symbol()) }
        };
    };
    let (symbol, progress) = match (record.status, record.stages) {
        (Status::Ok, stages) if stages > 1 => {
            let completed = record.stages_completed;
            (completed.to_string(), format!(", {completed} of {stages} tasks"))
        }
        _ => (outcome.symbol().to_owned(), String::new()),
    };
    let video = if record.video.is_some() { ", with video" } else { "" };
    let label =
        format!("trial {trial}: {}{progress}, {} steps{video}", outcome.label(), record.steps);
    html! {
        a class=(class) href={ "#" (key.to_string()) } aria-label=(label) title=(label) { span { (symbol) } }
    }
}

/// The dialog that shows an episode. It names the run for commands, in case that the browser does
/// not know the folder, and tells the script what the numbers of an action are.
fn detail(run: &Run) -> Markup {
    let components = components(&run.manifest.protocol.benchmark);
    html! {
        dialog #episode aria-labelledby="episode-name" data-run=(run.manifest.run)
            data-components=(components) {
            form method="dialog" {
                header {
                    h2 #episode-name { "Episode" }
                    button #episode-before type="button" { "← previous" }
                    button #episode-after type="button" { "next →" }
                    button { "Close" }
                }
            }
            div #episode-facts {}
        }
    }
}
