//! What is wrong with a printed table, and which of its differences are within noise.

use serde::Serialize;

use super::printed::{Printed, PrintedRow, PrintedTable, Role};
use crate::paper::lengths;
use crate::statistics::{Estimate, Rate, average_length, difference, suites_mean, wilson};

/// Tolerance for floating-point error.
const EPSILON: f64 = 1e-9;

/// A number that cannot be as printed, or only if it was truncated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The table.
    pub table: String,
    /// The row.
    pub row: String,
    /// The column or columns.
    pub column: String,
    /// `truncated`, `no count`, `average`, `printed twice`, `ratio` or `difference`.
    pub kind: &'static str,
    /// The finding with its numbers.
    pub text: String,
}

/// The difference between the table's best row and another one.
#[derive(Debug, Clone, PartialEq)]
pub struct Contrast {
    /// The best row by its average.
    pub best: String,
    /// Another row.
    pub other: String,
    /// The column.
    pub column: String,
    /// Best minus other, with the interval that their n give.
    pub difference: Estimate,
}

impl Contrast {
    /// Whether the interval contains 0.
    pub fn within_noise(&self) -> bool {
        self.difference.low <= 0.0 && self.difference.high >= 0.0
    }
}

/// All findings of a table, row by row.
pub fn audit(table: &PrintedTable) -> Vec<Finding> {
    let mut findings = Vec::new();
    for row in &table.rows {
        findings.extend(counts(table, row));
        for (index, column) in table.columns.iter().enumerate() {
            let Some(printed) = &row.cells[index] else { continue };
            let problem = match column.role {
                Role::Rate | Role::Plain => None,
                Role::Mean | Role::Sum => average(table, row, column.role, printed),
                Role::Repeated => repeated(table, row, printed),
                Role::Ratio => ratio(table, row, index, printed),
                Role::Difference => gain(table, row, index, printed),
            };
            let header = column.header.clone();
            findings.extend(problem.map(|problem| finding(table, row, header, problem)));
        }
    }
    findings
}

/// Kind and text of a finding.
type Problem = (&'static str, String);

fn finding(
    table: &PrintedTable,
    row: &PrintedRow,
    column: String,
    (kind, text): Problem,
) -> Finding {
    Finding { table: table.name.clone(), row: row.method.clone(), column, kind, text }
}

/// The best row against every other one, column by column, where both have an n.
pub fn contrasts(table: &PrintedTable) -> Vec<Contrast> {
    let Some(average) = table.average_column() else { return Vec::new() };
    let value = |row: &PrintedRow| row.cells[average].as_ref().map(|printed| printed.value);
    let rows = table.rows.iter().filter(|row| row.n.is_some());
    let best = rows.clone().max_by(|a, b| value(a).partial_cmp(&value(b)).expect("no NaN"));
    let Some(best) = best else { return Vec::new() };
    let mut contrasts = Vec::new();
    for other in rows.filter(|row| !std::ptr::eq(*row, best)) {
        for (index, column) in table.columns.iter().enumerate() {
            let both = (estimate(table, best, index), estimate(table, other, index));
            let (Some(a), Some(b)) = both else { continue };
            contrasts.push(Contrast {
                best: best.method.clone(),
                other: other.method.clone(),
                column: column.header.clone(),
                difference: difference(a, b),
            });
        }
    }
    contrasts
}

/// Rates that are not k/n, or only if truncated.
fn counts(table: &PrintedTable, row: &PrintedRow) -> Vec<Finding> {
    let Some(n) = row.n else { return Vec::new() };
    let mut findings = Vec::new();
    let (mut columns, mut cells): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    for (header, printed) in table.rates(row).filter(|(_, printed)| printed.rounded(n).is_none()) {
        match printed.truncated(n) {
            Some(k) => {
                let exact = f64::from(k) / f64::from(n) * printed.scale;
                let text =
                    format!("{} is {k}/{n} = {exact:.4} truncated, not rounded", printed.text);
                findings.push(finding(table, row, header.into(), ("truncated", text)));
            }
            None => {
                columns.push(header);
                cells.push(&printed.text);
            }
        }
    }
    if !cells.is_empty() {
        let verb = if cells.len() == 1 { "is" } else { "are" };
        let fits = match smallest_n(table, row) {
            Some(fits) => format!("the smallest n that fits the row is {fits}"),
            None => "no n up to 2000 fits the row".into(),
        };
        let text = format!("{} {verb} not k/{n}, rounded or truncated; {fits}", cells.join(", "));
        findings.push(finding(table, row, columns.join(", "), ("no count", text)));
    }
    findings
}

fn smallest_n(table: &PrintedTable, row: &PrintedRow) -> Option<u32> {
    (1..=2000).find(|&n| table.rates(row).all(|(_, printed)| printed.rounded(n).is_some()))
}

/// An average that its cells cannot have, however they were rounded.
fn average(
    table: &PrintedTable,
    row: &PrintedRow,
    role: Role,
    printed: &Printed,
) -> Option<Problem> {
    let cells: Vec<&Printed> = table.rates(row).map(|(_, printed)| printed).collect();
    if cells.is_empty() {
        return None;
    }
    let sum = |value: &dyn Fn(&Printed) -> f64| cells.iter().map(|cell| value(cell)).sum::<f64>();
    let divisor = if role == Role::Mean { cells.len() as f64 } else { 1.0 };
    let low = sum(&|cell| cell.possible(row.n).0) / divisor;
    let high = sum(&|cell| cell.possible(row.n).1) / divisor;
    if printed.low() <= high + EPSILON && printed.end_if_truncated() >= low - EPSILON {
        return None;
    }
    let middle = sum(&|cell| cell.value) / divisor;
    let verb = if role == Role::Mean { "average" } else { "sum to" };
    Some(("average", format!("the cells {verb} {}, printed is {}", tidy(middle), printed.text)))
}

fn repeated(table: &PrintedTable, row: &PrintedRow, printed: &Printed) -> Option<Problem> {
    let first = row.cells[table.average_column()?].as_ref()?;
    let differs = (first.value - printed.value).abs() >= EPSILON;
    differs.then(|| ("printed twice", format!("printed as {} and as {}", first.text, printed.text)))
}

/// The number to the left of column `index`, in `row` and in the first row.
fn left_of<'a>(
    table: &'a PrintedTable,
    row: &'a PrintedRow,
    index: usize,
) -> Option<(&'a Printed, &'a Printed)> {
    let left = index.checked_sub(1)?;
    Some((row.cells[left].as_ref()?, table.rows.first()?.cells[left].as_ref()?))
}

fn ratio(
    table: &PrintedTable,
    row: &PrintedRow,
    index: usize,
    printed: &Printed,
) -> Option<Problem> {
    let (this, first) = left_of(table, row, index)?;
    if first.low() <= 0.0 {
        return None;
    }
    let (low, high) = (this.low() / first.high(), this.high() / first.low());
    if printed.low() <= high && printed.high() >= low {
        return None;
    }
    let how = if printed.end_if_truncated() >= low { " (truncated, not rounded)" } else { "" };
    let exact = this.value / first.value;
    let text =
        format!("{} / {} = {exact:.2}, printed is {}{how}", this.text, first.text, printed.text);
    Some(("ratio", text))
}

fn gain(
    table: &PrintedTable,
    row: &PrintedRow,
    index: usize,
    printed: &Printed,
) -> Option<Problem> {
    let (this, first) = left_of(table, row, index)?;
    let (low, high) = (this.low() - first.high(), this.high() - first.low());
    // Expected is the difference of the printed numbers; only a coarser unit allows for rounding.
    let exact = this.value - first.value;
    let near = (printed.value - exact).abs() <= printed.unit / 2.0 + EPSILON;
    if near || (printed.unit > this.unit && printed.low() <= high && printed.high() >= low) {
        return None;
    }
    let text =
        format!("{} - {} = {}, printed is {}", this.text, first.text, tidy(exact), printed.text);
    Some(("difference", text))
}

/// The number in a column with the interval of its n; `None` where it has none.
fn estimate(table: &PrintedTable, row: &PrintedRow, index: usize) -> Option<Estimate> {
    let n = row.n?;
    let counts: Vec<u32> = table.rates(row).map(|(_, printed)| printed.nearest(n)).collect();
    match table.columns[index].role {
        Role::Rate => wilson(row.cells[index].as_ref()?.nearest(n), n),
        Role::Mean if !counts.is_empty() => {
            let rates: Vec<Rate> = counts.iter().map(|&k| Rate::new(k, n, 0)).collect();
            suites_mean(&rates)
        }
        Role::Sum if !counts.is_empty() => {
            average_length(&lengths(&counts, n), counts.len() as u16, 0).estimate
        }
        _ => None,
    }
}

/// Up to four decimals, without trailing zeros.
fn tidy(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
