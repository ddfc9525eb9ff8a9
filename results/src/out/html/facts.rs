//! The protocol and the manifest of a run, and where it differs from the paper.

use std::collections::BTreeMap;

use maud::{Markup, html};
use serde_json::Value;

use super::page::plain_table;
use crate::paper::Paper;
use crate::run::benchmarks::suite_title;
use crate::run::manifest::Manifest;
use crate::statistics::Estimate;
use crate::tables::format::{NONE, length, percent, points, share, shell_word, signed};
use crate::tables::summary::{SuiteSummary, Summary};
use crate::tables::verdict::{PaperComparison, other_protocol};

/// Numbers and settings next to those of the paper.
pub(super) fn differences(manifest: &Manifest, summary: &Summary, paper: &Paper) -> Markup {
    let numbers = numbers(summary);
    let settings = settings(manifest, paper);
    let heads = ["what", "paper", "this run", "difference, 95 % interval", "verdict"];
    html! {
        @if numbers.is_empty() {
            p { "The paper has no numbers for what was run." }
        } @else {
            (plain_table(&heads, &numbers))
            p.faint {
                "A verdict rests on the interval of the difference, in which both numbers are \
                 uncertain. If withheld, the reason is shown instead."
            }
        }
        @if !settings.is_empty() {
            h3 { "How it was run" }
            (plain_table(&["what", "paper", "this run", "", "where the paper says so"], &settings))
        }
    }
}

fn numbers(summary: &Summary) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for suite in &summary.suites {
        let title = suite_title(&summary.benchmark, &suite.name);
        match &suite.chain {
            Some(_) => rows.extend(chain_rows(suite, &title)),
            None => {
                let ours = suite.rate.estimate;
                rows.extend(suite.paper.as_ref().map(|paper| rate_row(title.clone(), ours, paper)));
            }
        }
        rows.extend(suite.tasks.iter().filter_map(|task| {
            let paper = percent(Some(task.paper?));
            let ours = percent(task.rate.estimate.map(|estimate| estimate.value));
            Some(vec![task.instruction.clone(), paper, ours, String::new(), String::new()])
        }));
    }
    if let Some(average) = &summary.average {
        let paper = average.paper.as_ref();
        rows.extend(
            paper.map(|paper| rate_row("average of the suites".into(), average.estimate, paper)),
        );
    }
    rows
}

fn rate_row(what: String, measured: Option<Estimate>, paper: &PaperComparison) -> Vec<String> {
    let difference = paper
        .difference
        .map_or(String::new(), |difference| format!("{} points", points(difference)));
    vec![
        format!("{what}, success in %"),
        percent(Some(paper.published.estimate.value)),
        percent(measured.map(|estimate| estimate.value)),
        difference,
        paper.verdict.to_string(),
    ]
}

fn chain_rows(suite: &SuiteSummary, title: &str) -> Vec<Vec<String>> {
    let Some(chain) = &suite.chain else { return Vec::new() };
    let mut rows = Vec::new();
    for (index, (rate, paper)) in chain.in_a_row.iter().zip(&chain.paper).enumerate() {
        let what = format!("{title}, {} in a row", index + 1);
        let ours = share(rate.estimate.map(|estimate| estimate.value));
        rows.extend(
            paper.map(|paper| vec![what, share(Some(paper)), ours, String::new(), String::new()]),
        );
    }
    rows.extend(suite.paper.as_ref().map(|paper| {
        vec![
            format!("{title}, average length"),
            length(Some(paper.published.estimate.value)),
            length(chain.length.estimate.map(|estimate| estimate.value)),
            paper.difference.map_or(String::new(), |difference| signed(difference, 2)),
            paper.verdict.to_string(),
        ]
    }));
    rows
}

/// How UD-VLA was run according to the paper, next to this run.
fn settings(manifest: &Manifest, paper: &Paper) -> Vec<Vec<String>> {
    let protocol = &manifest.protocol;
    let row = |what: &str, stated: &str, used: Option<&str>, source: &str| {
        let comparison = match used {
            None => "not a setting of this policy",
            Some(used) if used == stated => "same",
            Some(_) => "differs",
        };
        [what, stated, used.unwrap_or(NONE), comparison, source].map(str::to_owned).to_vec()
    };
    let mut rows = Vec::new();
    if let Some(table) = paper.table(&protocol.benchmark) {
        let name = protocol.name.as_str();
        let stated = if table.protocols.iter().any(|protocol| protocol == name) {
            name.to_owned()
        } else {
            table.protocols.join(" or ")
        };
        let other = other_protocol(manifest, table);
        rows.push(row("protocol", &stated, Some(other.as_deref().unwrap_or(name)), &table.source));
    }
    let subject = BTreeMap::from(manifest.subject.clone());
    let of_benchmark = paper.settings.iter().filter(|setting| {
        setting.benchmark.as_ref().is_none_or(|benchmark| *benchmark == protocol.benchmark)
    });
    rows.extend(of_benchmark.map(|setting| {
        let used = subject.get(&setting.key).map(String::as_str);
        row(&setting.what, &setting.value, used, &setting.source)
    }));
    rows
}

/// The protocol, field by field.
pub(super) fn protocol(manifest: &Manifest) -> Markup {
    let protocol = &manifest.protocol;
    let suites: Vec<Vec<String>> = protocol
        .suites
        .iter()
        .map(|suite| {
            let numbers = [
                suite.tasks.len().to_string(),
                suite.trials.to_string(),
                suite.stages.to_string(),
                suite.max_steps.to_string(),
            ];
            [vec![suite.name.clone()], numbers.to_vec()].concat()
        })
        .collect();
    let environment: Vec<Vec<String>> = protocol
        .environment
        .iter()
        .map(|(key, value)| vec![key.to_owned(), plain(value)])
        .collect();
    html! {
        p {
            strong { (protocol.name) } " version " (protocol.version) ", fingerprint "
            code { (manifest.protocol_fingerprint) }
        }
        (plain_table(&["suite", "tasks", "trials per task", "stages", "steps per stage, at most"], &suites))
        (plain_table(&["field", "value"], &environment))
        @for suite in protocol.suites.iter().filter(|suite| !suite.details.is_empty()) {
            details {
                summary { "Details of " (suite.name) }
                pre { (pretty(&suite.details)) }
            }
        }
    }
}

/// The manifest, part by part, and `run.json` itself.
pub(super) fn manifest(manifest: &Manifest) -> Markup {
    let batches = manifest.batches;
    let run = [
        ("run", manifest.run.clone()),
        ("started", manifest.started.clone()),
        ("ended", manifest.ended.clone().unwrap_or(NONE.into())),
        ("batches of the policy", batches.batches.to_string()),
        ("observations in them", batches.rows.to_string()),
        ("seconds in the policy", format!("{:.1}", batches.seconds)),
    ];
    let run: Vec<Vec<String>> =
        run.into_iter().map(|(key, value)| vec![key.to_owned(), value]).collect();
    let parts = [
        ("The run", run),
        ("Subject: what was tested", rows_of(manifest.subject.clone().into())),
        ("Setting: what may differ between machines", rows_of(manifest.setting.clone().into())),
        ("Software", rows_of(manifest.software.clone())),
        ("Machine", rows_of(manifest.machine.clone())),
        ("Remarks of the policy, how often", remarks(manifest)),
    ];
    html! {
        p { "The command, typed in " code { (manifest.directory) } ":" }
        code.command { "udvla-eval " (command(&manifest.command)) }
        @for (title, rows) in parts.iter().filter(|part| !part.1.is_empty()) {
            h3 { (title) }
            (plain_table(&["field", "value"], rows))
        }
        details {
            summary { "run.json" }
            pre { (pretty(manifest)) }
        }
    }
}

fn rows_of(map: BTreeMap<String, String>) -> Vec<Vec<String>> {
    map.into_iter().map(|(key, value)| vec![key, value]).collect()
}

fn remarks(manifest: &Manifest) -> Vec<Vec<String>> {
    manifest.remarks.iter().map(|(kind, count)| vec![kind.clone(), count.to_string()]).collect()
}

/// The arguments after the program's name, quoted for a shell.
fn command(words: &[String]) -> String {
    let words = words.iter().skip_while(|word| *word == "udvla-eval");
    words.map(|word| shell_word(word)).collect::<Vec<_>>().join(" ")
}

/// Text as it is, anything else as JSON.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn pretty(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).expect("all keys are text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_typed_again() {
        let words = ["udvla-eval", "libero", "--out", "my run's", ""].map(String::from);
        assert_eq!(command(&words), r"libero --out 'my run'\''s' ''");
    }
}
