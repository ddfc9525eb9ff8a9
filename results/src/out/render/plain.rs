//! Our Markdown pages as text for a terminal: no escapes, no markup, aligned tables.

use super::padded;
use crate::tables::format::wrap;
use crate::tables::model::Align;

/// The width of paragraphs and list items; tables may be wider.
const WIDTH: usize = 80;

/// A page that this crate wrote in Markdown, as plain text.
pub fn plain(page: &str) -> String {
    let mut text = String::new();
    let mut lines = page.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with('|') {
            let mut table = vec![line];
            while let Some(line) = lines.next_if(|line| line.starts_with('|')) {
                table.push(line);
            }
            text += &aligned(&table);
        } else if let Some(item) = line.strip_prefix("- ") {
            text += &item_lines(&unmarked(item));
        } else {
            let words = unmarked(line.trim_start_matches('#').trim_start());
            let lines = wrap(&words, WIDTH.max(words.split(' ').map(str::len).max().unwrap_or(0)));
            text += &(lines.join("\n") + "\n");
        }
    }
    text
}

/// A list item, its further lines indented.
fn item_lines(text: &str) -> String {
    let longest = text.split(' ').map(|word| word.chars().count()).max().unwrap_or(0);
    let lines = wrap(text, longest.max(WIDTH - 2));
    format!("- {}\n", lines.join("\n  "))
}

/// The lines of a Markdown table with two spaces between columns.
fn aligned(lines: &[&str]) -> String {
    let rows: Vec<Vec<String>> = lines.iter().map(|line| cells(line)).collect();
    let aligns: Vec<Align> = rows.get(1).map_or_else(Vec::new, |rule| {
        let align = |cell: &String| if cell.ends_with(':') { Align::Right } else { Align::Left };
        rule.iter().map(align).collect()
    });
    let shown: Vec<Vec<String>> = rows
        .iter()
        .enumerate()
        .filter(|(index, _)| *index != 1)
        .map(|(_, row)| row.iter().map(|cell| unmarked(cell)).collect())
        .collect();
    let width = |column: usize| {
        shown.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let line = |row: &Vec<String>| {
        let padded: Vec<String> = row
            .iter()
            .zip(&aligns)
            .enumerate()
            .map(|(index, (cell, align))| padded(cell, width(index).unwrap_or(0), *align))
            .collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    shown.iter().map(line).collect()
}

/// The cells of a table's line, still marked up; an escaped bar belongs to its cell.
fn cells(line: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut escaped = false;
    for character in line.trim_start_matches('|').chars() {
        let cell = cells.last_mut().expect("there is one from the start");
        match character {
            '|' if !escaped => cells.push(String::new()),
            other => cell.push(other),
        }
        escaped = character == '\\' && !escaped;
    }
    cells.pop();
    cells.iter().map(|cell| cell.trim().to_owned()).collect()
}

/// `text` without bold, code marks and escapes.
fn unmarked(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => plain.extend(characters.next()),
            '*' | '`' => {}
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::out::render::markdown_escape;

    #[test]
    fn a_page_has_neither_marks_nor_escapes() {
        let page = "# A\\_page\n\n- item `code`\n\n**warning\\***\n\n| a   | n |\n| --- | --: |\n\
                    | x\\|y | 10 |\n| **long one** | **9** |\n";
        let expected =
            "A_page\n\n- item code\n\nwarning*\n\na          n\nx|y       10\nlong one   9\n";
        assert_eq!(plain(page), expected);
    }

    #[test]
    fn escaping_is_undone_exactly() {
        for text in ["a_b|c*d`e<f\\g", "\\\\", "plain", "**"] {
            assert_eq!(unmarked(&markdown_escape(text)), text);
        }
    }
}
