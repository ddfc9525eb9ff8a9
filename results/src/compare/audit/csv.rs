//! Printed tables from a CSV file.

use std::collections::BTreeSet;

use super::printed::{Printed, PrintedColumn, PrintedRow, PrintedTable, Role};

/// The largest plausible number of episodes per row.
const MAX_N: f64 = 1e6;

/// Why a file is not a table.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum AuditFileError {
    #[error("it is not csv")]
    Csv(#[from] csv::Error),
    #[error("it has no column `method`")]
    NoMethod,
    #[error("two columns are named `{0}`")]
    Doubled(String),
    /// A cell is not a number, or an n is not a count of episodes up to a million.
    #[error("line {line}, column `{column}`: `{text}` is not a valid number")]
    Number { line: u64, column: String, text: String },
    #[error("it has no rows")]
    Empty,
}

/// The columns of a file by what they are for.
struct Layout {
    headers: Vec<String>,
    method: usize,
    table: Option<usize>,
    n: Option<usize>,
    /// Indices of the columns with numbers.
    numbers: Vec<usize>,
}

/// The tables of a CSV text; rows without a column `table` are in one called `name`.
///
/// A column is a rate unless its heading is `mean` or `sum` or begins with `mean:`, `sum:` or
/// `plain:`; `n` counts the episodes of every rate. Where a rate of a table is above 1, all of
/// them are percentages.
///
/// # Errors
/// See [`AuditFileError`].
pub fn read_csv(name: &str, text: &str) -> Result<Vec<PrintedTable>, AuditFileError> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let layout = Layout::new(reader.headers()?.iter().map(str::to_owned).collect())?;
    let columns: Vec<PrintedColumn> =
        layout.numbers.iter().map(|&index| column(&layout.headers[index])).collect();
    let mut seen = BTreeSet::new();
    if let Some(twice) = columns.iter().find(|column| !seen.insert(&column.header)) {
        return Err(AuditFileError::Doubled(twice.header.clone()));
    }
    let mut tables: Vec<PrintedTable> = Vec::new();
    for record in reader.records() {
        let record = record?;
        let row = layout.row(&record)?;
        let name = layout.table.and_then(|index| record.get(index)).unwrap_or(name);
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
    tables.iter_mut().for_each(set_scale);
    Ok(tables)
}

impl Layout {
    fn new(headers: Vec<String>) -> Result<Self, AuditFileError> {
        let find = |name: &str| headers.iter().position(|header| header == name);
        let method = find("method").ok_or(AuditFileError::NoMethod)?;
        let (table, n) = (find("table"), find("n"));
        let number = |&index: &usize| index != method && Some(index) != table && Some(index) != n;
        let numbers = (0..headers.len()).filter(number).collect();
        Ok(Self { method, table, n, numbers, headers })
    }

    fn row(&self, record: &csv::StringRecord) -> Result<PrintedRow, AuditFileError> {
        let line = record.position().map_or(0, csv::Position::line);
        let cell = |index: usize| -> Result<Option<Printed>, AuditFileError> {
            let text = record.get(index).unwrap_or_default();
            if matches!(text, "" | "-" | "–") {
                return Ok(None);
            }
            let (column, text) = (self.headers[index].clone(), text.to_owned());
            let printed = Printed::parse(&text, 1.0);
            printed.map(Some).ok_or(AuditFileError::Number { line, column, text })
        };
        let n = self.n.map(cell).transpose()?.flatten();
        if let Some(n) = &n
            && (n.value.fract() != 0.0 || !(1.0..=MAX_N).contains(&n.value))
        {
            let (column, text) = ("n".to_owned(), n.text.clone());
            return Err(AuditFileError::Number { line, column, text });
        }
        Ok(PrintedRow {
            method: record.get(self.method).unwrap_or_default().to_owned(),
            n: n.map(|n| n.value as u32),
            cells: self.numbers.iter().map(|&index| cell(index)).collect::<Result<_, _>>()?,
        })
    }
}

fn column(header: &str) -> PrintedColumn {
    let (header, role) = match header.split_once(':') {
        Some(("mean", name)) => (name, Role::Mean),
        Some(("sum", name)) => (name, Role::Sum),
        Some(("plain", name)) => (name, Role::Plain),
        _ if header == "mean" => (header, Role::Mean),
        _ if header == "sum" => (header, Role::Sum),
        _ => (header, Role::Rate),
    };
    PrintedColumn { header: header.into(), role }
}

/// Tells percentages from shares.
fn set_scale(table: &mut PrintedTable) {
    let percent =
        table.rows.iter().flat_map(|row| table.rates(row)).any(|(_, rate)| rate.value > 1.0);
    let scale = if percent { 100.0 } else { 1.0 };
    let cells = table.rows.iter_mut().flat_map(|row| &mut row.cells);
    cells.flatten().for_each(|cell| cell.scale = scale);
}
