//! Colors with a meaning: red for errors and losses, yellow for what limits a number, green for
//! agreement. Without them where the output is no terminal, or where `NO_COLOR` is set.

use console::style;

/// A notice about a failure, for stderr.
pub fn bad(text: &str) -> String {
    style(text).for_stderr().red().to_string()
}

/// A notice that needs attention, for stderr.
pub fn warning(text: &str) -> String {
    style(text).for_stderr().yellow().to_string()
}

/// The first word of a line on stderr, before a text: `error:` or `hint:`.
pub fn label(text: &str) -> String {
    let label = style(text).for_stderr().bold();
    if text.starts_with("error") { label.red() } else { label.cyan() }.to_string()
}

/// Tables for stdout: warnings, verdicts and marks in color.
pub fn tables(text: &str) -> String {
    text.split_inclusive('\n').map(line).collect()
}

fn line(line: &str) -> String {
    if line.starts_with("! ") {
        let (text, end) = line.split_at(line.trim_end().len());
        return format!("{}{end}", style(text).yellow());
    }
    let verdicts = ["✓ agrees", "↓ below", "↑ above", "? cannot tell"];
    let Some(verdict) = verdicts.into_iter().find(|verdict| line.trim_end().ends_with(verdict))
    else {
        return line.to_owned();
    };
    let painted = match verdict {
        "↓ below" => style(verdict).red(),
        "? cannot tell" => style(verdict).yellow(),
        _ => style(verdict).green(),
    };
    line.replace(verdict, &painted.to_string())
}

/// The mark of a check on stdout: a green ✓ or a red ✗.
pub fn mark(passed: bool) -> String {
    if passed { style("✓").green() } else { style("✗").red() }.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_warnings_and_verdicts_are_painted_and_nothing_without_a_terminal() {
        let text = "! n = 2\nsuite  96.2\npaper  96.2  ✓ agrees\npaper  96.2  ↓ below\n";
        console::set_colors_enabled(false);
        assert_eq!(tables(text), text);
        console::set_colors_enabled(true);
        let painted = tables(text);
        console::set_colors_enabled(false);
        let lines: Vec<&str> = painted.lines().collect();
        assert_eq!(lines[0], "\u{1b}[33m! n = 2\u{1b}[0m");
        assert_eq!(lines[1], "suite  96.2");
        assert_eq!(lines[2], "paper  96.2  \u{1b}[32m✓ agrees\u{1b}[0m");
        assert_eq!(lines[3], "paper  96.2  \u{1b}[31m↓ below\u{1b}[0m");
    }
}
