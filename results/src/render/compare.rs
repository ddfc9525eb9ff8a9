//! A comparison of two runs in Markdown.

use super::markdown::{escape, markdown_table};
use crate::compare::{Flip, Part, RunComparison};
use crate::counts::counted;
use crate::figures::{percent, signed};
use crate::table::{Align, Column, Row, RowKind, Table};

/// How to read the numbers; stands at the end of the page.
pub(crate) const READING: &str = "\
Both runs are counted on the episodes that ran to their end in both. The difference is B less A, \
in percentage points, with Tango's 95 % interval for pairs; p is McNemar's exact test, corrected \
by Holm over the suites. Episodes start from fixed states: the interval speaks about these \
episodes and the policies' randomness, not about the world.
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
    page += &format!("\n{}", markdown_table(&rates(&comparison.parts)));
    page += &flips(&comparison.flips);
    if !comparison.flips.is_empty() {
        page += "\n`udvla-eval replay RUN EPISODE --video DIR` shows one of them.\n";
    }
    page + "\n" + READING
}

/// A row per suite: rates, their difference, p values.
pub(crate) fn rates(parts: &[Part]) -> Table {
    let lengths = parts.iter().any(|part| part.length.is_some());
    let heads = ["pairs", "A", "%", "B", "%", "only A", "only B", "B - A, points", "p", "p (Holm)"];
    let mut columns = vec![Column { header: "suite".into(), align: Align::Left }];
    columns.extend(heads.map(|head| Column { header: head.into(), align: Align::Right }));
    columns.extend(lengths.then(|| Column { header: "B - A, stages".into(), align: Align::Right }));
    let row = |part: &Part| {
        let share = |k: u32| percent(Some(f64::from(k) / f64::from(part.n)));
        let mut cells = vec![part.name.clone(), part.n.to_string()];
        cells.extend([part.a.to_string(), share(part.a), part.b.to_string(), share(part.b)]);
        cells.extend([part.only_a.to_string(), part.only_b.to_string()]);
        let difference: crate::statistics::Estimate = part.difference.into();
        cells.push(signed(difference.times(100.0), 1));
        cells.extend([part.mcnemar, part.holm].map(|p| format!("{p:.4}")));
        let length = part.length.map_or(String::new(), |length| signed(length.into(), 2));
        cells.extend(lengths.then_some(length));
        let kind = if part.name == "all" { RowKind::Whole } else { RowKind::Part };
        Row { kind, cells }
    };
    let rows = parts.iter().map(row).collect();
    Table { title: String::new(), columns, rows, notes: Vec::new() }
}

fn flips(flips: &[Flip]) -> String {
    let wanted: [fn(&Flip) -> bool; 2] = [|flip| flip.a > flip.b, |flip| flip.b > flip.a];
    let groups = ["A did better", "B did better"].into_iter().zip(wanted);
    let mut text = String::new();
    for (title, wanted) in groups {
        let group: Vec<&Flip> = flips.iter().filter(|flip| wanted(flip)).collect();
        text += &format!("\n## {title}: {}\n", counted(group.len() as u32, "episode"));
        text += if group.is_empty() { "" } else { "\n" };
        for flip in group {
            let outcome = match flip.stages {
                1 => String::new(),
                stages => format!(" (A {} of {stages}, B {})", flip.a, flip.b),
            };
            let episode = escape(&flip.episode);
            text += &format!("- {episode}{outcome}: {}", escape(&flip.instruction));
            for (letter, file) in ["A", "B"].iter().zip(&flip.files) {
                text.extend(file.iter().map(|file| format!("; {letter} `{file}`")));
            }
            text.push('\n');
        }
    }
    text
}
