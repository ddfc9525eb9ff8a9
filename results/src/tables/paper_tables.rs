//! The paper's tables with measured rows.

use super::labels::row_names;
use super::model::{Cell, Column, Row, RowKind, Table};
use super::notes::{measured_notes, method};
use super::number_form::NumberForm;
use super::subtasks::SubtaskSummary;
use super::summary::Summary;
use super::variants::variant_table;
use super::verdict::PaperComparison;
use crate::paper::{ComponentTable, Measure, Paper, PaperColumn, PaperRow, PaperTable};
use crate::paper::{lengths, pooled};
use crate::run::benchmarks::{benchmark_title, suite_title};
use crate::run::read::Run;
use crate::statistics::{Estimate, Rate, average_length, suites_mean};

/// All tables of the paper; `runs` are rows of each table about their benchmark, `variants` only
/// rows of the tables about variants. Runs with chains get a table by sub-task at the end.
pub fn paper_tables(paper: &Paper, runs: &[Run], variants: &[Run]) -> Vec<Table> {
    let summaries =
        |runs: &[Run]| runs.iter().map(|run| Summary::new(run, paper)).collect::<Vec<_>>();
    tables_of(paper, &summaries(runs), &summaries(variants))
}

/// As [`paper_tables`], for summaries that may have names.
pub fn tables_of(paper: &Paper, runs: &[Summary], variants: &[Summary]) -> Vec<Table> {
    let main = paper.tables.iter().map(|table| {
        let of_table = runs.iter().filter(|summary| summary.benchmark == table.benchmark);
        main_table(table, &of_table.collect::<Vec<_>>())
    });
    let all: Vec<&Summary> = runs.iter().chain(variants).collect();
    let others = paper.variants.iter().map(|table| variant_table(table, &all));
    let names = row_names(&runs.iter().collect::<Vec<_>>());
    let subtasks = runs.iter().zip(&names).filter_map(|(summary, name)| {
        let table = subtask_table(summary)?;
        let title = if runs.len() > 1 { format!("{}, {name}", table.title) } else { table.title };
        Some(Table { title, ..table })
    });
    let first = component_table(&paper.components);
    std::iter::once(first).chain(main).chain(others).chain(subtasks).collect()
}

/// The tables with a measured row, without the rows that no run fills.
pub fn measured_only(tables: Vec<Table>) -> Vec<Table> {
    let measured = |table: &Table| table.rows.iter().any(|row| row.kind == RowKind::Whole);
    let filled = |mut table: Table| {
        table.rows.retain(|row| row.kind != RowKind::NotMeasured);
        table
    };
    tables.into_iter().filter(measured).map(filled).collect()
}

/// The models by their components: text, and nothing to measure.
fn component_table(table: &ComponentTable) -> Table {
    let rows = table.rows.iter().map(|row| Row {
        method: row.method.clone(),
        ..Row::text(RowKind::Published, row.cells.clone())
    });
    Table {
        source: table.source.clone(),
        title: table.title.clone(),
        columns: Column::numbers(table.columns.clone()),
        n_of: String::new(),
        rows: rows.collect(),
        notes: vec![table.note.clone()],
    }
}

fn main_table(table: &PaperTable, measured: &[&Summary]) -> Table {
    let average = if table.measure == Measure::Share { "average length" } else { "average" };
    let headers = table.columns.iter().map(|column| column.name.clone());
    let mut rows = published_rows(table);
    let mut notes = vec![PUBLISHED.to_owned()];
    for (summary, method) in measured.iter().zip(row_names(measured)) {
        let prefix = if measured.len() > 1 { format!("{method}: ") } else { String::new() };
        rows.push(Row { method, ..measured_row(table, summary) });
        notes.extend(measured_notes(summary).iter().map(|note| format!("{prefix}{note}")));
    }
    if measured.is_empty() {
        rows.push(Row::not_measured("this harness".into(), table.columns.len() + 1));
    }
    Table {
        source: table.source.clone(),
        title: benchmark_title(&table.benchmark).to_owned(),
        columns: Column::numbers(headers.chain([average.to_owned()])),
        n_of: table.n_of.clone(),
        rows,
        notes,
    }
}

const PUBLISHED: &str = "published rows: as printed in the paper; intervals are computed from n, \
                         rows whose cells are not k/n for the stated n have none";

/// The sub-tasks of a run as a table.
fn subtask_table(summary: &Summary) -> Option<Table> {
    let (suite, chain) = summary.chained()?;
    let row = |subtask: &SubtaskSummary| Row {
        method: subtask.name.clone(),
        kind: RowKind::Whole,
        cells: vec![NumberForm::Percent.rate(subtask.rate)],
        n: format!("n = {}", subtask.rate.n),
        verdict: None,
    };
    (!chain.subtasks.is_empty()).then(|| Table {
        source: "By sub-task".into(),
        title: suite_title(&summary.benchmark, &suite.name),
        columns: Column::numbers(["success".to_owned()]),
        n_of: "times that a chain reached it".into(),
        rows: chain.subtasks.iter().map(row).collect(),
        notes: measured_notes(summary),
    })
}

/// The rows of the paper, in its order.
pub(crate) fn published_rows(table: &PaperTable) -> Vec<Row> {
    table.rows.iter().map(|row| published_row(table, row)).collect()
}

/// A row of the paper with the intervals that its n gives.
fn published_row(table: &PaperTable, row: &PaperRow) -> Row {
    let form = NumberForm::of(table.measure);
    let counts: Option<Vec<(u32, u32)>> = row.n.and_then(|n| {
        row.values.iter().map(|&value| Some((table.measure.count(value, n)?, n))).collect()
    });
    let average_form = NumberForm::of_average(table.measure);
    let (mut cells, average): (Vec<Option<Cell>>, _) = match &counts {
        None => (row.values.iter().map(|&value| Some(form.bare(value))).collect(), None),
        Some(counts) => {
            let cell = |(&value, &(k, n)): (&f64, &(u32, u32))| {
                let cell = form.cell(Rate::new(k, n, 0).estimate?, Some((k, n)));
                Some(form.printed_as(value, cell))
            };
            (row.values.iter().zip(counts).map(cell).collect(), average_of(table.measure, counts))
        }
    };
    cells.push(Some(match average {
        Some((estimate, counts)) => {
            average_form.printed_as(row.average, average_form.cell(estimate, counts))
        }
        None => average_form.bare(row.average),
    }));
    let n = row.n.map_or("n not known".into(), |n| format!("n = {n}"));
    Row { method: row.method.clone(), kind: RowKind::Published, cells, n, verdict: None }
}

/// The average of columns with these counts, and its own counts if it has any.
fn average_of(measure: Measure, counts: &[(u32, u32)]) -> Option<(Estimate, Option<(u32, u32)>)> {
    match measure {
        Measure::Percent => {
            let rates: Vec<Rate> = counts.iter().map(|&(k, n)| Rate::new(k, n, 0)).collect();
            Some((suites_mean(&rates)?, Some(pooled(counts))))
        }
        Measure::Share => {
            let reached: Vec<u32> = counts.iter().map(|count| count.0).collect();
            let lengths = lengths(&reached, counts.first()?.1);
            Some((average_length(&lengths, counts.len() as u16, 0).estimate?, None))
        }
    }
}

/// What a run measured of the table's columns.
pub(crate) fn measured_row(table: &PaperTable, summary: &Summary) -> Row {
    let form = NumberForm::of(table.measure);
    let cell = |column: &PaperColumn| form.rate(column_rate(summary, column)?);
    let mut cells: Vec<Option<Cell>> = table.columns.iter().map(cell).collect();
    let complete = cells.iter().all(Option::is_some);
    let (average, paper) = if complete { last_cell(table, summary) } else { (None, None) };
    cells.push(average);
    Row {
        method: method(summary),
        kind: RowKind::Whole,
        cells,
        n: summary.counts.label(),
        verdict: paper.map(|paper| paper.verdict.to_string()),
    }
}

fn last_cell<'a>(
    table: &PaperTable,
    summary: &'a Summary,
) -> (Option<Cell>, Option<&'a PaperComparison>) {
    let form = NumberForm::of_average(table.measure);
    if let Some(average) = &summary.average {
        let counts = Some((average.rate.successes, average.rate.n));
        let cell = average.estimate.map(|estimate| form.cell(estimate, counts));
        return (cell, average.paper.as_ref());
    }
    let Some(suite) = summary.suites.first() else { return (None, None) };
    let cell = match (table.measure, &suite.chain) {
        (Measure::Share, Some(chain)) => {
            chain.length.estimate.map(|estimate| form.cell(estimate, None))
        }
        _ => form.rate(suite.rate),
    };
    (cell, suite.paper.as_ref())
}

/// What a run measured of a column; `None` where it did not run, or not every task of it.
fn column_rate(summary: &Summary, column: &PaperColumn) -> Option<Rate> {
    let suite = summary.suites.iter().find(|suite| suite.name == column.suite)?;
    match (column.task, column.in_a_row) {
        (Some(index), _) => Some(suite.tasks.iter().find(|task| task.task == index)?.rate),
        (None, Some(stages)) => {
            suite.chain.as_ref()?.in_a_row.get(usize::from(stages) - 1).copied()
        }
        (None, None) => suite.partial.is_none().then_some(suite.rate),
    }
}
