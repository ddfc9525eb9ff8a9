//! Several runs compared in pairs, in Markdown.

use std::collections::BTreeSet;

use super::markdown::{escape, markdown_table};
use crate::compare::many::PairComparison;
use crate::compare::pairs::Part;
use crate::tables::format::{percent, points, signed};
use crate::tables::model::{Align, Row, RowKind, Table};

/// How to read the numbers; the end of the page.
const READING: &str = "\
Each pair is counted on the episodes that ran to their end in both. The difference is B minus A, in \
percentage points, with Tango's 95 % interval for pairs; p is McNemar's exact test, corrected by \
Holm over all pairs (and their suites). `udvla-eval compare` with two of the runs lists the \
episodes in which they differ.
";

/// The page of a comparison; `names` are the runs' names.
pub fn compare_many_markdown(pairs: &[PairComparison], names: &[String]) -> String {
    let mut page = String::from("# Comparison in pairs\n\n");
    for (index, name) in names.iter().enumerate() {
        page += &format!("- {}: {}\n", letter(index), escape(name));
    }
    let protocols: BTreeSet<&str> =
        pairs.iter().map(|pair| pair.comparison.protocol.as_str()).collect();
    for protocol in protocols {
        page += &format!("- protocol {}\n", escape(protocol));
    }
    for PairComparison { a, b, comparison } in pairs {
        let differences = match comparison.differences.as_slice() {
            [] => "subject and setting are equal".to_owned(),
            differences => differences.join("; "),
        };
        page += &format!("- {} and {}: {}\n", letter(*a), letter(*b), escape(&differences));
    }
    page + &warnings(pairs) + &format!("\n{}\n{READING}", markdown_table(&table(pairs)))
}

/// The warnings of the pairs, each once.
fn warnings(pairs: &[PairComparison]) -> String {
    let mut lines: Vec<String> = Vec::new();
    for PairComparison { a, b, comparison } in pairs {
        for warning in &comparison.warnings {
            let [first, second] = [letter(*a), letter(*b)];
            let line = match (warning.strip_prefix("A: "), warning.strip_prefix("B: ")) {
                (Some(text), _) if text.ends_with("not comparable") => format!("{first}: {text}"),
                (_, Some(text)) if text.ends_with("not comparable") => format!("{second}: {text}"),
                (Some(text), _) => format!("{first} in {first}-{second}: {text}"),
                (_, Some(text)) => format!("{second} in {first}-{second}: {text}"),
                (None, None) => format!("{first}-{second}: {warning}"),
            };
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
    }
    lines.iter().map(|line| format!("\n**{}**\n", escape(line))).collect()
}

/// A row per pair and suite.
fn table(pairs: &[PairComparison]) -> Table {
    let parts = || pairs.iter().flat_map(|pair| &pair.comparison.parts);
    let lengths = parts().any(|part| part.length.is_some());
    let mut columns = vec![("A", Align::Left), ("B", Align::Left), ("suite", Align::Left)];
    let headers = ["pairs", "A %", "B %", "only A", "only B", "B - A, points", "p", "p (Holm)"];
    columns.extend(headers.map(|header| (header, Align::Right)));
    columns.extend(lengths.then_some(("B - A, stages", Align::Right)));
    let row = |pair: &PairComparison, part: &Part| {
        let share = |k: u32| percent(Some(f64::from(k) / f64::from(part.n)));
        let mut cells = vec![letter(pair.a), letter(pair.b), part.name.clone()];
        cells.extend([part.n.to_string(), share(part.a), share(part.b)]);
        cells.extend([part.only_a.to_string(), part.only_b.to_string()]);
        cells.push(points(part.difference));
        cells.extend([part.mcnemar, part.holm].map(|p| format!("{p:.4}")));
        let length = part.length.map_or(String::new(), |length| signed(length, 2));
        cells.extend(lengths.then_some(length));
        Row::text(if part.name == "all" { RowKind::Whole } else { RowKind::Part }, cells)
    };
    let rows =
        pairs.iter().flat_map(|pair| pair.comparison.parts.iter().map(move |part| row(pair, part)));
    Table::text(&columns, rows.collect())
}

/// `A`, `B`, … and numbers after `Z`.
fn letter(index: usize) -> String {
    match u8::try_from(index) {
        Ok(index @ 0..26) => char::from(b'A' + index).to_string(),
        _ => format!("run {}", index + 1),
    }
}
