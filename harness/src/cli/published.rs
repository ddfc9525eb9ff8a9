//! `--published`: the row that another policy's results are compared with.

use std::path::Path;

use anyhow::Result;
use udvla_results::paper::Paper;
use udvla_results::run::manifest::PublishedRow;

use super::run::RunArguments;
use crate::exit::Refused;
use crate::plan::UDVLA;

/// The paper's own method, whose row is for the policy `udvla`.
const OWN: &str = "UD-VLA";

/// The row that the flags name, from the user's file or the paper.
///
/// # Errors
/// [`Refused`] for an unknown row, with the nearest name, and for one that cannot be compared.
pub fn row(run: &RunArguments, benchmark: &str) -> Result<Option<PublishedRow>> {
    let Some(name) = &run.published else {
        if run.published_rows.is_some() {
            let text = "`--published-rows` without `--published` has no effect";
            return Err(Refused::new(text).hint("name a row: `--published METHOD`").into());
        }
        return Ok(None);
    };
    let own_rows = run.published_rows.as_deref().map(rows_of).transpose()?.unwrap_or_default();
    if run.tested.policy == UDVLA || name == OWN {
        let text = format!("`{UDVLA}` is compared with the row `{OWN}`, others with other rows");
        return Err(Refused::new(text).hint("leave `--published` out, or name another row").into());
    }
    let paper = Paper::bundled();
    let table = paper.table(benchmark).ok_or_else(|| {
        Refused::new(format!("the paper has no table about `{benchmark}`"))
            .hint("leave `--published` out")
    })?;
    let fits = |row: &&PublishedRow| row.benchmark == benchmark;
    let named = own_rows.iter().filter(fits).find(|row| row.method == *name);
    let bundled = || table.rows.iter().any(|row| row.method == *name);
    let row = match named {
        Some(row) => table.check(row).map(|()| row.clone()),
        None if bundled() => table.published_row(name),
        None => {
            let own = own_rows.iter().filter(fits).map(|row| row.method.as_str());
            let known = table.rows.iter().map(|row| row.method.as_str()).chain(own);
            return Err(unknown(name, known.filter(|known| *known != OWN).collect()).into());
        }
    };
    row.map(Some).map_err(|reason| {
        let text = format!("results cannot be compared with the published row `{name}`: {reason}");
        Refused::new(text).hint("leave `--published` out, or name another row").into()
    })
}

fn unknown(name: &str, known: Vec<&str>) -> Refused {
    let likeness =
        |known: &&&str| strsim::jaro_winkler(&known.to_lowercase(), &name.to_lowercase());
    let nearest = known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    let hint = nearest.map(|nearest| format!("nearest: `--published {nearest:?}`; there are: "));
    Refused::new(format!("there is no published row `{name}`")).hint(format!(
        "{}{}",
        hint.unwrap_or_default(),
        known.join(", ")
    ))
}

fn rows_of(file: &Path) -> Result<Vec<PublishedRow>> {
    let refused = |reason: String| {
        let text = format!("the published rows `{}` cannot be used: {reason}", file.display());
        Refused::new(text).hint("docs/bring-your-own-policy.md has the form")
    };
    let text = std::fs::read_to_string(file).map_err(|error| refused(error.to_string()))?;
    Ok(serde_json::from_str(&text).map_err(|error| refused(error.to_string()))?)
}
