//! Tables in GitHub's Markdown, readable as plain text too.

use super::{padded, widths};
use crate::out::printable::printable_line;
use crate::tables::caption::{Caption, closing_line};
use crate::tables::model::{Align, RowKind, Table};
use crate::tables::run_tables::tables;
use crate::tables::summary::Summary;

/// How to read the numbers; the end of every page.
const READING: &str = "\
Intervals are two-sided 95 % intervals: Wilson's for a success rate and for an average of suites, \
a bootstrap over sequences for an average length. Episodes that could not \
be run (errors) or were not run yet (missing) are neither successes nor failures. Steps are the \
mean of the successful episodes. A verdict rests on the interval of the difference to the paper: \
it agrees if that contains 0 and rules out 5 % of the scale either way. The verdicts on several \
suites are corrected together by Holm. The smallest significant difference under a table is between \
this run and another one of the same size with other episodes.
";

/// The page of a run: caption, the whole first (the average of suites, or the chains), then every
/// part.
///
/// ```
/// use udvla_results::{out::render, paper::Paper, run::read::Run, tables::summary::Summary};
///
/// let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/samples/schema-1");
/// let page = render::markdown(&Summary::new(&Run::read(sample)?, &Paper::bundled()));
/// assert!(page.starts_with("# LIBERO\n\n**stand-in assets, not comparable**\n"));
/// # Ok::<(), udvla_results::run::read::ReadError>(())
/// ```
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
        page += &format!("\n## {}\n\n{}", escape(&table.heading()), markdown_table(table));
        for note in &table.notes {
            page += &format!("\n{}\n", escape(note));
        }
    }
    page + "\n" + READING
}

/// One table, without its title and notes.
pub fn markdown_table(table: &Table) -> String {
    let columns = table.shown_columns();
    let cell = |kind: RowKind, text: &String| match escape(text) {
        text if kind == RowKind::Whole && !text.is_empty() => format!("**{text}**"),
        text => text,
    };
    let rows: Vec<Vec<String>> = table
        .rows
        .iter()
        .map(|row| table.shown_cells(row).iter().map(|text| cell(row.kind, text)).collect())
        .collect();
    let widths: Vec<usize> = widths(&columns, &rows).iter().map(|&width| width.max(3)).collect();
    let line = |cells: Vec<&str>| {
        let padded: Vec<_> = cells
            .iter()
            .zip(&widths)
            .zip(&columns)
            .map(|((cell, &width), column)| padded(cell, width, column.align))
            .collect();
        format!("| {} |\n", padded.join(" | "))
    };
    let rules = widths.iter().zip(&columns).map(|(&width, column)| match column.align {
        Align::Left | Align::LeftShortened => "-".repeat(width),
        Align::Right => "-".repeat(width - 1) + ":",
    });
    let mut text = line(columns.iter().map(|column| column.header.as_str()).collect());
    text += &format!("| {} |\n", rules.collect::<Vec<_>>().join(" | "));
    for cells in &rows {
        text += &line(cells.iter().map(String::as_str).collect());
    }
    text
}

/// `text` in one line without meaning for Markdown, HTML or a terminal.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in printable_line(&text.replace('\r', " ")).chars() {
        let is_link = escaped.ends_with(']') && matches!(character, '(' | '[' | ':');
        if is_link || matches!(character, '|' | '*' | '_' | '`' | '<' | '&' | '\\') {
            escaped.push('\\');
        }
        escaped.push(character);
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

    #[test]
    fn an_instruction_becomes_neither_a_link_nor_html_nor_a_control_sequence() {
        assert_eq!(escape("![x](http://a)"), "![x]\\(http://a)");
        assert_eq!(escape("<img src=x> &lt;b>"), "\\<img src=x> \\&lt;b>");
        assert_eq!(escape("\u{1b}[2J"), "\\\\u{1b}[2J");
        assert_eq!(escape("76/96 = 76.0 [66.6, 83.5]"), "76/96 = 76.0 [66.6, 83.5]");
    }
}
