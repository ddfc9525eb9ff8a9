//! The paper's tables of variants of UD-VLA with measured rows.

use std::collections::BTreeMap;

use super::model::{Cell, Column, Row, RowKind, Table};
use super::notes::{measured_notes, method};
use super::number_form::NumberForm;
use super::summary::Summary;
use crate::paper::{VariantRow, VariantTable};
use crate::run::benchmarks::benchmark_title;

const NOTE: &str = "published lengths have no interval: the paper prints no spread for them; a \
                    variant without a run needs a checkpoint trained that way, and none is public";

/// The table with the measured rows below each published one.
pub(crate) fn variant_table(table: &VariantTable, measured: &[&Summary]) -> Table {
    let mut rows = Vec::new();
    let mut notes = vec![NOTE.to_owned()];
    let speeds = table.rows.iter().any(|row| row.tokens_per_second.is_some());
    for variant in &table.rows {
        rows.push(published(table, variant, speeds));
        let matching = measured.iter().filter(|summary| matches(table, variant, summary));
        let runs: Vec<&Summary> = matching.copied().collect();
        if runs.is_empty() {
            let method = format!("this harness, {}", variant.method);
            rows.push(Row::not_measured(method, 1 + usize::from(speeds)));
        }
        for summary in runs {
            rows.push(measured_row(summary, &variant.method, speeds));
            notes.extend(measured_notes(summary));
        }
    }
    notes.dedup();
    let headers = ["average length"].into_iter().chain(speeds.then_some("tokens/s"));
    Table {
        source: table.source.clone(),
        title: format!("{}, {}", table.title, benchmark_title(&table.benchmark)),
        columns: Column::numbers(headers.map(str::to_owned)),
        n_of: "sequences".into(),
        rows,
        notes,
    }
}

/// Whether a run is of that variant.
fn matches(table: &VariantTable, variant: &VariantRow, summary: &Summary) -> bool {
    let subject = BTreeMap::from(summary.subject.clone());
    let value = subject.get(&table.key);
    summary.benchmark == table.benchmark && value.is_some_and(|v| variant.values.contains(v))
}

fn published(table: &VariantTable, variant: &VariantRow, speeds: bool) -> Row {
    let speed = variant
        .tokens_per_second
        .map(|speed| Cell { value: Some(speed), ..Cell::text(format!("{speed:.1}")) });
    let length = Some(NumberForm::Length.bare(variant.length));
    Row {
        method: variant.method.clone(),
        kind: RowKind::Published,
        cells: [length].into_iter().chain(speeds.then_some(speed)).collect(),
        n: format!("n = {}", table.n_stated),
        verdict: None,
    }
}

fn measured_row(summary: &Summary, variant: &str, speeds: bool) -> Row {
    let chain = summary.suites.first().and_then(|suite| suite.chain.as_ref());
    let length = chain.and_then(|chain| chain.length.estimate).map(|estimate| Cell {
        n: Some(summary.counts.ok),
        ..NumberForm::Length.cell(estimate, None)
    });
    Row {
        method: format!("{}: {variant}", method(summary)),
        kind: RowKind::Whole,
        cells: [length].into_iter().chain(speeds.then_some(None)).collect(),
        n: summary.counts.label(),
        verdict: None,
    }
}
