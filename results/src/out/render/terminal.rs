//! Tables for a terminal: plain text of at most 100 columns.

use super::{padded, widths};
use crate::out::printable::{printable, printable_line};
use crate::tables::caption::{Caption, closing_line};
use crate::tables::format::{shorten, wrap};
use crate::tables::model::{Align, Table};
use crate::tables::run_tables::tables;
use crate::tables::summary::Summary;

/// The width that no line exceeds.
const WIDTH: usize = 100;
/// Space between two columns.
const GAP: &str = "  ";
/// Minimum width of a shortened column.
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
    printable(&(text + "\n" + &wrapped(&closing_line(summary), "")))
}

fn terminal_table(table: &Table) -> String {
    let columns = table.shown_columns();
    let cells = |row| table.shown_cells(row).iter().map(|cell| printable_line(cell)).collect();
    let rows: Vec<Vec<String>> = table.rows.iter().map(cells).collect();
    let mut widths = widths(&columns, &rows);
    let total: usize = widths.iter().map(|width| width + GAP.len()).sum::<usize>() - GAP.len();
    if let Some(index) = columns.iter().position(|column| column.align == Align::LeftShortened) {
        let excess = total.saturating_sub(WIDTH);
        widths[index] = widths[index].saturating_sub(excess).max(SHORTEST);
    }
    let line = |cells: &[String]| {
        let padded: Vec<_> = cells
            .iter()
            .zip(&widths)
            .zip(&columns)
            .map(|((cell, &width), column)| padded(&shorten(cell, width), width, column.align))
            .collect();
        format!("{}\n", shorten(padded.join(GAP).trim_end(), WIDTH))
    };
    let headers: Vec<String> = columns.iter().map(|column| column.header.clone()).collect();
    let rows = rows.iter().map(|cells| line(cells));
    let notes = table.notes.iter().map(|note| wrapped(note, GAP));
    let head = [wrapped(&table.heading(), ""), line(&headers)];
    head.into_iter().chain(rows).chain(notes).collect()
}

fn wrapped(text: &str, indent: &str) -> String {
    let lines = wrap(text, WIDTH - indent.len());
    lines.iter().map(|line| format!("{indent}{line}\n")).collect()
}
