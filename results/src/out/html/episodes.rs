//! The episodes of a run as a grid and as a table.

use maud::{Markup, html};
use udvla_sims::episode::{EpisodeKey, Notes};
use udvla_sims::sequences;

use crate::run::benchmarks::suite_title;
use crate::run::read::Run;
use crate::run::record::{EpisodeRecord, Status};
use crate::tables::format::NONE;
use crate::tables::subtasks::StageOutcome;
use crate::tables::summary::{SuiteSummary, Summary, TaskSummary};

/// Outcome of an episode, as shown in the grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CellKind {
    Solved,
    Failed,
    Error,
    Missing,
}

impl CellKind {
    const ALL: [Self; 4] = [Self::Solved, Self::Failed, Self::Error, Self::Missing];

    fn of(record: Option<&EpisodeRecord>) -> Self {
        match record.map(EpisodeRecord::success) {
            None => Self::Missing,
            Some(None) => Self::Error,
            Some(Some(true)) => Self::Solved,
            Some(Some(false)) => Self::Failed,
        }
    }

    /// The class in the style sheet.
    fn class(self) -> &'static str {
        match self {
            Self::Solved => "solved",
            Self::Failed => "failed",
            Self::Error => "error",
            Self::Missing => "missing",
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Solved => "solved",
            Self::Failed => "not solved",
            Self::Error => "error: could not be run",
            Self::Missing => "missing: not run yet",
        }
    }

    /// The symbol in a cell: the outcome must be readable without its color.
    fn symbol(self) -> &'static str {
        match self {
            Self::Solved => "✓",
            Self::Failed => "×",
            Self::Error => "!",
            Self::Missing => "·",
        }
    }
}

/// Grids by suite and task, a legend, and the dialog that shows an episode.
pub(super) fn grids(run: &Run, summary: &Summary) -> Markup {
    let chained = summary.suites.iter().any(|suite| suite.chain.is_some());
    html! {
        p {
            "A cell per episode, task by task, in the order of their trials. Choose one for its \
             details; the arrow keys go from cell to cell."
            @if chained { " A number is how many tasks in a row were solved." }
        }
        ul.legend {
            @for outcome in CellKind::ALL {
                li {
                    span class={ "cell " (outcome.class()) } aria-hidden="true" { span { (outcome.symbol()) } }
                    (outcome.label())
                }
            }
        }
        div.filter hidden {
            span { "Show:" }
            @for outcome in CellKind::ALL {
                button type="button" aria-pressed="true" data-kind=(outcome.class()) {
                    (outcome.class())
                }
            }
        }
        div #grids {
            @for suite in &summary.suites {
                h3 { (suite_title(&summary.benchmark, &suite.name)) ", " (suite.counts.label()) }
                @for task in &suite.tasks { (grid(run, suite, task)) }
                (list(run, suite))
            }
        }
        (detail(&run.manifest.run))
    }
}

/// The cells of one task.
fn grid(run: &Run, suite: &SuiteSummary, task: &TaskSummary) -> Markup {
    let planned = run.manifest.planned(&suite.name, task.task);
    let trials = planned.map_or(0, |planned| planned.trials);
    let key = |trial| EpisodeKey { suite: suite.name.clone(), task: task.task, trial };
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
                @for trial in 0..trials {
                    @let key = key(trial);
                    (cell(&key.to_string(), trial, run.records.get(&key)))
                }
            }
        }
    }
}

fn cell(key: &str, trial: u16, record: Option<&EpisodeRecord>) -> Markup {
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
        a class=(class) href={ "#" (key) } aria-label=(label) title=(label) { span { (symbol) } }
    }
}

/// The sub-tasks of a chain with their outcomes; empty where the protocol has no list.
fn subtasks(chains: &[Vec<String>], record: &EpisodeRecord) -> String {
    let chain = chains.get(usize::from(record.trial)).into_iter().flatten();
    let subtasks = (0..).zip(chain).map(|(stage, name)| {
        let symbol = match StageOutcome::of(record, stage) {
            StageOutcome::Solved => "✓",
            StageOutcome::Failed => "×",
            StageOutcome::NotReached | StageOutcome::Error => "·",
        };
        format!("{symbol} {}", name.replace('_', " "))
    });
    subtasks.collect::<Vec<_>>().join(", ")
}

/// The records of a suite as a table; cells of the grid link to its rows.
fn list(run: &Run, suite: &SuiteSummary) -> Markup {
    let heads = [
        "episode",
        "outcome",
        "stages",
        "sub-tasks",
        "steps",
        "calls",
        "attempts",
        "truncated",
        "wall s",
        "sim s",
        "policy s",
        "started",
        "error",
        "notes",
        "first observation",
        "final state",
        "actions",
        "video",
    ];
    let protocol = run.manifest.protocol.suite(&suite.name);
    let chains = protocol.map_or_else(Vec::new, sequences::chains);
    html! {
        details {
            summary { "All records of this suite as a table" }
            div.scroll tabindex="0" role="group" aria-label={ "records of " (suite.name) } {
                table {
                    thead { tr { @for head in heads { th scope="col" { (head) } } } }
                    tbody {
                        @for record in run.records.values().filter(|r| r.suite == suite.name) {
                            (row(record, &subtasks(&chains, record)))
                        }
                    }
                }
            }
        }
    }
}

fn row(record: &EpisodeRecord, subtasks: &str) -> Markup {
    let key = record.key().to_string();
    let outcome = CellKind::of(Some(record));
    let seconds = |seconds: f64| format!("{seconds:.1}");
    let hash = |hash: &Option<String>| hash.clone().unwrap_or_default();
    let error: Vec<&str> = [&record.error_kind, &record.error_message]
        .into_iter()
        .filter_map(|text| text.as_deref())
        .collect();
    let again = match outcome {
        CellKind::Error => Some("resume"),
        _ => record.actions.is_some().then_some("replay"),
    };
    html! {
        tr id=(key) data-again=[again] {
            td { (key) }
            td { (outcome.label()) }
            td { (record.stages_completed) " of " (record.stages) }
            td class=[(!subtasks.is_empty()).then_some("wide")] { (subtasks) }
            td { (record.steps) }
            td { (record.calls) }
            td { (record.attempts) }
            td { (if record.truncated { "yes" } else { "no" }) }
            @for time in [record.seconds.wall, record.seconds.sim, record.seconds.policy] {
                td { (seconds(time)) }
            }
            td { (record.started) }
            td class=[(!error.is_empty()).then_some("wide")] { (error.join(": ")) }
            td { (notes(&record.notes)) }
            td { (hash(&record.first_observation_sha256)) }
            td { (hash(&record.final_state_sha256)) }
            td { (record.actions.as_deref().unwrap_or_default()) }
            td {
                @if let Some(video) = &record.video {
                    a.video href=(relative(video)) { (video) }
                }
            }
        }
    }
}

/// The simulator's notes: `success_any true, grasped false`.
fn notes(notes: &Notes) -> String {
    let notes = notes.iter().map(|(name, value)| match value.as_str() {
        Some(text) => format!("{name} {text}"),
        None => format!("{name} {value}"),
    });
    notes.collect::<Vec<_>>().join(", ")
}

/// A path of a record as a link that can only lead to a file next to the page.
fn relative(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let encoded = path.bytes().map(|byte| {
        if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    });
    format!("./{}", encoded.collect::<String>().trim_start_matches('/'))
}

/// The dialog that shows an episode; `run` is the run directory if the browser knows none.
fn detail(run: &str) -> Markup {
    html! {
        dialog #episode aria-labelledby="episode-name" data-run=(run) {
            form method="dialog" {
                header {
                    h2 #episode-name { "Episode" }
                    button #episode-before type="button" { "← before" }
                    button #episode-after type="button" { "next →" }
                    button { "Close" }
                }
            }
            div #episode-facts {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_to_a_file_next_to_the_page_whatever_a_record_says() {
        assert_eq!(relative("videos/long-task00.mp4"), "./videos/long-task00.mp4");
        assert_eq!(relative("javascript:alert(1)"), "./javascript%3Aalert%281%29");
        assert_eq!(relative("//host/a?b#c"), "./host/a%3Fb%23c");
    }
}
