//! A comparison of two evaluations without pairs, in Markdown.

use super::markdown::{escape, markdown_table};
use crate::compare_rates::{RateComparison, RatePart, Tally};
use crate::figures::{percent, signed};
use crate::statistics::Estimate;
use crate::table::{Align, Column, Row, RowKind, Table};

/// How to read the numbers; stands at the end of the page.
const READING: &str = "\
The episodes of A and B are counted as different ones, for nothing says that they began alike. The \
difference is B less A, in percentage points, with Newcombe's 95 % interval; p is the exact test \
named beside it, corrected by Holm over the suites. Two run directories of one protocol are \
compared pair by pair instead, which takes far fewer episodes.
";

/// The page of a comparison; `names` are the files or directories of A and B.
pub fn compare_rates_markdown(comparison: &RateComparison, names: [&str; 2]) -> String {
    let mut page = String::from("# Comparison without pairs\n\n");
    for ((letter, name), source) in ["A", "B"].iter().zip(names).zip(&comparison.sources) {
        page += &format!("- {letter}: {} ({})\n", escape(name), escape(source));
    }
    for warning in &comparison.warnings {
        page += &format!("\n**{}**\n", escape(warning));
    }
    page + &format!("\n{}\n{READING}", markdown_table(&rates(&comparison.parts)))
}

fn rates(parts: &[RatePart]) -> Table {
    let lengths = parts.iter().any(|part| part.length.is_some());
    let unknown = parts.iter().any(|part| part.a.unknown + part.b.unknown > 0);
    let heads = ["A", "%", "B", "%", "B - A, points", "test", "p", "p (Holm)"];
    let mut columns = vec![Column { header: "suite".into(), align: Align::Left }];
    columns.extend(heads.map(|head| Column { header: head.into(), align: Align::Right }));
    columns.extend(lengths.then(|| Column { header: "B - A, stages".into(), align: Align::Right }));
    columns.extend(unknown.then(|| Column { header: "not in n".into(), align: Align::Left }));
    let row = |part: &RatePart| {
        let share = |one: Tally| percent(Some(f64::from(one.successes) / f64::from(one.n)));
        let count = |one: Tally| format!("{}/{}", one.successes, one.n);
        let mut cells = vec![part.name.clone()];
        cells.extend([count(part.a), share(part.a), count(part.b), share(part.b)]);
        cells.push(signed(Estimate::from(part.difference).times(100.0), 1));
        cells.extend(match &part.test {
            Some(test) => {
                [test.name.to_owned(), format!("{:.4}", test.p), format!("{:.4}", test.holm)]
            }
            None => ["–", "–", "–"].map(str::to_owned),
        });
        let length = part.length.map_or(String::new(), |length| signed(length.into(), 2));
        cells.extend(lengths.then_some(length));
        cells.extend(unknown.then(|| format!("A {}, B {}", part.a.unknown, part.b.unknown)));
        let kind = if part.test.is_none() { RowKind::Whole } else { RowKind::Part };
        Row { kind, cells }
    };
    let rows = parts.iter().map(row).collect();
    Table { title: String::new(), columns, rows, notes: Vec::new() }
}
