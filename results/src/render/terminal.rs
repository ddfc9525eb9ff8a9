//! Tables for a terminal: plain text of at most 100 columns.

use super::{padded, widths};
use crate::caption::{Caption, closing_line};
use crate::figures::{shorten, wrap};
use crate::summary::Summary;
use crate::table::{Align, Row, Table, tables};

/// The width that no line exceeds.
const WIDTH: usize = 100;
/// Between two columns.
const GAP: &str = "  ";
/// What is left of a column that is shortened, at least.
const SHORTEST: usize = 12;

/// The tables of a run with its caption and a closing line.
pub fn terminal(summary: &Summary) -> String {
    let caption = Caption::new(summary);
    let mut text = String::new();
    for line in &caption.lines {
        text += &wrapped(line, "");
    }
    for warning in &caption.warnings {
        text += &wrapped(&format!("! {warning}"), "");
    }
    for table in tables(summary) {
        text += &format!("\n{}", terminal_table(&table));
    }
    text + "\n" + &wrapped(&closing_line(summary), "")
}

fn terminal_table(table: &Table) -> String {
    let mut widths = widths(table);
    let total: usize = widths.iter().map(|width| width + GAP.len()).sum::<usize>() - GAP.len();
    let flexible = table.columns.iter().position(|column| column.align == Align::LeftShortened);
    if let Some(index) = flexible {
        let excess = total.saturating_sub(WIDTH);
        widths[index] = widths[index].saturating_sub(excess).max(SHORTEST);
    }
    let line = |cells: &[String]| {
        let cells = cells.iter().zip(&widths).zip(&table.columns);
        let cells: Vec<_> = cells
            .map(|((cell, &width), column)| padded(&shorten(cell, width), width, column.align))
            .collect();
        format!("{}\n", shorten(cells.join(GAP).trim_end(), WIDTH))
    };
    let headers: Vec<String> = table.columns.iter().map(|column| column.header.clone()).collect();
    let rows = table.rows.iter().map(|Row { cells, .. }| line(cells));
    let notes = table.notes.iter().map(|note| wrapped(note, GAP));
    let head = [wrapped(&table.title, ""), line(&headers)];
    head.into_iter().chain(rows).chain(notes).collect()
}

fn wrapped(text: &str, indent: &str) -> String {
    let lines = wrap(text, WIDTH - indent.len());
    lines.iter().map(|line| format!("{indent}{line}\n")).collect()
}
