//! What all pages have: the frame, tables, pictures.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::plots::Plot;
use crate::table::{Align, RowKind, Table};

const STYLE: &str = include_str!("../../html/page.css");
/// Nothing is loaded from anywhere, apart from videos that lie beside the page.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                      img-src data:; media-src 'self' file:; base-uri 'none'; form-action 'none'";

/// A page; `script` is code of this crate, never a text of a run.
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

/// Links to the parts of a page: the part's id and its title.
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
    let right = |index: usize| {
        let align = table.columns.get(index).map(|column| column.align);
        matches!(align, Some(Align::Right)).then_some("right")
    };
    let kind = |kind: RowKind| match kind {
        RowKind::Part => None,
        RowKind::Whole => Some("whole"),
        RowKind::Paper => Some("paper"),
    };
    html! {
        div.scroll tabindex="0" role="group" aria-label=(table.title) {
            table {
                @if !table.title.is_empty() { caption { (table.title) } }
                thead {
                    tr {
                        @for (index, column) in table.columns.iter().enumerate() {
                            th scope="col" class=[right(index)] { (column.header) }
                        }
                    }
                }
                tbody {
                    @for row in &table.rows {
                        tr class=[kind(row.kind)] {
                            @for (index, cell) in row.cells.iter().enumerate() {
                                td class=[right(index)] { (cell) }
                            }
                        }
                    }
                }
            }
        }
        @for note in &table.notes { p.faint { (note) } }
    }
}

/// A table of two or more columns of text.
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

/// A plot, its SVG as part of the page.
pub(super) fn figure(plot: &Plot) -> Markup {
    let label = format!("<svg role=\"img\" aria-label=\"{}\" ", plot.title);
    // The titles are this crate's own; texts of a run inside the SVG are escaped by its writer.
    let svg = plot.svg.replacen("<svg ", &label, 1);
    html! {
        figure {
            figcaption { (plot.title) }
            div.picture { (PreEscaped(svg)) }
        }
    }
}

/// Warnings that must not be overlooked.
pub(super) fn warnings(warnings: &[String]) -> Markup {
    html! { @for warning in warnings { p.warning role="note" { strong { "Note: " } (warning) } } }
}
