//! Printed tables from a CSV file.

use std::collections::BTreeMap;

use crate::printed::{Printed, PrintedColumn, PrintedRow, PrintedTable, Role};

/// The most episodes that a row can have.
const MOST: f64 = 1e6;

/// Why a file is no table.
#[derive(Debug, thiserror::Error)]
pub enum AuditFileError {
    /// It is not CSV.
    #[error("it is not csv")]
    Csv(#[from] csv::Error),
    /// A column that every table has is not there.
    #[error("it has no column `method`")]
    NoMethod,
    /// A column names another one that is not there.
    #[error("column `{column}` is about `{of}`, and there is no such column")]
    NoColumn {
        /// The column.
        column: String,
        /// What it names.
        of: String,
    },
    /// Two columns have the same heading.
    #[error("two columns are named `{0}`")]
    Doubled(String),
    /// A cell is no number, or an n is no count of episodes up to a million.
    #[error("line {line}, column `{column}`: `{text}` is no number that can stand there")]
    Number {
        /// The line of the file, counted from 1.
        line: u64,
        /// The column.
        column: String,
        /// The cell.
        text: String,
    },
    /// It has no rows.
    #[error("it has no rows")]
    Empty,
}

/// The tables of a CSV text; rows without a column `table` are in one called `name`.
///
/// A column is a rate unless its heading begins with `mean:`, `sum:`, `plain:`, or is
/// `again:COLUMN`, `ratio:COLUMN` or `difference:COLUMN`; `n` counts the episodes of every rate.
/// Where a rate of a table is above 1, all of them are percentages.
///
/// # Errors
/// See [`AuditFileError`].
pub fn read_csv(name: &str, text: &str) -> Result<Vec<PrintedTable>, AuditFileError> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let headers: Vec<String> = reader.headers()?.iter().map(str::to_owned).collect();
    let at = |wanted: &str| headers.iter().position(|header| header == wanted);
    let method = at("method").ok_or(AuditFileError::NoMethod)?;
    let (table, n) = (at("table"), at("n"));
    let places: Vec<usize> =
        (0..headers.len()).filter(|&i| i != method && Some(i) != table && Some(i) != n).collect();
    let columns: Vec<PrintedColumn> = places.iter().map(|&i| column(&headers[i])).collect();
    check(&columns)?;
    let mut tables: Vec<PrintedTable> = Vec::new();
    for record in reader.records() {
        let record = record?;
        let line = record.position().map_or(0, csv::Position::line);
        let cell = |i: usize| -> Result<Option<Printed>, AuditFileError> {
            let text = record.get(i).unwrap_or_default();
            if matches!(text, "" | "-" | "–") {
                return Ok(None);
            }
            let (column, text) = (headers[i].clone(), text.to_owned());
            let printed = Printed::parse(&text, 1.0);
            printed.map(Some).ok_or(AuditFileError::Number { line, column, text })
        };
        let count = n.map(cell).transpose()?.flatten();
        if let Some(count) = &count
            && (count.value.fract() != 0.0 || !(1.0..=MOST).contains(&count.value))
        {
            let (column, text) = ("n".to_owned(), count.text.clone());
            return Err(AuditFileError::Number { line, column, text });
        }
        let row = PrintedRow {
            method: record.get(method).unwrap_or_default().to_owned(),
            n: count.map(|count| count.value as u32),
            cells: places.iter().map(|&i| cell(i)).collect::<Result<_, _>>()?,
        };
        let name = table.and_then(|i| record.get(i)).unwrap_or(name);
        match tables.iter_mut().find(|table| table.name == name) {
            Some(table) => table.rows.push(row),
            None => {
                let (name, columns) = (name.to_owned(), columns.clone());
                tables.push(PrintedTable { name, columns, rows: vec![row] });
            }
        }
    }
    if tables.is_empty() {
        return Err(AuditFileError::Empty);
    }
    tables.iter_mut().for_each(scale);
    Ok(tables)
}

fn column(header: &str) -> PrintedColumn {
    let named = |header: &str, role| PrintedColumn { header: header.into(), role };
    match header.split_once(':') {
        Some(("mean", rest)) => named(rest, Role::Mean),
        Some(("sum", rest)) => named(rest, Role::Sum),
        Some(("plain", rest)) => named(rest, Role::Plain),
        Some(("again", of)) => named(header, Role::Again(of.into())),
        Some(("ratio", of)) => named(header, Role::Ratio(of.into())),
        Some(("difference", of)) => named(header, Role::Difference(of.into())),
        _ if header == "mean" => named(header, Role::Mean),
        _ if header == "sum" => named(header, Role::Sum),
        _ => named(header, Role::Rate),
    }
}

fn check(columns: &[PrintedColumn]) -> Result<(), AuditFileError> {
    let mut seen = BTreeMap::new();
    for column in columns {
        if seen.insert(&column.header, ()).is_some() {
            return Err(AuditFileError::Doubled(column.header.clone()));
        }
    }
    for column in columns {
        let (Role::Again(of) | Role::Ratio(of) | Role::Difference(of)) = &column.role else {
            continue;
        };
        if !seen.contains_key(of) {
            let (column, of) = (column.header.clone(), of.clone());
            return Err(AuditFileError::NoColumn { column, of });
        }
    }
    Ok(())
}

/// Tells percentages from shares.
fn scale(table: &mut PrintedTable) {
    let percent =
        table.rows.iter().flat_map(|row| table.rates(row)).any(|(_, rate)| rate.value > 1.0);
    let scale = if percent { 100.0 } else { 1.0 };
    let cells = table.rows.iter_mut().flat_map(|row| &mut row.cells);
    cells.flatten().for_each(|cell| cell.scale = scale);
}
