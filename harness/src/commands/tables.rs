//! `tables`: the paper's tables with rows from run directories.

use std::path::Path;

use anyhow::{Context, Result};
use udvla_results::out::render::{paper_csv, paper_json, paper_latex, paper_markdown};
use udvla_results::paper::Paper;
use udvla_results::run::merge::{self, MergeError};
use udvla_results::run::read::Run;
use udvla_results::tables::model::Table;
use udvla_results::tables::paper_tables::paper_tables;

use crate::cli::{TableFormat, TablesArguments};
use crate::exit::{Exit, Refused};

/// Prints them, or writes them into a folder.
///
/// # Errors
/// [`Refused`] when a directory is not a run, or the runs cannot be pooled.
pub fn run(arguments: &TablesArguments) -> Result<Exit> {
    let paper = Paper::bundled();
    let damage = arguments.reading.damage();
    let runs = merge::read_all(&arguments.runs, damage).map_err(refused)?;
    let mut variants: Vec<Run> = Vec::new();
    let mut paths = arguments.variant.clone();
    paths.sort();
    for path in paths {
        variants.extend(merge::read_all(&[path], damage).map_err(refused)?);
    }
    super::reading::say_notes(&runs);
    super::reading::say_notes(&variants);
    let tables = paper_tables(&paper, &runs, &variants);
    match &arguments.out {
        None => print!("{}", text(arguments.format, &paper, &tables)?),
        Some(folder) => write(folder, &paper, &tables)?,
    }
    Ok(Exit::Complete)
}

fn refused(error: MergeError) -> Refused {
    let refused = Refused::new("these run directories make no tables");
    refused.maybe_hint(error.hint()).because(error)
}

fn text(format: TableFormat, paper: &Paper, tables: &[Table]) -> Result<String> {
    Ok(match format {
        TableFormat::Markdown => paper_markdown(&paper.paper, tables),
        TableFormat::Csv => paper_csv(tables)?,
        TableFormat::Latex => paper_latex(tables),
        TableFormat::Json => paper_json(tables),
    })
}

fn write(folder: &Path, paper: &Paper, tables: &[Table]) -> Result<()> {
    let formats = [
        (TableFormat::Markdown, "paper-tables.md"),
        (TableFormat::Csv, "paper-tables.csv"),
        (TableFormat::Latex, "paper-tables.tex"),
        (TableFormat::Json, "paper-tables.json"),
    ];
    for (format, name) in formats {
        super::files::write_file(&folder.join(name), &text(format, paper, tables)?)
            .context("cannot write the tables")?;
    }
    Ok(())
}
