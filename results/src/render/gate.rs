//! A gate's decision for people (Markdown) and for build servers (JUnit XML).

use super::markdown::{escape, markdown_table};
use crate::figures::signed;
use crate::gate::{Check, Gate};
use crate::statistics::Estimate;
use crate::statistics::margins::Decision;
use crate::table::{Align, Column, Row, RowKind, Table};

/// The decision as a Markdown page.
pub fn gate_markdown(gate: &Gate) -> String {
    let margin = gate.margin * 100.0;
    let heads = [
        ("check", Align::Left),
        ("numbers", Align::Left),
        ("difference, % of the scale", Align::Right),
        ("decision", Align::Left),
    ];
    let columns = heads.map(|(head, align)| Column { header: head.into(), align }).to_vec();
    let row = |check: &Check| Row {
        kind: RowKind::Part,
        cells: vec![
            check.name.clone(),
            check.numbers.clone(),
            points(check),
            check.decision.to_owned(),
        ],
    };
    let rows = gate.checks.iter().map(row).collect();
    let table = Table { title: String::new(), columns, rows, notes: Vec::new() };
    format!(
        "# Gate: {}\n\nAgainst {}, margin {margin:.1} % of the scale.\n\n{}\n\
         It passes where the 95 % interval of the difference lies above the margin, fails where \
         it lies below, and is inconclusive where it holds it: more episodes are needed. The \
         first line decides; a suite that fails by itself fails the gate.\n",
        gate.decision,
        escape(&gate.against),
        markdown_table(&table)
    )
}

/// The decision as JUnit XML: a test case per check. A headline without a decision is an error,
/// any other check without one is skipped.
pub fn gate_junit(gate: &Gate) -> String {
    let count = |word: &str| gate.checks.iter().filter(|check| check.decision == word).count();
    let failures = count(Decision::Fail.word());
    let open = count(Decision::Inconclusive.word());
    let headline =
        |index: usize, check: &Check| index == 0 && check.decision == Decision::Inconclusive.word();
    let errors = usize::from(gate.checks.first().is_some_and(|check| headline(0, check)));
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite \
         name=\"udvla-eval gate\" tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\" \
         skipped=\"{}\">\n",
        gate.checks.len(),
        open - errors
    );
    for (index, check) in gate.checks.iter().enumerate() {
        let message = xml(&format!("{}; difference {}", check.numbers, points(check)));
        text += &format!(
            "    <testcase classname=\"{}\" name=\"{}\">",
            xml(&gate.against),
            xml(&check.name)
        );
        text += &match check.decision {
            "fail" => format!("<failure message=\"{message}\"/>"),
            "inconclusive" if headline(index, check) => {
                format!("<error type=\"inconclusive\" message=\"{message}\"/>")
            }
            "inconclusive" => format!("<skipped message=\"inconclusive: {message}\"/>"),
            _ => format!("<system-out>{message}</system-out>"),
        };
        text += "</testcase>\n";
    }
    text + "  </testsuite>\n</testsuites>\n"
}

fn points(check: &Check) -> String {
    signed(Estimate::from(check.difference).times(100.0), 1)
}

fn xml(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            other if other.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}
