//! Tables as text: Markdown, a terminal's plain text, CSV, LaTeX, JSON.

mod audit;
mod compare;
mod compare_rates;
mod csv;
mod gate;
mod latex;
mod markdown;
mod paper;
mod terminal;

pub use audit::audit_markdown;
pub use compare::compare_markdown;
pub(crate) use compare::{READING as COMPARE_READING, rates as compare_rates};
pub use compare_rates::compare_rates_markdown;
pub use csv::{subtasks_csv, summary_csv, tasks_csv};
pub use gate::{gate_junit, gate_markdown};
pub use latex::latex_table;
pub use markdown::{escape as markdown_escape, markdown, markdown_table};
pub use paper::{paper_csv, paper_json, paper_latex, paper_markdown};
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
