//! Rows as CSV.

use ::csv::{Error, Terminator, WriterBuilder};

/// A cell that no spreadsheet takes for a formula: a text that begins like one gets a leading
/// apostrophe. Numbers stay as they are.
fn without_formula(cell: String) -> String {
    let is_like_one = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let is_number = cell.parse::<f64>().is_ok_and(f64::is_finite);
    if is_like_one && !is_number { format!("'{cell}") } else { cell }
}

/// The rows as CSV text with `\n` at the ends of lines.
pub(super) fn csv_text(rows: impl IntoIterator<Item = Vec<String>>) -> Result<String, Error> {
    let mut writer =
        WriterBuilder::new().terminator(Terminator::Any(b'\n')).from_writer(Vec::new());
    for row in rows {
        writer.write_record(row.into_iter().map(without_formula))?;
    }
    let bytes = writer.into_inner().map_err(|error| Error::from(error.into_error()))?;
    Ok(String::from_utf8(bytes).expect("text was written"))
}

/// A header as cells.
pub(super) fn header(names: &str) -> Vec<String> {
    names.split(',').map(str::to_owned).collect()
}

/// Adds a column `notes` with the same text on every line, where there is something to say.
pub(super) fn add_notes(rows: &mut [Vec<String>], notes: &[String]) {
    if notes.is_empty() {
        return;
    }
    for (index, row) in rows.iter_mut().enumerate() {
        row.push(if index == 0 { "notes".into() } else { notes.join("; ") });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_begins_like_a_formula_is_marked_and_a_number_is_not() {
        for cell in ["=HYPERLINK(\"x\")", "+1+cmd", "-2+3", "@SUM(A1)", "\t=1", "-inf"] {
            assert_eq!(without_formula(cell.into()), format!("'{cell}"));
        }
        for cell in ["-0.25", "+3", "1e-9", "", "put the spoon on the towel", "0.5 [0.4, 0.6]"] {
            assert_eq!(without_formula(cell.into()), cell);
        }
    }
}
