//! A gate's decision for people (Markdown) and for build servers (JUnit XML).

use super::markdown::{escape, markdown_table};
use crate::compare::gate::{Check, Gate};
use crate::statistics::margins::Decision;
use crate::tables::format::points;
use crate::tables::model::{Align, Row, RowKind, Table};

/// The decision as a Markdown page.
pub fn gate_markdown(gate: &Gate) -> String {
    let margin = gate.margin * 100.0;
    let corrected = gate.checks.iter().any(|check| check.holm.is_some());
    let mut columns = vec![
        ("check", Align::Left),
        ("numbers", Align::Left),
        ("difference, % of the scale", Align::Right),
        ("decision", Align::Left),
    ];
    columns.extend(corrected.then_some(("p (Holm)", Align::Right)));
    let row = |check: &Check| {
        let (name, numbers) = (check.name.clone(), check.numbers.clone());
        let decision = check.decision.name().to_owned();
        let p = check.holm.map_or(String::new(), |p| format!("{p:.3}"));
        let mut cells = vec![name, numbers, points(check.difference), decision];
        cells.extend(corrected.then_some(p));
        Row::text(RowKind::Part, cells)
    };
    let rows = gate.checks.iter().map(row).collect();
    let notes: String = gate.notes.iter().map(|note| format!("\n**{}**\n", escape(note))).collect();
    format!(
        "# Gate: {}\n\nAgainst {}, margin {margin:.1} % of the scale.\n{notes}\n{}\n\
         The first line decides: it passes if the 95 % interval of the difference lies above \
         minus the margin, fails if it lies below, and is inconclusive otherwise: more episodes \
         are needed. A suite fails, and the gate with it, only if its interval lies below and its p \
         value is below 0.05 after Holm's correction over the suites.\n",
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
    text += &properties(&gate.notes);
    let against = escape_xml(&gate.against);
    for (index, check) in gate.checks.iter().enumerate() {
        let name = escape_xml(&check.name);
        let p = check.holm.map_or(String::new(), |p| format!("; p = {p:.3} by Holm"));
        let numbers = format!("{}; difference {}{p}", check.numbers, points(check.difference));
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

/// The notes as properties of the suite; nothing without notes.
fn properties(notes: &[String]) -> String {
    let property =
        |note: &String| format!("      <property name=\"note\" value=\"{}\"/>\n", escape_xml(note));
    let lines: String = notes.iter().map(property).collect();
    if lines.is_empty() { lines } else { format!("    <properties>\n{lines}    </properties>\n") }
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
