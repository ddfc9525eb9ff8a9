//! Tables in LaTeX, with booktabs.

use crate::tables::model::{Align, RowKind, Table};

/// A `table` environment; tables wider than the page are scaled down to it.
pub fn latex_table(table: &Table) -> String {
    environment(table, &table.heading())
}

/// A table with the number it has in the paper.
pub(super) fn numbered(table: &Table) -> String {
    let number = table.source.strip_prefix("Table ").and_then(|text| text.parse::<u32>().ok());
    let Some(number) = number.filter(|number| *number > 0) else { return latex_table(table) };
    let heading = table.heading();
    let title = heading.strip_prefix(&format!("{}, ", table.source)).unwrap_or(&heading);
    format!("\\setcounter{{table}}{{{}}}\n{}", number - 1, environment(table, title))
}

fn environment(table: &Table, title: &str) -> String {
    let columns = table.shown_columns();
    let alignment = columns.iter().map(|column| match column.align {
        Align::Left | Align::LeftShortened => 'l',
        Align::Right => 'r',
    });
    let line = |cells: Vec<String>| format!("{} \\\\\n", cells.join(" & "));
    let mut text = format!(
        "\\begin{{table}}\n\\caption{{{}}}\n\\centering\n\\resizebox{{\\textwidth}}{{!}}{{%\n\
         \\begin{{tabular}}{{{}}}\n\\toprule\n{}\\midrule\n",
        escape(title),
        alignment.collect::<String>(),
        line(columns.iter().map(|column| escape(&column.header)).collect())
    );
    for row in &table.rows {
        let cell = |cell: &String| match stacked(cell) {
            cell if row.kind == RowKind::Whole && !cell.is_empty() => {
                format!("\\textbf{{{cell}}}")
            }
            cell => cell,
        };
        text += &line(table.shown_cells(row).iter().map(cell).collect());
    }
    text += "\\bottomrule\n\\end{tabular}}\n";
    for note in &table.notes {
        text += &format!("\n\\footnotesize {}\n", escape(note));
    }
    text + "\\end{table}\n"
}

/// A number with its interval below it, so that tables fit on a page.
fn stacked(cell: &str) -> String {
    match cell.split_once(" [") {
        Some((number, interval)) => {
            format!(
                "\\shortstack[r]{{{}\\\\{{\\scriptsize {}}}}}",
                escape(number),
                escape(&format!("[{interval}"))
            )
        }
        None => escape(cell),
    }
}

/// `text` without meaning for LaTeX, in characters that its default fonts have.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => escaped.extend(['\\', character]),
            '\\' => escaped += "\\textbackslash{}",
            '~' => escaped += "\\textasciitilde{}",
            '^' => escaped += "\\textasciicircum{}",
            // A bracket after `\\` would be read as its option.
            '[' => escaped += "{[}",
            ']' => escaped += "{]}",
            '→' => escaped += "$\\rightarrow$",
            '–' => escaped += "--",
            '·' => escaped += "$\\cdot$",
            '±' => escaped += "$\\pm$",
            '✓' => escaped += "$=$",
            '↓' => escaped += "$\\downarrow$",
            '↑' => escaped += "$\\uparrow$",
            '…' => escaped += "\\ldots{}",
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
    fn nothing_in_a_text_is_a_command() {
        assert_eq!(escape("a_b & 5 % {x} \\y"), "a\\_b \\& 5 \\% \\{x\\} \\textbackslash{}y");
        assert_eq!(escape("[1] ↑"), "{[}1{]} $\\uparrow$");
    }
}
