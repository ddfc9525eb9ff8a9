//! Tables in LaTeX, set with booktabs.

use crate::table::{Align, RowKind, Table};

/// A `table` environment; wider tables than the page are scaled down to it.
pub fn latex_table(table: &Table) -> String {
    let columns: String = table
        .columns
        .iter()
        .map(|column| match column.align {
            Align::Left | Align::LeftShortened => 'l',
            Align::Right => 'r',
        })
        .collect();
    let line = |cells: Vec<String>| format!("{} \\\\\n", cells.join(" & "));
    let heads = table.columns.iter().map(|column| escape(&column.header)).collect();
    let mut text = format!(
        "\\begin{{table}}\n\\caption{{{}}}\n\\centering\n\\resizebox{{\\textwidth}}{{!}}{{%\n\
         \\begin{{tabular}}{{{columns}}}\n\\toprule\n{}\\midrule\n",
        escape(&table.title),
        line(heads)
    );
    for row in &table.rows {
        let bold = row.kind == RowKind::Whole;
        let cell = |cell: &String| match stacked(cell) {
            cell if bold && !cell.is_empty() => format!("\\textbf{{{cell}}}"),
            cell => cell,
        };
        text += &line(row.cells.iter().map(cell).collect());
    }
    text += "\\bottomrule\n\\end{tabular}}\n";
    for note in &table.notes {
        text += &format!("\n\\footnotesize {}\n", escape(note));
    }
    text + "\\end{table}\n"
}

/// A number with its interval below it: side by side they make a page's tables too small to read.
fn stacked(cell: &str) -> String {
    match cell.split_once(" [") {
        Some((number, rest)) => {
            format!(
                "\\shortstack[r]{{{}\\\\{{\\scriptsize {}}}}}",
                escape(number),
                escape(&format!("[{rest}"))
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
            // A bracket after a line's end would be read as its option.
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
