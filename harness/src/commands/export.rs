//! `export`: a run as a file that other tools read.

use anyhow::{Context, Result};
use udvla_results::out::exports::{ExportError, episodes_csv, lerobot_json, vla_eval_json};

use crate::cli::{ExportArguments, ExportFormat};
use crate::exit::{Exit, Refused};

/// Prints the file, or writes it.
///
/// # Errors
/// [`Refused`] when the directory is not a run, or the format cannot represent it.
pub fn run(arguments: &ExportArguments) -> Result<Exit> {
    let run = super::reading::noted(&arguments.run, arguments.reading.damage())?;
    let text = match arguments.format {
        ExportFormat::Lerobot => lerobot_json(&run),
        ExportFormat::VlaEval => vla_eval_json(&run),
        ExportFormat::Csv => episodes_csv(&run),
    };
    let text = text.map_err(|error: ExportError| {
        let refused = Refused::new(format!("cannot export `{}`", arguments.run.display()));
        refused.maybe_hint(error.hint()).because(error)
    })?;
    match &arguments.output {
        None => print!("{text}"),
        Some(path) => super::files::write_file(path, &text).context("cannot write the export")?,
    }
    Ok(Exit::Complete)
}
