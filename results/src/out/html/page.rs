//! What all pages have: the frame, tables, plots.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::out::plots::Plot;
use crate::tables::model::{Align, Column, RowKind, Table};

const STYLE: &str = include_str!("../../../html/page.css");
const LIVE: &str = include_str!("../../../html/live.js");
/// Nothing is loaded except files next to the page; `view` serves them from its own address.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; \
                      script-src 'unsafe-inline' 'self' file:; img-src 'self' file: data:; \
                      media-src 'self' file: data:; connect-src 'self'; base-uri 'none'; \
                      form-action 'self'";
/// Smallest text in a plot, and the smallest on a screen, in pixels.
const PLOT_TEXT: f64 = 11.0;
const SMALLEST_TEXT: f64 = 9.5;

/// A page; `script` is code of this crate, never text from a run.
pub(super) fn page(title: &str, body: &Markup, script: Option<&str>) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (body)
                @if let Some(script) = script { script { (PreEscaped(script)) } }
            }
        }
    };
    page.into_string() + "\n"
}

/// A page that `view` serves: it follows its run. `script` may define `setUp`, which is called again
/// for a new version of the page, and `state` and `restore` for what the user has entered.
pub(super) fn served_page(title: &str, body: &Markup, script: &str) -> String {
    page(title, body, Some(&format!("\"use strict\";\n{script}\n{LIVE}")))
}

/// Links to the parts of a page, each an id and a title.
pub(super) fn contents(parts: &[(&str, &str)]) -> Markup {
    html! {
        nav aria-label="Contents" {
            ul {
                @for (id, title) in parts { li { a href={ "#" (id) } { (title) } } }
            }
        }
    }
}

/// A table with its notes.
pub(super) fn table(table: &Table) -> Markup {
    let (columns, heading) = (table.shown_columns(), table.heading());
    let right = |column: &Column| (column.align == Align::Right).then_some("right");
    let kind = |kind: RowKind| match kind {
        RowKind::Part => None,
        RowKind::Whole => Some("whole"),
        RowKind::Published | RowKind::NotMeasured => Some("paper"),
    };
    html! {
        div.scroll tabindex="0" role="group" aria-label=(heading) {
            table {
                @if !heading.is_empty() { caption { (heading) } }
                thead {
                    tr {
                        @for column in &columns {
                            th scope="col" class=[right(column)] { (column.header) }
                        }
                    }
                }
                tbody {
                    @for row in &table.rows {
                        tr class=[kind(row.kind)] {
                            @for (column, cell) in columns.iter().zip(table.shown_cells(row)) {
                                td class=[right(column)] { (cell) }
                            }
                        }
                    }
                }
            }
        }
        @for note in &table.notes { p.faint { (note) } }
    }
}

/// A table of texts.
pub(super) fn plain_table(heads: &[&str], rows: &[Vec<String>]) -> Markup {
    html! {
        div.scroll tabindex="0" role="group" aria-label=(heads.join(", ")) {
            table {
                thead { tr { @for head in heads { th scope="col" { (head) } } } }
                tbody {
                    @for row in rows { tr { @for cell in row { td { (cell) } } } }
                }
            }
        }
    }
}

/// A plot, its SVG as part of the page: the style sheet adapts its colors to a dark page. It never
/// shrinks so far that its text becomes too small to read, but is scrolled instead.
pub(super) fn figure(plot: &Plot) -> Markup {
    let narrowest = plot.width() * SMALLEST_TEXT / PLOT_TEXT;
    let label = format!(
        "<svg role=\"img\" aria-label=\"{}\" style=\"min-width: {narrowest:.0}px\" ",
        plot.title
    );
    // Titles are this crate's own; texts from a run inside the SVG were escaped when it was drawn.
    let svg = plot.svg.replacen("<svg ", &label, 1);
    html! {
        figure {
            figcaption { (plot.title) }
            div.picture tabindex="0" role="group" aria-label=(plot.title) { (PreEscaped(svg)) }
        }
    }
}

/// Warnings that must not be overlooked.
pub(super) fn warnings(warnings: &[String]) -> Markup {
    html! { @for warning in warnings { p.warning role="note" { strong { "Note: " } (warning) } } }
}
