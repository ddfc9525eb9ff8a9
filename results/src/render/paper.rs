//! The paper's tables with our rows: Markdown, LaTeX, CSV, JSON.

use ::csv::{Error, Terminator, WriterBuilder};

use super::latex::latex_table;
use super::markdown::{escape, markdown_table};
use crate::paper_tables::{Cell, Origin, ResultRow, ResultTable};
use crate::table::{Align, Column, Row, RowKind, Table};

/// The tables as one Markdown page.
pub fn paper_markdown(paper: &str, tables: &[ResultTable]) -> String {
    let mut page = format!("# {}\n", escape(paper));
    for result in tables {
        let table = as_table(result);
        page += &format!("\n## {}\n\n{}", escape(&table.title), markdown_table(&table));
        for note in &table.notes {
            page += &format!("\n- {}", escape(note));
        }
        page += "\n";
    }
    page
}

/// The tables as a LaTeX document that needs `booktabs`, `graphicx` and `geometry`; every table
/// has the paper's number, and can also be cut out by itself.
pub fn paper_latex(tables: &[ResultTable]) -> String {
    let tables: Vec<String> = tables.iter().map(numbered).collect();
    format!(
        "\\documentclass{{article}}\n\\usepackage[T1]{{fontenc}}\n\
         \\usepackage[landscape,margin=15mm]{{geometry}}\n\\usepackage{{booktabs}}\n\
         \\usepackage{{graphicx}}\n\\begin{{document}}\n{}\\end{{document}}\n",
        tables.join("\n")
    )
}

/// A table whose number LaTeX counts as the paper does.
fn numbered(result: &ResultTable) -> String {
    let mut table = as_table(result);
    let number = result.source.strip_prefix("Table ").and_then(|text| text.parse::<u32>().ok());
    let Some(number) = number.filter(|number| *number > 0) else { return latex_table(&table) };
    let rest = format!("{}, ", result.source);
    table.title = table.title.strip_prefix(&rest).unwrap_or(&table.title).to_owned();
    format!("\\setcounter{{table}}{{{}}}\n{}", number - 1, latex_table(&table))
}

/// The tables as JSON.
///
/// # Panics
/// Never: all keys are text.
pub fn paper_json(tables: &[ResultTable]) -> String {
    serde_json::to_string_pretty(tables).expect("tables are plain data") + "\n"
}

/// The tables with a line per number; empty where there is none.
///
/// # Errors
/// If the text cannot be written, which memory running out could do.
pub fn paper_csv(tables: &[ResultTable]) -> Result<String, Error> {
    let mut writer =
        WriterBuilder::new().terminator(Terminator::Any(b'\n')).from_writer(Vec::new());
    writer.write_record([
        "table",
        "method",
        "status",
        "column",
        "printed",
        "value",
        "low",
        "high",
        "successes",
        "n",
        "row_n",
        "verdict",
    ])?;
    for table in tables {
        for row in &table.rows {
            for (column, cell) in table.columns.iter().zip(&row.cells) {
                let mut line = vec![
                    table.source.clone(),
                    row.method.clone(),
                    status(row).into(),
                    column.clone(),
                ];
                line.extend(numbers(cell.as_ref()));
                line.extend([row.n.clone(), row.verdict.clone().unwrap_or_default()]);
                writer.write_record(line)?;
            }
        }
    }
    let bytes = writer.into_inner().map_err(|e| Error::from(e.into_error()))?;
    Ok(String::from_utf8(bytes).expect("text was written"))
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

fn status(row: &ResultRow) -> &'static str {
    match row.status {
        Origin::Published => "published",
        Origin::Measured => "measured",
        Origin::NotMeasured => "not measured",
    }
}

fn as_table(result: &ResultTable) -> Table {
    let column = |header: &str, align| Column { header: header.into(), align };
    let mut columns = vec![column("method", Align::Left), column("status", Align::Left)];
    columns.extend(result.columns.iter().map(|name| column(name, Align::Right)));
    let counted = !result.n_of.is_empty();
    columns.extend(counted.then(|| column("n", Align::Left)));
    let verdicts = result.rows.iter().any(|row| row.verdict.is_some());
    columns.extend(verdicts.then(|| column("verdict", Align::Left)));
    let rows = result.rows.iter().map(|row| {
        let mut cells = vec![row.method.clone(), status(row).to_owned()];
        cells.extend(row.cells.iter().map(|cell| text(row.status, cell.as_ref())));
        cells.extend(counted.then(|| row.n.clone()));
        // Why there is none stands below; in a cell it would make the table as wide as itself.
        let verdict = row.verdict.as_deref().unwrap_or_default();
        cells.extend(verdicts.then(|| verdict.split(':').next().unwrap_or_default().to_owned()));
        let kind = if row.status == Origin::Measured { RowKind::Whole } else { RowKind::Paper };
        Row { kind, cells }
    });
    Table {
        title: match counted {
            true => format!("{}, {} (n: {})", result.source, result.title, result.n_of),
            false => format!("{}, {}", result.source, result.title),
        },
        rows: rows.collect(),
        columns,
        notes: result.notes.clone(),
    }
}

/// `96.2 [94.1, 97.6]`, with the counts where they were measured.
fn text(status: Origin, cell: Option<&Cell>) -> String {
    let Some(cell) = cell else {
        let missing = if status == Origin::Published { "–" } else { "not measured" };
        return missing.into();
    };
    let mut text = cell.printed.clone();
    text.extend(cell.interval.iter().map(|interval| format!(" {interval}")));
    if let (Origin::Measured, Some(k), Some(n)) = (status, cell.successes, cell.n) {
        text += &format!(" {k}/{n}");
    }
    text
}
