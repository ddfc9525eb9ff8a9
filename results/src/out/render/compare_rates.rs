//! A comparison of two evaluations without pairs, in Markdown.

use super::markdown::{escape, markdown_table};
use crate::compare::rates::{RateComparison, RatePart, Tally};
use crate::tables::format::{NONE, percent, points, signed};
use crate::tables::model::{Align, Row, RowKind, Table};

/// How to read the numbers; the end of the page.
const READING: &str = "\
The episodes of A and B are counted as unpaired, because nothing states that they began alike. The \
difference is B minus A, in percentage points, with Newcombe's 95 % interval; p is the exact test \
named next to it, corrected by Holm over the suites. Two run directories of one protocol are \
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
    page + &format!("\n{}\n{READING}", markdown_table(&rate_table(&comparison.parts)))
}

fn rate_table(parts: &[RatePart]) -> Table {
    let lengths = parts.iter().any(|part| part.length.is_some());
    let unknown = parts.iter().any(|part| part.a.unknown + part.b.unknown > 0);
    let headers = ["A", "%", "B", "%", "B - A, points", "test", "p", "p (Holm)"];
    let mut columns = vec![("suite", Align::Left)];
    columns.extend(headers.map(|header| (header, Align::Right)));
    columns.extend(lengths.then_some(("B - A, stages", Align::Right)));
    columns.extend(unknown.then_some(("not in n", Align::Left)));
    let row = |part: &RatePart| {
        let share = |tally: Tally| percent(Some(f64::from(tally.successes) / f64::from(tally.n)));
        let count = |tally: Tally| format!("{}/{}", tally.successes, tally.n);
        let mut cells = vec![part.name.clone()];
        cells.extend([count(part.a), share(part.a), count(part.b), share(part.b)]);
        cells.push(points(part.difference));
        cells.extend(match &part.test {
            Some(test) => {
                [test.name.to_owned(), format!("{:.4}", test.p), format!("{:.4}", test.holm)]
            }
            None => [NONE, NONE, NONE].map(str::to_owned),
        });
        let length = part.length.map_or(String::new(), |length| signed(length, 2));
        cells.extend(lengths.then_some(length));
        cells.extend(unknown.then(|| format!("A {}, B {}", part.a.unknown, part.b.unknown)));
        Row::text(if part.test.is_none() { RowKind::Whole } else { RowKind::Part }, cells)
    };
    Table::text(&columns, parts.iter().map(row).collect())
}
