//! `audit`: whether published tables are possible.

use anyhow::Result;
use udvla_results::compare::audit::csv::read_csv;
use udvla_results::compare::audit::printed::{PrintedTable, of_paper};
use udvla_results::out::render::{audit_markdown, plain};
use udvla_results::paper::Paper;

use crate::cli::AuditArguments;
use crate::exit::{Exit, Refused};

/// Prints what was found.
///
/// # Errors
/// [`Refused`] when a file is not a table.
pub fn run(arguments: &AuditArguments) -> Result<Exit> {
    let mut tables: Vec<PrintedTable> = Vec::new();
    if arguments.paper {
        tables.extend(of_paper(&Paper::bundled()));
    }
    for path in &arguments.files {
        let text = format!("`{}` cannot be audited", path.display());
        let file = std::fs::read_to_string(path)
            .map_err(|error| Refused::new(text.clone()).because(error))?;
        let name = path.file_stem().map_or("table".into(), |stem| stem.to_string_lossy());
        let read = read_csv(&name, &file).map_err(|error| {
            Refused::new(text).because(error).hint("docs/results.md describes the columns")
        })?;
        tables.extend(read);
    }
    let (page, findings) = audit_markdown(&tables);
    print!("{}", plain(&page));
    Ok(if arguments.strict && findings > 0 { Exit::GateFailed } else { Exit::Complete })
}
