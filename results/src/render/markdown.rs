//! Tables in GitHub's Markdown, readable as plain text too.

use super::{padded, widths};
use crate::caption::{Caption, closing_line};
use crate::summary::Summary;
use crate::table::{Align, RowKind, Table, tables};

/// How to read the numbers; stands at the end of every page.
const READING: &str = "\
Intervals are two-sided 95 % intervals: Wilson's for a success rate and for an average of suites, \
a bootstrap over sequences for an average length. Episodes that could not \
be run (errors) or were not run yet (missing) are neither successes nor failures. Steps are the \
mean of the episodes that succeeded. A verdict rests on the interval of the difference to the \
paper: it agrees where that holds 0 and rules out 5 % of the scale either way.
";

/// The page of a run: caption, the whole first (the average of suites, or the chains), then every
/// part.
pub fn markdown(summary: &Summary) -> String {
    let caption = Caption::new(summary);
    let mut page = format!("# {}\n\n", caption.title);
    for warning in &caption.warnings {
        page += &format!("**{}**\n\n", escape(warning));
    }
    for line in &caption.lines {
        page += &format!("- {}\n", escape(line));
    }
    page += &format!("- {}\n", closing_line(summary));
    let mut tables = tables(summary);
    if summary.average.is_some() || summary.suites.len() == 1 {
        tables.rotate_right(1);
    }
    for table in &tables {
        page += &format!("\n## {}\n\n{}", escape(&table.title), markdown_table(table));
        for note in &table.notes {
            page += &format!("\n{}\n", escape(note));
        }
    }
    page + "\n" + READING
}

/// One table.
pub fn markdown_table(table: &Table) -> String {
    let mut escaped = table.clone();
    for row in &mut escaped.rows {
        for cell in &mut row.cells {
            *cell = escape(cell);
            if row.kind == RowKind::Whole && !cell.is_empty() {
                *cell = format!("**{cell}**");
            }
        }
    }
    let widths: Vec<usize> = widths(&escaped).iter().map(|&width| width.max(3)).collect();
    let line = |cells: Vec<&str>| {
        let cells = cells.iter().zip(&widths).zip(&table.columns);
        let cells: Vec<_> = cells.map(|((cell, &width), c)| padded(cell, width, c.align)).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let mut text = line(table.columns.iter().map(|column| column.header.as_str()).collect());
    let rules: Vec<_> = widths
        .iter()
        .zip(&table.columns)
        .map(|(&width, column)| match column.align {
            Align::Left | Align::LeftShortened => "-".repeat(width),
            Align::Right => "-".repeat(width - 1) + ":",
        })
        .collect();
    text += &format!("| {} |\n", rules.join(" | "));
    for row in &escaped.rows {
        text += &line(row.cells.iter().map(String::as_str).collect());
    }
    text
}

/// `text` without meaning for Markdown.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '|' | '*' | '_' | '`' | '<' | '\\' => escaped.extend(['\\', character]),
            '\n' | '\r' => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instruction_cannot_break_a_table() {
        assert_eq!(escape("a|b\n*c*"), "a\\|b \\*c\\*");
    }
}
