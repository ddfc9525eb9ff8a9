//! The paper's tables with measured rows as text for a terminal.

use super::terminal::terminal_table;
use crate::tables::format::NONE;
use crate::tables::model::{Align, Cell, Column, Row, RowKind, Table};

/// The tables, each row in lines: numbers; n and the intervals; for a measured row, verdict and
/// counts.
pub fn paper_text(tables: &[Table]) -> String {
    tables.iter().map(|table| terminal_table(&spread(table))).collect::<Vec<_>>().join("\n")
}

/// The table with a line per kind of number.
fn spread(table: &Table) -> Table {
    let method = Column::new("method", Align::LeftShortened);
    let mut notes = table.notes.clone();
    let is_measured = |row: &Row| row.kind == RowKind::Whole;
    if table.rows.iter().any(is_measured) {
        notes.insert(0, "*: measured; below each number its 95 % interval and its counts".into());
    }
    Table {
        title: table.heading(),
        columns: [method].into_iter().chain(table.columns.clone()).collect(),
        rows: table.rows.iter().flat_map(lines).collect(),
        notes,
        ..Table::default()
    }
}

fn lines(row: &Row) -> Vec<Row> {
    let mark = if row.kind == RowKind::Whole { "* " } else { "  " };
    let name = row.method.strip_prefix("this harness, ").unwrap_or(&row.method);
    let missing = if row.kind == RowKind::NotMeasured { row.kind.status() } else { NONE };
    let number = |cell: &Cell| cell.printed.clone();
    let interval = |cell: &Cell| cell.interval.as_deref().map_or(String::new(), without_brackets);
    let counts = |cell: &Cell| match (cell.successes, cell.n) {
        (Some(k), Some(n)) => format!("{k}/{n}"),
        _ => String::new(),
    };
    let line = |head: String, missing: &str, text: &dyn Fn(&Cell) -> String| {
        let cells = row.cells.iter();
        let cells = cells.map(|cell| cell.as_ref().map_or(missing.to_owned(), text));
        Row::text(row.kind, [head].into_iter().chain(cells))
    };
    let mut lines = vec![line(format!("{mark}{name}"), missing, &number)];
    let has_interval = row.cells.iter().flatten().any(|cell| cell.interval.is_some());
    if has_interval {
        lines.push(line(format!("    {}", row.n), "", &interval));
    }
    if row.kind == RowKind::Whole {
        let verdict = row.verdict.as_deref().unwrap_or_default().split(':').next();
        let head = if has_interval { verdict.unwrap_or_default() } else { &row.n };
        lines.push(line(format!("    {head}"), "", &counts));
    }
    lines.retain(|line| line.cells.iter().flatten().any(|cell| !cell.printed.trim().is_empty()));
    lines
}

/// `94.1–97.6` for `[94.1, 97.6]`.
fn without_brackets(interval: &str) -> String {
    interval.trim_matches(['[', ']']).replace(", ", "–")
}
