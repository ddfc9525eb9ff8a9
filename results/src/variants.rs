//! The paper's tables of variants of UD-VLA with our rows in them.

use crate::notes::measured_notes;
use crate::paper::{VariantRow, VariantTable};
use crate::paper_tables::{Cell, Origin, ResultRow, ResultTable, method};
use crate::summary::Summary;

/// Published lengths have no interval: the paper does not print their spread.
const NOTE: &str = "published lengths stand without an interval: the paper prints no spread for \
                    them; a variant without a run needs a checkpoint that was trained so, and \
                    nobody has published one";

/// The table with a measured row under each published one.
pub(crate) fn table(table: &VariantTable, measured: &[Summary]) -> ResultTable {
    let mut rows = Vec::new();
    let mut notes = vec![NOTE.to_owned()];
    let speeds = table.rows.iter().any(|row| row.tokens_per_second.is_some());
    for variant in &table.rows {
        rows.push(published(table, variant, speeds));
        let of_variant: Vec<&Summary> =
            measured.iter().filter(|summary| is(table, variant, summary)).collect();
        if of_variant.is_empty() {
            let cells = vec![None; 1 + usize::from(speeds)];
            let method = format!("this harness, {}", variant.method);
            let (status, n) = (Origin::NotMeasured, "not measured".to_owned());
            rows.push(ResultRow { method, status, cells, n, verdict: None });
        }
        for summary in of_variant {
            rows.push(row(summary, &variant.method, speeds));
            notes.extend(measured_notes(summary));
        }
    }
    notes.dedup();
    let mut columns = vec!["average length".to_owned()];
    columns.extend(speeds.then(|| "tokens/s".to_owned()));
    ResultTable {
        source: table.source.clone(),
        title: format!("{}, CALVIN", table.title),
        columns,
        n_of: "sequences".into(),
        rows,
        notes,
    }
}

fn is(table: &VariantTable, variant: &VariantRow, summary: &Summary) -> bool {
    let value = summary.subject.iter().find(|(key, _)| *key == table.key).map(|pair| &pair.1);
    summary.benchmark == table.benchmark && value.is_some_and(|v| variant.values.contains(v))
}

fn published(table: &VariantTable, variant: &VariantRow, speeds: bool) -> ResultRow {
    let bare =
        |value: f64, printed: String| Some(Cell { value: Some(value), ..Cell::words(printed) });
    let mut cells = vec![bare(variant.length, format!("{:.2}", variant.length))];
    let speed = variant.tokens_per_second;
    cells.extend(speeds.then(|| speed.and_then(|speed| bare(speed, format!("{speed:.1}")))));
    ResultRow {
        method: variant.method.clone(),
        status: Origin::Published,
        cells,
        n: format!("n = {}", table.n_stated),
        verdict: None,
    }
}

fn row(summary: &Summary, variant: &str, speeds: bool) -> ResultRow {
    let chain = summary.suites.first().and_then(|suite| suite.chain.as_ref());
    let length = chain.and_then(|chain| chain.length.estimate);
    let cell = length.map(|estimate| Cell {
        printed: format!("{:.2}", estimate.value),
        value: Some(estimate.value),
        low: Some(estimate.low),
        high: Some(estimate.high),
        interval: Some(format!("[{:.2}, {:.2}]", estimate.low, estimate.high)),
        successes: None,
        n: Some(summary.counts.ok),
    });
    let mut cells = vec![cell];
    cells.extend(speeds.then_some(None));
    ResultRow {
        method: format!("{}: {variant}", method(summary)),
        status: Origin::Measured,
        cells,
        n: summary.counts.words(),
        verdict: None,
    }
}
