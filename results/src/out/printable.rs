//! Text from run directories and workers, made harmless for a terminal.

/// `text` with every character that a terminal obeys or hides as its code, for example
/// `\u{1b}`: control characters other than line breaks and tabs, marks of writing direction,
/// invisible characters and tags.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\t' => shown.push(character),
            character if is_hidden(character) => shown.extend(character.escape_unicode()),
            character => shown.push(character),
        }
    }
    shown
}

/// As [`printable`], in one line: a line break becomes a space.
pub fn printable_line(text: &str) -> String {
    printable(&text.replace(['\n', '\t'], " "))
}

fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_or_hides_is_shown_as_its_code() {
        for (text, shown) in [
            ("\u{1b}[2Jgone", r"\u{1b}[2Jgone"),
            ("\rdone", r"\u{d}done"),
            ("\u{9b}31m", r"\u{9b}31m"),
            ("a\u{202e}b\u{2066}c", r"a\u{202e}b\u{2066}c"),
            ("zero\u{200b}width", r"zero\u{200b}width"),
            ("tag\u{e0041}", r"tag\u{e0041}"),
            ("two\nlines\tand a tab", "two\nlines\tand a tab"),
            ("Grüße → 你好 ✓", "Grüße → 你好 ✓"),
        ] {
            assert_eq!(printable(text), shown);
        }
        assert_eq!(printable_line("two\nlines"), "two lines");
    }
}
