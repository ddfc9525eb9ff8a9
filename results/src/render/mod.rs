//! Tables as text: Markdown, a terminal's plain text, CSV.

mod csv;
mod markdown;
mod terminal;

pub use csv::{summary_csv, tasks_csv};
pub use markdown::markdown;
pub use terminal::terminal;

use crate::table::{Align, Table};

/// The width of every column, in characters.
fn widths(table: &Table) -> Vec<usize> {
    let width = |(index, header): (usize, &String)| {
        let cells = table.rows.iter().map(|row| &row.cells[index]);
        cells.chain([header]).map(|text| text.chars().count()).max().unwrap_or(0)
    };
    table.columns.iter().map(|column| &column.header).enumerate().map(width).collect()
}

/// `text` filled up to `width` characters.
fn padded(text: &str, width: usize, align: Align) -> String {
    match align {
        Align::Left | Align::LeftShortened => format!("{text:<width$}"),
        Align::Right => format!("{text:>width$}"),
    }
}
