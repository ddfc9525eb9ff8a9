//! The page of a comparison.

use maud::{Markup, html};

use super::page::{contents, figure, page, table, warnings};
use crate::compare::pairs::{Flip, RunComparison};
use crate::out::plots::Plot;
use crate::out::render::{COMPARE_READING, rate_table};
use crate::tables::format::{plural, shell_word};

/// The page of a comparison; `names` are the run directories of A and B as typed, and `plots` those
/// of the comparison.
pub fn compare_page(comparison: &RunComparison, names: [&str; 2], plots: &[Plot]) -> String {
    let title = format!("Comparison: {} and {}", names[0], names[1]);
    let a_better: fn(&Flip) -> bool = |flip| flip.a > flip.b;
    let b_better: fn(&Flip) -> bool = |flip| flip.b > flip.a;
    let parts =
        [("rates", "Rates"), ("a", "A did better"), ("b", "B did better"), ("runs", "The runs")];
    let body = html! {
        a.skip href="#rates" { "Skip to the rates" }
        header {
            h1 { "Comparison" }
            ul.lines {
                li { "A: " (names[0]) }
                li { "B: " (names[1]) }
                li { "protocol " (comparison.protocol) }
            }
            (warnings(&comparison.warnings))
            (contents(&parts))
        }
        main {
            section #rates aria-labelledby="rates-title" {
                h2 #rates-title { "Rates" }
                (table(&rate_table(&comparison.parts)))
                @for plot in plots { (figure(plot)) }
                p.faint { (COMPARE_READING) }
            }
            (flips("a", "A did better", &comparison.flips, a_better, names))
            (flips("b", "B did better", &comparison.flips, b_better, names))
            section #runs aria-labelledby="runs-title" {
                h2 #runs-title { "The runs" }
                @if comparison.differences.is_empty() { p { "Subject and setting are equal." } }
                @else {
                    p { "Subject and setting differ in:" }
                    ul { @for difference in &comparison.differences { li { (difference) } } }
                }
            }
        }
        footer { "Made by udvla-eval from two run directories." }
    };
    page(&title, &body, None)
}

fn flips(
    id: &str,
    title: &str,
    flips: &[Flip],
    better: fn(&Flip) -> bool,
    names: [&str; 2],
) -> Markup {
    let group: Vec<&Flip> = flips.iter().filter(|flip| better(flip)).collect();
    html! {
        section id=(id) aria-labelledby={ (id) "-title" } {
            h2 id={ (id) "-title" } { (title) ": " (plural(group.len() as u32, "episode")) }
            @if !group.is_empty() {
                div.scroll tabindex="0" role="group" aria-label=(title) {
                    table {
                        thead {
                            tr {
                                @for head in ["episode", "instruction", "A", "B", "replay"] {
                                    th scope="col" { (head) }
                                }
                            }
                        }
                        tbody { @for flip in group { (row(flip, names)) } }
                    }
                }
            }
        }
    }
}

fn row(flip: &Flip, names: [&str; 2]) -> Markup {
    let outcome = |completed: u16| match (flip.stages, completed) {
        (1, 0) => "× not solved".to_owned(),
        (1, _) => "✓ solved".to_owned(),
        (stages, completed) => format!("{completed} of {stages}"),
    };
    html! {
        tr {
            td { (flip.episode) }
            td { (flip.instruction) }
            td { (outcome(flip.a)) }
            td { (outcome(flip.b)) }
            td {
                @for ((letter, name), file) in ["A", "B"].iter().zip(names).zip(&flip.files) {
                    @if let Some(video) = file.as_ref().filter(|file| file.ends_with(".mp4")) {
                        p { (letter) ": " code { (name) "/" (video) } }
                    }
                }
                @for name in names {
                    code.command { "udvla-eval replay " (shell_word(name)) " " (flip.episode) " --video videos" }
                }
            }
        }
    }
}
