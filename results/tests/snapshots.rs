//! Texts as a reader sees them; `INSTA_UPDATE=always` rewrites the stored ones.

use insta::assert_snapshot;
use scraper::Html;
use udvla_results::compare::audit::printed::of_paper;
use udvla_results::compare::gate::against_paper;
use udvla_results::compare::pairs::compare;
use udvla_results::out::html::run_page;
use udvla_results::out::plots::of_runs;
use udvla_results::out::render::{
    audit_markdown, compare_markdown, gate_junit, gate_markdown, markdown, paper_markdown, terminal,
};
use udvla_results::run::manifest::{EarlyStop, RunStatus};
use udvla_results::run::read::Run;
use udvla_results::tables::caption::Caption;
use udvla_results::tables::paper_tables::paper_tables;

use crate::build;

/// A run with every warning that a caption can have.
fn troubled() -> Run {
    let mut run = build::libero_long_counts(&[50, 31, 0]);
    build::fail(&mut run, "long", 1, 49);
    build::forget(&mut run, "long", 2, 0);
    build::set_setting(&mut run, "comparable", "no: stand-in assets");
    build::set_subject(&mut run, "approximate", "prefix cache");
    run.manifest.status = RunStatus::StoppedEarly;
    run.manifest.stopped_early = Some(EarlyStop {
        against: "the paper's Table 3".into(),
        direction: "below".into(),
        episodes: 57,
        evidence: 41.5,
        threshold: 40.0,
    });
    run.torn_line = Some(77);
    run
}

fn simpler_with_notes() -> Run {
    let mut run = build::simpler_as_published();
    build::note_any_step(&mut run, |record| record.stages_completed == 1 || record.trial == 23);
    run
}

#[test]
fn captions_say_what_limits_the_numbers() {
    let Caption { title, lines, warnings } = Caption::new(&build::summary(&troubled()));
    assert_snapshot!([vec![title], lines, warnings].concat().join("\n"));
}

#[test]
fn tables_of_a_run_in_a_terminal() {
    assert_snapshot!("libero", terminal(&build::summary(&build::libero_as_published())));
    assert_snapshot!("simpler", terminal(&build::summary(&simpler_with_notes())));
    assert_snapshot!("chains", terminal(&build::summary(&build::calvin_of_lengths(&[1, 5, 0]))));
}

#[test]
fn the_page_of_a_troubled_run() {
    assert_snapshot!(markdown(&build::summary(&troubled())));
}

#[test]
fn the_papers_tables_with_and_without_runs() {
    let paper = build::paper();
    let runs = [build::calvin_as_published(), build::libero_as_published(), simpler_with_notes()];
    assert_snapshot!("paper", paper_markdown(&paper.paper, &paper_tables(&paper, &runs, &[])));
}

#[test]
fn comparisons_gates_and_audits() {
    let paper = build::paper();
    let (a, b) = (build::libero_long_counts(&[50, 31, 9]), build::libero_long_counts(&[49, 40, 9]));
    assert_snapshot!("compare", compare_markdown(&compare(&a, &b).unwrap(), ["a", "b"]));
    let gate = against_paper(&build::libero_as_published(), &paper, 0.02).unwrap();
    assert_snapshot!("gate", gate_markdown(&gate));
    assert_snapshot!("junit", gate_junit(&gate));
    assert_snapshot!("audit", audit_markdown(&of_paper(&paper)).0);
}

#[test]
fn the_text_of_a_html_page() {
    let run = troubled();
    let page = run_page(&run, &build::summary(&run), &[], &build::paper());
    let texts = Html::parse_document(&page);
    let texts = texts.root_element().descendants().filter(|node| {
        let parent = node.parent().and_then(|parent| parent.value().as_element());
        parent.is_some_and(|parent| {
            !["style", "script", "pre", "td", "span"].contains(&parent.name())
        })
    });
    let texts = texts.filter_map(|node| Some(node.value().as_text()?.trim().to_owned()));
    assert_snapshot!(texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n"));
}

#[test]
fn plots_that_runs_do_not_give_are_listed() {
    let (_, without) = of_runs(&[troubled()], &build::paper()).unwrap();
    let lines: Vec<String> =
        without.iter().map(|plot| format!("{}: {}", plot.title, plot.takes)).collect();
    assert_snapshot!(lines.join("\n"));
}
