//! Whether published tables can be true: counts, averages, ratios, and what is inside the noise.

use serde::Serialize;

use crate::printed::{Printed, PrintedRow, PrintedTable, Role};
use crate::statistics::{Estimate, average_length, difference, suites_mean};
use crate::statistics::{Rate, wilson};

/// Rounding of our own sums never decides.
const EPSILON: f64 = 1e-9;

/// Something about a table that cannot be as printed, or only in a special way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The table.
    pub table: String,
    /// The row.
    pub row: String,
    /// The column or columns.
    pub column: String,
    /// `cut`, `no count`, `average`, `printed twice`, `ratio` or `difference`.
    pub kind: &'static str,
    /// What was found, with the numbers.
    pub text: String,
}

/// The difference between the table's best row and another one.
#[derive(Debug, Clone, PartialEq)]
pub struct Contrast {
    /// The table.
    pub table: String,
    /// The best row by its average.
    pub best: String,
    /// Another row.
    pub other: String,
    /// The column.
    pub column: String,
    /// Best less other, with the interval that their n give.
    pub difference: Estimate,
}

impl Contrast {
    /// Whether the interval holds 0.
    pub fn inside_the_noise(&self) -> bool {
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
            let found = match &column.role {
                Role::Rate | Role::Plain => None,
                Role::Mean | Role::Sum => average(table, row, &column.role, printed),
                Role::Again(of) => again(table, row, of, printed),
                Role::Ratio(of) => ratio(table, row, of, printed),
                Role::Difference(of) => step(table, row, of, printed),
            };
            findings.extend(found.map(|(kind, text)| Finding {
                table: table.name.clone(),
                row: row.method.clone(),
                column: column.header.clone(),
                kind,
                text,
            }));
        }
    }
    findings
}

/// The best row against every other one, column by column, where both have an n.
pub fn contrasts(table: &PrintedTable) -> Vec<Contrast> {
    let Some(average) = table.average_column() else { return Vec::new() };
    let value = |row: &PrintedRow| row.cells[average].as_ref().map(|printed| printed.value);
    let rows = table.rows.iter().filter(|row| row.n.is_some());
    let best = rows.clone().max_by(|a, b| value(a).partial_cmp(&value(b)).expect("no NaN"));
    let Some(best) = best else { return Vec::new() };
    let mut found = Vec::new();
    for other in rows.filter(|row| !std::ptr::eq(*row, best)) {
        for (index, column) in table.columns.iter().enumerate() {
            let both = (estimate(table, best, index), estimate(table, other, index));
            let (Some(a), Some(b)) = both else { continue };
            found.push(Contrast {
                table: table.name.clone(),
                best: best.method.clone(),
                other: other.method.clone(),
                column: column.header.clone(),
                difference: difference(a, b),
            });
        }
    }
    found
}

/// Rates that are no count of n, or only when cut off.
fn counts(table: &PrintedTable, row: &PrintedRow) -> Vec<Finding> {
    let Some(n) = row.n else { return Vec::new() };
    let finding = |column: String, kind, text| {
        let (table, row) = (table.name.clone(), row.method.clone());
        Finding { table, row, column, kind, text }
    };
    let mut findings = Vec::new();
    let mut impossible: Vec<(&str, &str)> = Vec::new();
    for (header, printed) in table.rates(row) {
        if printed.rounded(n).is_some() {
            continue;
        }
        match printed.cut(n) {
            Some(k) => {
                let exact = f64::from(k) / f64::from(n) * printed.scale;
                let text = format!("{} is {k}/{n} = {exact:.4} cut off, not rounded", printed.text);
                findings.push(finding(header.into(), "cut", text));
            }
            None => impossible.push((header, &printed.text)),
        }
    }
    if !impossible.is_empty() {
        let (columns, cells): (Vec<&str>, Vec<&str>) = impossible.into_iter().unzip();
        let verb = if cells.len() == 1 { "is" } else { "are" };
        let fits = match smallest_n(table, row) {
            Some(fits) => format!("the smallest n that the row fits is {fits}"),
            None => "no n up to 2000 fits the row".into(),
        };
        let text = format!("{} {verb} no k/{n}, rounded or cut; {fits}", cells.join(", "));
        findings.push(finding(columns.join(", "), "no count", text));
    }
    findings
}

fn smallest_n(table: &PrintedTable, row: &PrintedRow) -> Option<u32> {
    (1..=2000).find(|&n| table.rates(row).all(|(_, printed)| printed.rounded(n).is_some()))
}

type Found = Option<(&'static str, String)>;

/// An average that its cells cannot have, however they were rounded.
fn average(table: &PrintedTable, row: &PrintedRow, role: &Role, printed: &Printed) -> Found {
    let cells: Vec<&Printed> = table.rates(row).map(|(_, printed)| printed).collect();
    if cells.is_empty() {
        return None;
    }
    let sum = |value: &dyn Fn(&Printed) -> f64| cells.iter().map(|cell| value(cell)).sum::<f64>();
    let divisor = if *role == Role::Mean { cells.len() as f64 } else { 1.0 };
    let low = sum(&|cell| cell.possible(row.n).0) / divisor;
    let high = sum(&|cell| cell.possible(row.n).1) / divisor;
    let fits = printed.low() <= high + EPSILON && printed.end_if_cut() >= low - EPSILON;
    if fits {
        return None;
    }
    let middle = sum(&|cell| cell.value) / divisor;
    let verb = if *role == Role::Mean { "average" } else { "sum to" };
    let text = format!("the cells {verb} {}, printed is {}", tidy(middle), printed.text);
    Some(("average", text))
}

fn again(table: &PrintedTable, row: &PrintedRow, of: &str, printed: &Printed) -> Found {
    let first = table.cell(row, of)?;
    let same = (first.value - printed.value).abs() < EPSILON;
    let text = || format!("printed as {} and as {}", first.text, printed.text);
    (!same).then(|| ("printed twice", text()))
}

fn ratio(table: &PrintedTable, row: &PrintedRow, of: &str, printed: &Printed) -> Found {
    let (ours, first) = (table.cell(row, of)?, table.cell(table.rows.first()?, of)?);
    if first.low() <= 0.0 {
        return None;
    }
    let (low, high) = (ours.low() / first.high(), ours.high() / first.low());
    if printed.low() <= high && printed.high() >= low {
        return None;
    }
    let how = if printed.end_if_cut() >= low { " (cut off, not rounded)" } else { "" };
    let exact = ours.value / first.value;
    let text =
        format!("{} / {} = {exact:.2}, printed is {}{how}", ours.text, first.text, printed.text);
    Some(("ratio", text))
}

fn step(table: &PrintedTable, row: &PrintedRow, of: &str, printed: &Printed) -> Found {
    let (ours, first) = (table.cell(row, of)?, table.cell(table.rows.first()?, of)?);
    let (low, high) = (ours.low() - first.high(), ours.high() - first.low());
    // Numbers are subtracted as printed: half a unit of rounding is no excuse for more.
    let exact = ours.value - first.value;
    let near = (printed.value - exact).abs() <= printed.unit / 2.0 + EPSILON;
    if near || (printed.unit > ours.unit && printed.low() <= high && printed.high() >= low) {
        return None;
    }
    let text =
        format!("{} - {} = {}, printed is {}", ours.text, first.text, tidy(exact), printed.text);
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
            let length = |sequence| counts.iter().filter(|&&k| k > sequence).count() as u16;
            let lengths: Vec<u16> = (0..n).map(length).collect();
            average_length(&lengths, counts.len() as u16, 0).estimate
        }
        _ => None,
    }
}

/// Up to four decimals, without zeros at the end.
fn tidy(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
