//! `tables`: the paper's tables with rows from run directories.

use std::path::Path;

use anyhow::{Context, Result};
use udvla_results::out::render::{
    paper_csv, paper_json, paper_latex, paper_latex_document, paper_markdown, paper_text,
};
use udvla_results::paper::Paper;
use udvla_results::run::merge::{self, MergeError};
use udvla_results::run::read::Run;
use udvla_results::tables::model::Table;
use udvla_results::tables::paper_tables::{measured_only, tables_of};
use udvla_results::tables::summary::Summary;

use super::names::{Noun, of_runs};
use crate::cli::{TableFormat, TablesArguments};
use crate::exit::{Exit, Refused};

/// Prints them, or writes them into a folder.
///
/// # Errors
/// [`Refused`] when a directory is not a run, or the runs cannot be pooled.
pub fn run(arguments: &TablesArguments) -> Result<Exit> {
    let paper = Paper::bundled();
    let damage = arguments.reading.damage();
    let runs = merge::read_runs(&arguments.runs, damage).map_err(refused)?;
    super::reading::say_notes(&runs);
    let names = of_runs(&arguments.name, &runs, Noun::Row)?;
    let summary = |run: &Run| Summary::new(run, &paper);
    let rows: Vec<Summary> =
        runs.iter().zip(names).map(|(run, name)| summary(run).named(name)).collect();
    let mut variants: Vec<Summary> = Vec::new();
    let mut paths = arguments.variant.clone();
    paths.sort();
    for path in paths {
        let runs = merge::read_runs(&[path], damage).map_err(refused)?;
        super::reading::say_notes(&runs);
        variants.extend(runs.iter().map(summary));
    }
    let mut tables = tables_of(&paper, &rows, &variants);
    if !arguments.all {
        tables = measured_only(tables);
    }
    if tables.is_empty() {
        eprintln!("note: none of the paper's tables is about these runs; `--all` prints them");
    }
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
        TableFormat::Text => paper_text(tables),
        TableFormat::Markdown => paper_markdown(&paper.paper, tables),
        TableFormat::Csv => paper_csv(tables)?,
        TableFormat::Latex => paper_latex(tables),
        TableFormat::LatexDocument => paper_latex_document(tables),
        TableFormat::Json => paper_json(tables),
    })
}

fn write(folder: &Path, paper: &Paper, tables: &[Table]) -> Result<()> {
    let formats = [
        (TableFormat::Markdown, "paper-tables.md"),
        (TableFormat::Csv, "paper-tables.csv"),
        (TableFormat::Latex, "paper-tables.tex"),
        (TableFormat::LatexDocument, "paper-tables-document.tex"),
        (TableFormat::Json, "paper-tables.json"),
    ];
    for (format, name) in formats {
        super::files::write_file(&folder.join(name), &text(format, paper, tables)?)
            .context("cannot write the tables")?;
    }
    Ok(())
}
