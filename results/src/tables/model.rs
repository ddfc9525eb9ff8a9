//! The one table type: a grid of cells with a title above it and notes below.

use serde::{Serialize, Serializer};

use super::format::NONE;
use crate::statistics::Estimate;

/// A table of a run, of a comparison, or of the paper with measured rows.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Table {
    /// Which table of the paper, for example `Table 3`; empty for any other table. Rows of the
    /// paper's tables begin with method and status and end with n and verdict.
    pub source: String,
    /// Title; empty where none is shown.
    pub title: String,
    /// Columns of [`Row::cells`].
    pub columns: Vec<Column>,
    /// What n counts; empty where nothing is counted.
    pub n_of: String,
    /// Rows, each with a cell per column.
    pub rows: Vec<Row>,
    /// Notes below the table.
    pub notes: Vec<String>,
}

/// A column; in JSON its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Heading.
    pub header: String,
    /// Alignment of its cells.
    pub align: Align,
}

impl Serialize for Column {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.header)
    }
}

/// Alignment of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Left.
    Left,
    /// Left, and shortened where the table is too wide.
    LeftShortened,
    /// Right.
    Right,
}

/// A row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The method of a row in a table of the paper.
    pub method: String,
    /// What the row is about.
    #[serde(rename = "status")]
    pub kind: RowKind,
    /// A cell per column; `None` where nothing was measured or published.
    pub cells: Vec<Option<Cell>>,
    /// `n = 500`, or `n = 498 of 500, 2 errors`, or why it is not known.
    pub n: String,
    /// The verdict on the number in the last column.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
}

/// What a row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RowKind {
    /// A task of a suite, a suite of a benchmark.
    Part,
    /// All parts together, or a measured row in a table of the paper.
    #[serde(rename = "measured")]
    Whole,
    /// Printed in the paper.
    Published,
    /// A row in a table of the paper that no run fills.
    NotMeasured,
}

impl RowKind {
    /// The column `status` of the paper's tables.
    pub fn status(self) -> &'static str {
        match self {
            Self::Part | Self::Whole => "measured",
            Self::Published => "published",
            Self::NotMeasured => "not measured",
        }
    }
}

/// A cell: text, and the number it shows where that is of use to a program.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Cell {
    /// The text, without interval and counts.
    pub printed: String,
    /// The number: a share of 1, an average length, or tokens per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Lower end of the 95 % interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    /// Upper end of the 95 % interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
    /// The interval as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    /// Successes, where the number is a rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub successes: Option<u32>,
    /// Number of episodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n: Option<u32>,
}

impl Cell {
    /// A cell without a number.
    pub fn text(printed: impl Into<String>) -> Self {
        Self { printed: printed.into(), ..Self::default() }
    }

    /// A number with its interval; `text` writes both.
    pub fn estimate(estimate: Estimate, text: impl Fn(f64) -> String) -> Self {
        let Estimate { value, low, high } = estimate;
        Self {
            printed: text(value),
            value: Some(value),
            low: Some(low),
            high: Some(high),
            interval: Some(format!("[{}, {}]", text(low), text(high))),
            ..Self::default()
        }
    }

    /// `96.2 [94.1, 97.6]`, with the counts if the row was measured.
    fn shown(&self, kind: RowKind) -> String {
        let mut text = self.printed.clone();
        text.extend(self.interval.iter().map(|interval| format!(" {interval}")));
        if let (RowKind::Whole, Some(k), Some(n)) = (kind, self.successes, self.n) {
            text += &format!(" {k}/{n}");
        }
        text
    }
}

impl Column {
    /// A column.
    pub fn new(header: impl Into<String>, align: Align) -> Self {
        Self { header: header.into(), align }
    }

    /// Columns of numbers.
    pub(super) fn numbers(headers: impl IntoIterator<Item = String>) -> Vec<Self> {
        headers.into_iter().map(|header| Self::new(header, Align::Right)).collect()
    }
}

impl Row {
    /// A row of texts.
    pub fn text(kind: RowKind, cells: impl IntoIterator<Item = String>) -> Self {
        let cells = cells.into_iter().map(|text| Some(Cell::text(text))).collect();
        Self { method: String::new(), kind, cells, n: String::new(), verdict: None }
    }

    /// A row in a table of the paper that no run fills.
    pub(super) fn not_measured(method: String, cells: usize) -> Self {
        let kind = RowKind::NotMeasured;
        Self { method, kind, cells: vec![None; cells], n: kind.status().into(), verdict: None }
    }
}

impl Table {
    /// A table of texts without a title.
    pub fn text(columns: &[(&str, Align)], rows: Vec<Row>) -> Self {
        let columns = columns.iter().map(|&(header, align)| Column::new(header, align)).collect();
        Self { columns, rows, ..Self::default() }
    }

    /// Title as shown: `Table 3, LIBERO (n: episodes of a suite)`.
    pub fn heading(&self) -> String {
        match (self.source.as_str(), self.n_of.as_str()) {
            ("", _) => self.title.clone(),
            (source, "") => format!("{source}, {}", self.title),
            (source, n_of) => format!("{source}, {} (n: {n_of})", self.title),
        }
    }

    /// All columns as shown.
    pub fn shown_columns(&self) -> Vec<Column> {
        let mut columns = self.columns.clone();
        if !self.source.is_empty() {
            let front = ["method", "status"].map(|header| Column::new(header, Align::Left));
            columns.splice(0..0, front);
            columns.extend((!self.n_of.is_empty()).then(|| Column::new("n", Align::Left)));
            columns.extend(self.has_verdicts().then(|| Column::new("verdict", Align::Left)));
        }
        columns
    }

    /// The texts of a row, one per column of [`Table::shown_columns`].
    pub fn shown_cells(&self, row: &Row) -> Vec<String> {
        let missing =
            if row.kind == RowKind::Published { NONE } else { RowKind::NotMeasured.status() };
        let text = |cell: &Option<Cell>| {
            cell.as_ref().map_or_else(|| missing.to_owned(), |cell| cell.shown(row.kind))
        };
        let mut texts: Vec<String> = row.cells.iter().map(text).collect();
        if !self.source.is_empty() {
            texts.splice(0..0, [row.method.clone(), row.kind.status().to_owned()]);
            texts.extend((!self.n_of.is_empty()).then(|| row.n.clone()));
            // The reason of a withheld verdict is in the notes; here it would double the width.
            let verdict = row.verdict.as_deref().unwrap_or_default().split(':').next();
            texts.extend(verdict.filter(|_| self.has_verdicts()).map(str::to_owned));
        }
        texts
    }

    fn has_verdicts(&self) -> bool {
        self.rows.iter().any(|row| row.verdict.is_some())
    }

    /// Adds a column of texts; rows beyond `cells` get an empty one.
    pub(crate) fn add_column(&mut self, column: Column, cells: Vec<String>) {
        self.columns.push(column);
        let cells = cells.into_iter().chain(std::iter::repeat(String::new()));
        for (row, cell) in self.rows.iter_mut().zip(cells) {
            row.cells.push(Some(Cell::text(cell)));
        }
    }
}
