//! Tables as text: Markdown, a terminal's plain text, CSV, LaTeX, JSON.

mod audit;
mod compare;
mod compare_many;
mod compare_rates;
mod csv;
mod gate;
mod latex;
mod markdown;
mod paper;
mod paper_text;
mod plain;
mod terminal;

pub use audit::audit_markdown;
pub use compare::compare_markdown;
pub(crate) use compare::{READING as COMPARE_READING, rate_table};
pub use compare_many::compare_many_markdown;
pub use compare_rates::compare_rates_markdown;
pub use csv::{subtasks_csv, summary_csv, tasks_csv};
pub use gate::{gate_junit, gate_markdown};
pub use latex::latex_table;
pub use markdown::{escape as markdown_escape, markdown, markdown_table};
pub use paper::{paper_csv, paper_json, paper_latex, paper_latex_document, paper_markdown};
pub use paper_text::paper_text;
pub use plain::plain;
pub use terminal::terminal;

use crate::tables::model::{Align, Column};

/// The width of every column, in characters.
fn widths(columns: &[Column], rows: &[Vec<String>]) -> Vec<usize> {
    let width = |(index, column): (usize, &Column)| {
        let cells = rows.iter().map(|cells| &cells[index]);
        cells.chain([&column.header]).map(|text| text.chars().count()).max().unwrap_or(0)
    };
    columns.iter().enumerate().map(width).collect()
}

/// `text` padded to `width` characters.
fn padded(text: &str, width: usize, align: Align) -> String {
    match align {
        Align::Left | Align::LeftShortened => format!("{text:<width$}"),
        Align::Right => format!("{text:>width$}"),
    }
}
