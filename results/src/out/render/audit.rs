//! An audit of printed tables in Markdown.

use super::markdown::{escape, markdown_table};
use crate::compare::audit::printed::{PrintedTable, Role};
use crate::compare::audit::{Contrast, Finding, audit, contrasts};
use crate::tables::format::{plural, points, signed};
use crate::tables::model::{Align, Row, RowKind, Table};

/// The page, and the number of findings.
pub fn audit_markdown(tables: &[PrintedTable]) -> (String, usize) {
    let findings: Vec<Vec<Finding>> = tables.iter().map(audit).collect();
    let count: usize = findings.iter().map(Vec::len).sum();
    let mut page = format!("# Audit: {}\n", plural(count as u32, "finding"));
    for (table, findings) in tables.iter().zip(&findings) {
        let rows = plural(table.rows.len() as u32, "row");
        page += &format!("\n## {}, {rows}\n\n", escape(&table.name));
        for finding in findings {
            page += &format!(
                "- **{}**, {} ({}): {}\n",
                escape(&finding.row),
                escape(&finding.column),
                finding.kind,
                escape(&finding.text)
            );
        }
        if findings.is_empty() {
            page += "Everything can be as printed.\n";
        }
        page += &noise(table, &contrasts(table));
    }
    (page + "\n" + READING, count)
}

const READING: &str = "\
A rate is a count if some k/n is rounded to it, and `truncated` if k/n only equals it with the \
last digits cut off. Averages, ratios and differences are wrong if no cells that print as shown \
could give them. Differences are the best row minus another, with Newcombe's 95 % interval for \
unpaired episodes (a bootstrap for lengths) at the stated n: if the interval contains 0, the \
difference is within noise.
";

fn noise(table: &PrintedTable, contrasts: &[Contrast]) -> String {
    let Some(first) = contrasts.first() else { return String::new() };
    let within: Vec<&Contrast> =
        contrasts.iter().filter(|contrast| contrast.within_noise()).collect();
    let text = format!(
        "\n{}: {} of {} differences to other rows are within noise.\n",
        escape(&first.best),
        within.len(),
        contrasts.len()
    );
    if within.is_empty() {
        return text;
    }
    let columns = [("to", Align::Left), ("column", Align::Left), ("difference", Align::Right)];
    let row = |contrast: &&Contrast| {
        let column = table.columns.iter().find(|column| column.header == contrast.column);
        let difference = match column.is_some_and(|column| column.role == Role::Sum) {
            true => signed(contrast.difference, 2),
            false => format!("{} points", points(contrast.difference)),
        };
        Row::text(RowKind::Part, [contrast.other.clone(), contrast.column.clone(), difference])
    };
    let rows = within.iter().map(row).collect();
    text + "\n" + &markdown_table(&Table::text(&columns, rows))
}
