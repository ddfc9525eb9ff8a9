//! A gate's decision for people (Markdown) and for build servers (JUnit XML).

use super::markdown::{escape, markdown_table};
use crate::compare::gate::{Check, Gate};
use crate::statistics::margins::Decision;
use crate::tables::format::points;
use crate::tables::model::{Align, Row, RowKind, Table};

/// The decision as a Markdown page.
pub fn gate_markdown(gate: &Gate) -> String {
    let margin = gate.margin * 100.0;
    let columns = [
        ("check", Align::Left),
        ("numbers", Align::Left),
        ("difference, % of the scale", Align::Right),
        ("decision", Align::Left),
    ];
    let row = |check: &Check| {
        let (name, numbers) = (check.name.clone(), check.numbers.clone());
        let decision = check.decision.name().to_owned();
        Row::text(RowKind::Part, [name, numbers, points(check.difference), decision])
    };
    let rows = gate.checks.iter().map(row).collect();
    let notes: String = gate.notes.iter().map(|note| format!("\n**{}**\n", escape(note))).collect();
    format!(
        "# Gate: {}\n\nAgainst {}, margin {margin:.1} % of the scale.\n{notes}\n{}\n\
         It passes if the 95 % interval of the difference lies above the margin, fails if it lies \
         below, and is inconclusive if it contains the margin: more episodes are needed. The \
         first line decides; a suite that fails, by Holm over the suites, fails the gate.\n",
        gate.decision.name(),
        escape(&gate.against),
        markdown_table(&Table::text(&columns, rows))
    )
}

/// The decision as JUnit XML: a test case per check. An inconclusive main check is an error, any
/// other inconclusive check is skipped.
pub fn gate_junit(gate: &Gate) -> String {
    let count = |decision| gate.checks.iter().filter(|check| check.decision == decision).count();
    let main = gate.checks.first().map(|check| check.decision);
    let errors = usize::from(main == Some(Decision::Inconclusive));
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite \
         name=\"udvla-eval gate\" tests=\"{}\" failures=\"{}\" errors=\"{errors}\" \
         skipped=\"{}\">\n",
        gate.checks.len(),
        count(Decision::Fail),
        count(Decision::Inconclusive) - errors
    );
    let against = escape_xml(&gate.against);
    for (index, check) in gate.checks.iter().enumerate() {
        let name = escape_xml(&check.name);
        let numbers = format!("{}; difference {}", check.numbers, points(check.difference));
        let message = escape_xml(&numbers);
        let result = match check.decision {
            Decision::Pass => format!("<system-out>{message}</system-out>"),
            Decision::Fail => format!("<failure message=\"{message}\"/>"),
            Decision::Inconclusive if index == 0 => {
                format!("<error type=\"inconclusive\" message=\"{message}\"/>")
            }
            Decision::Inconclusive => format!("<skipped message=\"inconclusive: {message}\"/>"),
        };
        text +=
            &format!("    <testcase classname=\"{against}\" name=\"{name}\">{result}</testcase>\n");
    }
    text + "  </testsuite>\n</testsuites>\n"
}

fn escape_xml(text: &str) -> String {
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
