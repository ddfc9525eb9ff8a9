//! An audit of printed tables in Markdown.

use super::markdown::{escape, markdown_table};
use crate::audit::{Contrast, Finding, audit, contrasts};
use crate::counts::counted;
use crate::figures::signed;
use crate::printed::{PrintedTable, Role};
use crate::table::{Align, Column, Row, RowKind, Table};

/// The page, and how many findings there are.
pub fn audit_markdown(tables: &[PrintedTable]) -> (String, usize) {
    let findings: Vec<Finding> = tables.iter().flat_map(audit).collect();
    let mut page = format!("# Audit: {}\n", counted(findings.len() as u32, "finding"));
    for table in tables {
        let rows = counted(table.rows.len() as u32, "row");
        page += &format!("\n## {}, {rows}\n\n", escape(&table.name));
        let here: Vec<&Finding> =
            findings.iter().filter(|finding| finding.table == table.name).collect();
        for finding in &here {
            page += &format!(
                "- **{}**, {} ({}): {}\n",
                escape(&finding.row),
                escape(&finding.column),
                finding.kind,
                escape(&finding.text)
            );
        }
        if here.is_empty() {
            page += "Everything can be as printed.\n";
        }
        page += &noise(table, &contrasts(table));
    }
    (page + "\n" + READING, findings.len())
}

const READING: &str = "\
A rate is a count when some k/n is rounded to it, `cut` when it is one only with the last digits \
left off. Averages, ratios and differences are wrong when no cells that print as shown could give \
them. Differences are the best row less another, with Newcombe's 95 % interval of different \
episodes (a bootstrap for lengths) at the n that is stated: where the interval holds 0, the \
difference is inside the noise.
";

fn noise(table: &PrintedTable, contrasts: &[Contrast]) -> String {
    let Some(first) = contrasts.first() else { return String::new() };
    let inside: Vec<&Contrast> =
        contrasts.iter().filter(|contrast| contrast.inside_the_noise()).collect();
    let mut text = format!(
        "\n{}: {} of {} differences to other rows are inside the noise.\n",
        escape(&first.best),
        inside.len(),
        contrasts.len()
    );
    if inside.is_empty() {
        return text;
    }
    let heads = [("to", Align::Left), ("column", Align::Left), ("difference", Align::Right)];
    let columns = heads.map(|(head, align)| Column { header: head.into(), align }).to_vec();
    let row = |contrast: &&Contrast| {
        let place = table.columns.iter().find(|column| column.header == contrast.column);
        let length = place.is_some_and(|column| column.role == Role::Sum);
        let difference = match length {
            true => signed(contrast.difference, 2),
            false => format!("{} points", signed(contrast.difference.times(100.0), 1)),
        };
        let cells = vec![contrast.other.clone(), contrast.column.clone(), difference];
        Row { kind: RowKind::Part, cells }
    };
    let rows = inside.iter().map(row).collect();
    let table = Table { title: String::new(), columns, rows, notes: Vec::new() };
    text += &format!("\n{}", markdown_table(&table));
    text
}
