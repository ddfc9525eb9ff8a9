//! Rows as CSV.

use ::csv::{Error, Terminator, WriterBuilder};

/// The rows as CSV text with `\n` at the ends of lines.
pub(super) fn csv_text(rows: impl IntoIterator<Item = Vec<String>>) -> Result<String, Error> {
    let mut writer =
        WriterBuilder::new().terminator(Terminator::Any(b'\n')).from_writer(Vec::new());
    for row in rows {
        writer.write_record(row)?;
    }
    let bytes = writer.into_inner().map_err(|error| Error::from(error.into_error()))?;
    Ok(String::from_utf8(bytes).expect("text was written"))
}

/// A header as cells.
pub(super) fn header(names: &str) -> Vec<String> {
    names.split(',').map(str::to_owned).collect()
}
