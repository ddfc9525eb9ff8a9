//! The paper's tables with measured rows: Markdown, LaTeX, CSV, JSON.

use ::csv::Error;

use super::latex::{latex_table, numbered};
use super::markdown::{escape, markdown_table};
use crate::out::csv::{csv_text, header};
use crate::tables::model::{Cell, Table};
use crate::tables::notes::WARNING;

/// The tables as one Markdown page.
pub fn paper_markdown(paper: &str, tables: &[Table]) -> String {
    let mut page = format!("# {}\n", escape(paper));
    for table in tables {
        page += &format!("\n## {}\n\n{}", escape(&table.heading()), markdown_table(table));
        for note in &table.notes {
            page += &format!("\n- {}", escape(note));
        }
        page += "\n";
    }
    page
}

/// The tables as a LaTeX fragment for `\input`; the document loads `booktabs` and `graphicx`.
pub fn paper_latex(tables: &[Table]) -> String {
    let tables: Vec<String> = tables.iter().map(latex_table).collect();
    format!("% needs \\usepackage{{booktabs}} and \\usepackage{{graphicx}}\n{}", tables.join("\n"))
}

/// The tables as a LaTeX document that needs `booktabs`, `graphicx` and `geometry`; every table
/// has the paper's number.
pub fn paper_latex_document(tables: &[Table]) -> String {
    let tables: Vec<String> = tables.iter().map(numbered).collect();
    format!(
        "\\documentclass{{article}}\n\\usepackage[T1]{{fontenc}}\n\
         \\usepackage[landscape,margin=15mm]{{geometry}}\n\\usepackage{{booktabs}}\n\
         \\usepackage{{graphicx}}\n\\begin{{document}}\n{}\\end{{document}}\n",
        tables.join("\n")
    )
}

/// The tables as JSON.
pub fn paper_json(tables: &[Table]) -> String {
    serde_json::to_string_pretty(tables).expect("tables are plain data") + "\n"
}

/// The tables with a line per number; empty where there is none. The column `notes`, with the
/// warnings of measured rows, is there only if there are any.
///
/// # Errors
/// If the text cannot be written.
pub fn paper_csv(tables: &[Table]) -> Result<String, Error> {
    let names = "table,method,status,column,printed,value,low,high,successes,n,row_n,verdict";
    let warned = tables.iter().any(|table| !warnings(table).is_empty());
    let notes = |text: String| warned.then_some(text);
    let mut lines = vec![header(names)];
    lines[0].extend(notes("notes".into()));
    for table in tables {
        for row in &table.rows {
            for (column, cell) in table.columns.iter().zip(&row.cells) {
                let (source, method) = (table.source.clone(), row.method.clone());
                let status = row.kind.status().to_owned();
                let mut line = vec![source, method, status, column.header.clone()];
                line.extend(numbers(cell.as_ref()));
                line.extend([row.n.clone(), row.verdict.clone().unwrap_or_default()]);
                line.extend(notes(warnings(table)));
                lines.push(line);
            }
        }
    }
    csv_text(lines)
}

fn warnings(table: &Table) -> String {
    let warnings = table.notes.iter().filter(|note| note.contains(WARNING));
    warnings.map(String::as_str).collect::<Vec<_>>().join("; ")
}

fn numbers(cell: Option<&Cell>) -> [String; 6] {
    let number = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.6}"));
    let count = |value: Option<u32>| value.map_or(String::new(), |value| value.to_string());
    match cell {
        None => std::array::from_fn(|_| String::new()),
        Some(cell) => [
            cell.printed.clone(),
            number(cell.value),
            number(cell.low),
            number(cell.high),
            count(cell.successes),
            count(cell.n),
        ],
    }
}
