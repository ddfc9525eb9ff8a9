//! A comparison of two runs in Markdown.

use super::markdown::{escape, markdown_table};
use crate::compare::pairs::{Flip, Part, RunComparison};
use crate::out::printable::printable_line;
use crate::tables::format::{percent, plural, points, signed};
use crate::tables::model::{Align, Row, RowKind, Table};

/// How to read the numbers; the end of the page.
pub(crate) const READING: &str = "\
Both runs are counted on the episodes that ran to their end in both. The difference is B minus A, \
in percentage points, with Tango's 95 % interval for pairs; p is McNemar's exact test, corrected \
by Holm over the suites. Episodes start from fixed states: the interval covers these episodes and \
the policies' randomness, not other tasks or scenes.
";

/// The page of a comparison; `names` are the run directories of A and B.
pub fn compare_markdown(comparison: &RunComparison, names: [&str; 2]) -> String {
    let mut page = String::from("# Comparison\n\n");
    for (letter, name) in ["A", "B"].iter().zip(names) {
        page += &format!("- {letter}: {}\n", escape(name));
    }
    page += &format!("- protocol {}\n", escape(&comparison.protocol));
    if comparison.differences.is_empty() {
        page += "- subject and setting are equal\n";
    }
    for difference in &comparison.differences {
        page += &format!("- {}\n", escape(difference));
    }
    for warning in &comparison.warnings {
        page += &format!("\n**{}**\n", escape(warning));
    }
    page += &format!("\n{}", markdown_table(&rate_table(&comparison.parts)));
    page += &flips(&comparison.flips);
    if !comparison.flips.is_empty() {
        page += "\n`udvla-eval replay RUN EPISODE --video DIR` shows one of them.\n";
    }
    page + "\n" + READING
}

/// A row per suite: rates, their difference, p values.
pub(crate) fn rate_table(parts: &[Part]) -> Table {
    let lengths = parts.iter().any(|part| part.length.is_some());
    let headers =
        ["pairs", "A", "%", "B", "%", "only A", "only B", "B - A, points", "p", "p (Holm)"];
    let mut columns = vec![("suite", Align::Left)];
    columns.extend(headers.map(|header| (header, Align::Right)));
    columns.extend(lengths.then_some(("B - A, stages", Align::Right)));
    let row = |part: &Part| {
        let share = |k: u32| percent(Some(f64::from(k) / f64::from(part.n)));
        let mut cells = vec![part.name.clone(), part.n.to_string()];
        cells.extend([part.a.to_string(), share(part.a), part.b.to_string(), share(part.b)]);
        cells.extend([part.only_a.to_string(), part.only_b.to_string()]);
        cells.push(points(part.difference));
        cells.extend([part.mcnemar, part.holm].map(|p| format!("{p:.4}")));
        let length = part.length.map_or(String::new(), |length| signed(length, 2));
        cells.extend(lengths.then_some(length));
        Row::text(if part.name == "all" { RowKind::Whole } else { RowKind::Part }, cells)
    };
    Table::text(&columns, parts.iter().map(row).collect())
}

fn flips(flips: &[Flip]) -> String {
    let better: [fn(&Flip) -> bool; 2] = [|flip| flip.a > flip.b, |flip| flip.b > flip.a];
    let mut text = String::new();
    for (title, better) in ["A did better", "B did better"].into_iter().zip(better) {
        let group: Vec<&Flip> = flips.iter().filter(|flip| better(flip)).collect();
        text += &format!("\n## {title}: {}\n", plural(group.len() as u32, "episode"));
        text += if group.is_empty() { "" } else { "\n" };
        for flip in group {
            let outcome = match flip.stages {
                1 => String::new(),
                stages => format!(" (A {} of {stages}, B {})", flip.a, flip.b),
            };
            let episode = escape(&flip.episode);
            text += &format!("- {episode}{outcome}: {}", escape(&flip.instruction));
            for (letter, file) in ["A", "B"].iter().zip(&flip.files) {
                text.extend(file.iter().map(|file| {
                    format!("; {letter} `{}`", printable_line(&file.replace('`', "'")))
                }));
            }
            text.push('\n');
        }
    }
    text
}
