//! Tables as they are printed: numbers with their decimals, and the meaning of every column.

use crate::paper::{Measure, Paper, PaperTable, VariantTable};

/// A printed table.
#[derive(Debug, Clone, PartialEq)]
pub struct PrintedTable {
    /// Name of the table.
    pub name: String,
    /// Columns, without the method and n.
    pub columns: Vec<PrintedColumn>,
    /// Rows, each with a cell per column.
    pub rows: Vec<PrintedRow>,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrintedColumn {
    /// Heading.
    pub header: String,
    /// Meaning.
    pub role: Role,
}

/// Meaning of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A success rate: k/n.
    Rate,
    /// A number without constraints.
    Plain,
    /// The mean of the row's rates.
    Mean,
    /// The sum of the row's rates.
    Sum,
    /// The mean or sum as it is printed elsewhere.
    Repeated,
    /// The column to the left divided by its value in the first row.
    Ratio,
    /// The column to the left minus its value in the first row.
    Difference,
}

/// A row.
#[derive(Debug, Clone, PartialEq)]
pub struct PrintedRow {
    /// The method.
    pub method: String,
    /// Episodes per rate; `None` where it is not stated.
    pub n: Option<u32>,
    /// A number per column.
    pub cells: Vec<Option<Printed>>,
}

/// A printed number.
#[derive(Debug, Clone, PartialEq)]
pub struct Printed {
    /// Text as printed.
    pub text: String,
    /// Its value.
    pub value: f64,
    /// One unit of its last decimal.
    pub unit: f64,
    /// The rate of only successes: 1 or 100.
    pub scale: f64,
}

impl PrintedTable {
    /// The rates of a row with their headings.
    pub fn rates<'a>(
        &'a self,
        row: &'a PrintedRow,
    ) -> impl Iterator<Item = (&'a str, &'a Printed)> {
        let cells = self.columns.iter().zip(&row.cells);
        cells
            .filter(|(column, _)| column.role == Role::Rate)
            .filter_map(|(column, cell)| Some((column.header.as_str(), cell.as_ref()?)))
    }

    /// Index of the mean or sum.
    pub fn average_column(&self) -> Option<usize> {
        self.columns.iter().position(|column| matches!(column.role, Role::Mean | Role::Sum))
    }
}

impl Printed {
    /// Parses a number; `None` where the text is none.
    pub fn parse(text: &str, scale: f64) -> Option<Self> {
        let text = text.trim();
        let number = text.trim_start_matches(['x', '×']).trim_end_matches(['x', '×', '%']);
        let value: f64 = number.parse().ok().filter(|value: &f64| value.is_finite())?;
        let decimals = number.split_once('.').map_or(0, |(_, decimals)| decimals.len());
        let unit = 10_f64.powi(-i32::try_from(decimals).ok()?);
        Some(Self { text: text.into(), value, unit, scale })
    }

    /// The smallest number that is rounded to this one.
    pub fn low(&self) -> f64 {
        self.value - self.unit / 2.0
    }

    /// The largest number that is rounded to this one.
    pub fn high(&self) -> f64 {
        self.value + self.unit / 2.0
    }

    /// Upper bound of the numbers that are truncated to this one.
    pub fn end_if_truncated(&self) -> f64 {
        self.value + self.unit
    }

    /// The count of `n` that is rounded to this rate.
    pub fn rounded(&self, n: u32) -> Option<u32> {
        self.count(n, f64::round)
    }

    /// The count of `n` that is truncated to this rate.
    pub fn truncated(&self, n: u32) -> Option<u32> {
        self.count(n, f64::floor)
    }

    /// The count of `n` nearest to this rate.
    pub fn nearest(&self, n: u32) -> u32 {
        ((self.value / self.scale * f64::from(n)).round().max(0.0) as u32).min(n)
    }

    /// The smallest and the largest exact rate, rounded or truncated: of counts of `n` where
    /// there are any, else of any number.
    pub fn possible(&self, n: Option<u32>) -> (f64, f64) {
        let counts = n.and_then(|n| {
            let k = self.rounded(n).or_else(|| self.truncated(n))?;
            // With a small unit several counts fit; then the printed number is the bound.
            (self.unit * f64::from(n) < 2.0 * self.scale)
                .then(|| f64::from(k) / f64::from(n) * self.scale)
        });
        counts.map_or((self.low(), self.end_if_truncated()), |exact| (exact, exact))
    }

    fn count(&self, n: u32, to_integer: fn(f64) -> f64) -> Option<u32> {
        let printed = (self.value / self.unit).round();
        let near = self.nearest(n);
        (near.saturating_sub(1)..=(near + 1).min(n)).find(|&k| {
            let exact = f64::from(k) / f64::from(n) * self.scale;
            // Tolerate floating-point error just below an integer.
            to_integer(exact / self.unit + 1e-9) == printed
        })
    }
}

/// The tables of the bundled paper as printed, with the n that the paper states.
pub fn of_paper(paper: &Paper) -> Vec<PrintedTable> {
    let tables = paper.tables.iter().map(|table| of_table(paper, table));
    tables.chain(paper.variants.iter().map(of_variants)).collect()
}

fn column(header: &str, role: Role) -> PrintedColumn {
    PrintedColumn { header: header.into(), role }
}

fn of_table(paper: &Paper, table: &PaperTable) -> PrintedTable {
    let (decimals, average, scale, role, name) = match table.measure {
        Measure::Share => (3, 2, 1.0, Role::Sum, "average length"),
        Measure::Percent => (1, 1, 100.0, Role::Mean, "average"),
    };
    let number =
        |value: f64, decimals: usize| Printed::parse(&format!("{value:.decimals$}"), scale);
    let claims: Vec<_> = paper.claims.iter().filter(|c| c.source == table.source).collect();
    let mut columns: Vec<_> = table.columns.iter().map(|c| column(&c.name, Role::Rate)).collect();
    columns.push(column(name, role));
    columns.extend(claims.iter().map(|claim| column(&claim.r#where, Role::Repeated)));
    let rows = table.rows.iter().map(|row| {
        let mut cells: Vec<_> = row.values.iter().map(|&value| number(value, decimals)).collect();
        cells.push(number(row.average, average));
        cells.extend(claims.iter().map(|claim| {
            (claim.method == row.method).then(|| number(claim.average, average)).flatten()
        }));
        PrintedRow { method: row.method.clone(), n: Some(table.n_stated), cells }
    });
    PrintedTable { name: table.source.clone(), columns, rows: rows.collect() }
}

fn of_variants(table: &VariantTable) -> PrintedTable {
    let columns = vec![
        column("average length", Role::Plain),
        column("gain", Role::Difference),
        column("tokens/s", Role::Plain),
        column("speed-up", Role::Ratio),
    ];
    let number = |value: Option<f64>, decimals: usize| {
        Printed::parse(&format!("{:.decimals$}", value?), 1.0)
    };
    let rows = table.rows.iter().map(|row| PrintedRow {
        method: row.method.clone(),
        n: None,
        cells: vec![
            number(Some(row.length), 2),
            number(row.gain, 2),
            number(row.tokens_per_second, 1),
            number(row.speed_up, 1),
        ],
    });
    PrintedTable { name: table.source.clone(), columns, rows: rows.collect() }
}
