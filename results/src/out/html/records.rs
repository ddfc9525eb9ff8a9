//! The records of a suite as a table; the dialog of an episode takes its facts from there.

use maud::{Markup, html};
use udvla_sims::episode::Notes;
use udvla_sims::sequences;

use super::outcome::CellKind;
use super::timelines::file_of;
use crate::run::read::Run;
use crate::run::record::EpisodeRecord;
use crate::tables::subtasks::StageOutcome;
use crate::tables::summary::SuiteSummary;

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
pub(super) fn list(run: &Run, suite: &SuiteSummary) -> Markup {
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
    let timeline = record.actions.is_some().then(|| relative(&file_of(&record.key())));
    html! {
        tr id=(key) data-again=[again] data-timeline=[timeline] {
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
