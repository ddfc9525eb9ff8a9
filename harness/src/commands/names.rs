//! `--name`: names of several runs, as the user gives them.

use udvla_results::run::read::Run;

use crate::exit::Refused;

/// What the names are for, in errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noun {
    /// Rows of tables.
    Row,
    /// Curves and bars.
    Run,
}

/// A name per run; none where no names are given.
///
/// # Errors
/// [`Refused`] when there are more or fewer names than runs, or a name is given twice.
pub fn of_runs(names: &[String], runs: &[Run], noun: Noun) -> Result<Vec<Option<String>>, Refused> {
    if names.is_empty() {
        return Ok(vec![None; runs.len()]);
    }
    let noun = match noun {
        Noun::Row => "row",
        Noun::Run => "run",
    };
    if names.len() != runs.len() {
        let runs: Vec<&str> = runs.iter().map(|run| run.manifest.run.as_str()).collect();
        let text = format!("{} names for {} {noun}s were given", names.len(), runs.len());
        let hint =
            format!("the {noun}s begin with {}; parts of one run share one", runs.join(", "));
        return Err(Refused::new(text).hint(hint));
    }
    if let Some(name) = names.iter().find(|name| names.iter().filter(|o| o == name).count() > 1) {
        let hint = format!("give every {noun} a name of its own");
        return Err(Refused::new(format!("the name `{name}` is given twice")).hint(hint));
    }
    Ok(names.iter().cloned().map(Some).collect())
}
