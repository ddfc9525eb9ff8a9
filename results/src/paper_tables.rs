//! The paper's tables with our rows in them, as data.

use serde::Serialize;

use crate::figures;
use crate::paper::{Measure, Paper, PaperColumn, PaperRow, PaperTable};
use crate::read::Run;
use crate::statistics::{Estimate, Rate, average_length, suites_mean};
use crate::summary::{Chain, Summary};
use crate::verdict::Comparison;

/// A table of the paper with measured rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ResultTable {
    /// Which table, for example `Table 3`.
    pub source: String,
    /// What it is about.
    pub title: String,
    /// The measured columns, the last one the average or the average length.
    pub columns: Vec<String>,
    /// What n counts; empty where nothing is counted.
    pub n_of: String,
    /// Published rows in the paper's order, then measured ones.
    pub rows: Vec<ResultRow>,
    /// What must stand below.
    pub notes: Vec<String>,
}

/// A row: a method and its numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ResultRow {
    /// The method.
    pub method: String,
    /// Where the numbers are from.
    pub status: Origin,
    /// A cell per column; `None` where nothing was measured or published.
    pub cells: Vec<Option<Cell>>,
    /// `n = 500`, or `n = 498 of 500, 2 errors`; or why it is not known.
    pub n: String,
    /// The verdict on the paper's number in the last column.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
}

/// Where a row's numbers are from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Printed in the paper.
    Published,
    /// From the run directories.
    Measured,
    /// There is no run directory for it.
    NotMeasured,
}

/// A number with what is known of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cell {
    /// The number as the paper prints it, or as it would.
    pub printed: String,
    /// The number: a share of 1, an average length, or tokens per second; none in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Lower end of the 95 % interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    /// Upper end of the 95 % interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
    /// The interval as it is printed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    /// Successes, where the number is a rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub successes: Option<u32>,
    /// Episodes behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n: Option<u32>,
}

impl Cell {
    /// A cell without a number.
    pub(crate) fn words(printed: String) -> Self {
        let (value, low, high, interval) = (None, None, None, None);
        Self { printed, value, low, high, interval, successes: None, n: None }
    }
}

/// How a column prints its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Share,
    Percent,
    Length,
}

impl Form {
    fn of(measure: Measure) -> Self {
        match measure {
            Measure::Share => Self::Share,
            Measure::Percent => Self::Percent,
        }
    }

    /// The form of the last column.
    fn of_average(measure: Measure) -> Self {
        match measure {
            Measure::Share => Self::Length,
            Measure::Percent => Self::Percent,
        }
    }

    fn text(self, value: f64) -> String {
        match self {
            Self::Share => figures::share(Some(value)),
            Self::Percent => figures::percent(Some(value)),
            Self::Length => figures::length(Some(value)),
        }
    }

    /// A printed number as a value.
    fn value(self, printed: f64) -> f64 {
        if self == Self::Percent { printed / 100.0 } else { printed }
    }

    fn cell(self, printed: Option<f64>, estimate: Estimate, counts: Option<(u32, u32)>) -> Cell {
        let Estimate { value, low, high } = estimate;
        let printed = printed.map_or_else(|| self.text(value), |p| self.text(self.value(p)));
        Cell {
            printed,
            value: Some(value),
            low: Some(low),
            high: Some(high),
            interval: Some(format!("[{}, {}]", self.text(low), self.text(high))),
            successes: counts.map(|counts| counts.0),
            n: counts.map(|counts| counts.1),
        }
    }

    /// A number without an interval.
    fn bare(self, printed: f64) -> Cell {
        let value = self.value(printed);
        Cell { value: Some(value), ..Cell::words(self.text(value)) }
    }

    pub(crate) fn rate(self, rate: Rate) -> Option<Cell> {
        Some(self.cell(None, rate.estimate?, Some((rate.successes, rate.n))))
    }
}

/// All tables of the paper; `runs` fill a row of each table about their benchmark, `variants`
/// rows of the tables about variants only. Chains have a table by sub-task at the end.
pub fn paper_tables(paper: &Paper, runs: &[Run], variants: &[Run]) -> Vec<ResultTable> {
    let summary = |run: &Run| Summary::new(run, paper);
    let summaries: Vec<Summary> = runs.iter().map(summary).collect();
    let variants: Vec<Summary> = runs.iter().chain(variants).map(summary).collect();
    let main = paper.tables.iter().map(|table| {
        let measured = summaries.iter().find(|summary| summary.benchmark == table.benchmark);
        main_table(table, measured)
    });
    let others = paper.variants.iter().map(|table| crate::variants::table(table, &variants));
    let subtasks = summaries.iter().filter_map(crate::subtasks::result_table);
    let first = crate::components::result_table(&paper.components);
    std::iter::once(first).chain(main).chain(others).chain(subtasks).collect()
}

fn main_table(table: &PaperTable, measured: Option<&Summary>) -> ResultTable {
    let average = if table.measure == Measure::Share { "average length" } else { "average" };
    let names = table.columns.iter().map(|column| column.name.clone());
    let mut rows = published_rows(table);
    let mut notes = vec![PUBLISHED.to_owned()];
    match measured {
        Some(summary) => {
            rows.push(measured_row(table, summary));
            notes.extend(crate::notes::measured_notes(summary));
        }
        None => rows.push(ResultRow {
            method: "this harness".into(),
            status: Origin::NotMeasured,
            cells: vec![None; table.columns.len() + 1],
            n: "not measured".into(),
            verdict: None,
        }),
    }
    let title = crate::caption::suite_title(&table.benchmark, "").trim_end().to_owned();
    let columns = names.chain([average.to_owned()]).collect();
    let (source, n_of) = (table.source.clone(), table.n_of.clone());
    ResultTable { source, title, columns, n_of, rows, notes }
}

const PUBLISHED: &str = "published rows: as printed in the paper; their intervals follow from n, \
                         and a row whose cells are no counts of the stated n has none";

/// The rows of the paper, in its order.
pub(crate) fn published_rows(table: &PaperTable) -> Vec<ResultRow> {
    table.rows.iter().map(|row| published(table, row)).collect()
}

/// A row of the paper; the intervals are those that its n gives.
fn published(table: &PaperTable, row: &PaperRow) -> ResultRow {
    let form = Form::of(table.measure);
    let counts: Option<Vec<(u32, u32)>> = row.n.and_then(|n| {
        row.values.iter().map(|&value| Some((table.measure.count(value, n)?, n))).collect()
    });
    let last = Form::of_average(table.measure);
    let (mut cells, average): (Vec<Option<Cell>>, _) = match &counts {
        None => (row.values.iter().map(|&v| Some(form.bare(v))).collect(), None),
        Some(counts) => {
            let cell = |(&value, &(k, n)): (&f64, &(u32, u32))| {
                Some(form.cell(Some(value), Rate::new(k, n, 0).estimate?, Some((k, n))))
            };
            (row.values.iter().zip(counts).map(cell).collect(), average_of(table.measure, counts))
        }
    };
    cells.push(Some(match average {
        Some((estimate, counts)) => last.cell(Some(row.average), estimate, counts),
        None => last.bare(row.average),
    }));
    let n = row.n.map_or("n not known".into(), |n| format!("n = {n}"));
    ResultRow { method: row.method.clone(), status: Origin::Published, cells, n, verdict: None }
}

type Average = (Estimate, Option<(u32, u32)>);

/// The average of columns with these counts.
fn average_of(measure: Measure, counts: &[(u32, u32)]) -> Option<Average> {
    match measure {
        Measure::Percent => {
            let rates: Vec<Rate> = counts.iter().map(|&(k, n)| Rate::new(k, n, 0)).collect();
            let all = counts.iter().fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
            Some((suites_mean(&rates)?, Some(all)))
        }
        Measure::Share => {
            let n = counts.first()?.1;
            let length = |sequence| counts.iter().filter(|count| count.0 > sequence).count() as u16;
            let lengths: Vec<u16> = (0..n).map(length).collect();
            Some((average_length(&lengths, counts.len() as u16, 0).estimate?, None))
        }
    }
}

/// What a run measured of the table's columns.
pub(crate) fn measured_row(table: &PaperTable, summary: &Summary) -> ResultRow {
    let form = Form::of(table.measure);
    let cell = |column: &PaperColumn| form.rate(rate(summary, column)?);
    let mut cells: Vec<Option<Cell>> = table.columns.iter().map(cell).collect();
    let last = Form::of_average(table.measure);
    let whole = cells.iter().all(Option::is_some);
    let (average, verdict) = if whole { last_cell(table, summary, last) } else { (None, None) };
    cells.push(average);
    ResultRow {
        method: method(summary),
        status: Origin::Measured,
        cells,
        n: summary.counts.words(),
        verdict: verdict.map(|paper| paper.verdict.line()),
    }
}

fn last_cell<'a>(
    table: &PaperTable,
    summary: &'a Summary,
    form: Form,
) -> (Option<Cell>, Option<&'a Comparison>) {
    if let Some(average) = &summary.average {
        let counts = Some((average.rate.successes, average.rate.n));
        let cell = average.estimate.map(|estimate| form.cell(None, estimate, counts));
        return (cell, average.paper.as_ref());
    }
    let Some(suite) = summary.suites.first() else { return (None, None) };
    let cell = match (table.measure, &suite.chain) {
        (Measure::Share, Some(chain)) => {
            chain.length.estimate.map(|estimate| form.cell(None, estimate, None))
        }
        _ => form.rate(suite.rate),
    };
    (cell, suite.paper.as_ref())
}

/// What a run measured of a column; `None` where it did not run.
fn rate(summary: &Summary, column: &PaperColumn) -> Option<Rate> {
    let suite = summary.suites.iter().find(|suite| suite.name == column.suite)?;
    match (column.task, column.in_a_row) {
        (Some(index), _) => Some(suite.tasks.iter().find(|task| task.task == index)?.rate),
        (None, Some(stages)) => {
            let Chain { in_a_row, .. } = suite.chain.as_ref()?;
            in_a_row.get(usize::from(stages) - 1).copied()
        }
        (None, None) => Some(suite.rate),
    }
}

/// The name of a measured row: the policy, and its checkpoint where it has one.
pub(crate) fn method(summary: &Summary) -> String {
    let of = |key: &str| summary.subject.iter().find(|pair| pair.0 == key).map(|pair| &pair.1);
    let policy = of("policy").map_or("policy", String::as_str);
    match of("checkpoint") {
        Some(checkpoint) => format!("this harness, {policy} {checkpoint}"),
        None => format!("this harness, {policy}"),
    }
}
