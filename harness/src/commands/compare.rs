//! `compare`: two runs episode by episode.

use anyhow::Result;
use udvla_results::compare::compare;
use udvla_results::render::compare_markdown;

use crate::cli::{CompareArguments, CompareFormat};
use crate::exit::{Exit, Refused};

/// Prints the comparison.
///
/// # Errors
/// [`Refused`] when a directory is no run, or the runs cannot be compared.
pub fn run(arguments: &CompareArguments) -> Result<Exit> {
    let (a, b) = (super::read(&arguments.a)?, super::read(&arguments.b)?);
    let comparison = compare(&a, &b).map_err(|error| {
        let names = format!("`{}` and `{}`", arguments.a.display(), arguments.b.display());
        Refused::new(format!("{names} cannot be compared"))
            .because(error)
            .hint("compare runs of one protocol; `udvla-eval list` names them")
    })?;
    match arguments.format {
        CompareFormat::Json => println!("{}", serde_json::to_string_pretty(&comparison)?),
        CompareFormat::Markdown => {
            let names = [&arguments.a, &arguments.b].map(|path| path.display().to_string());
            print!("{}", compare_markdown(&comparison, [&names[0], &names[1]]));
        }
    }
    Ok(Exit::Complete)
}
