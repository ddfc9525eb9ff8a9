//! `compare`: runs episode by episode and in pairs, or suite by suite where one of two is another
//! harness's file.

use std::path::{Path, PathBuf};

use anyhow::Result;
use udvla_results::compare::imports::Outcomes;
use udvla_results::compare::many::{Pairing, compare_many};
use udvla_results::compare::pairs::compare;
use udvla_results::compare::rates::compare_rates;
use udvla_results::out::html::compare_page;
use udvla_results::out::plots::of_comparison;
use udvla_results::out::render::{
    compare_many_markdown, compare_markdown, compare_rates_markdown, plain,
};
use udvla_results::run::damage::Damage;
use udvla_results::run::read::Run;

use crate::cli::{CompareArguments, CompareFormat, Reference};
use crate::exit::{Exit, Refused};
use crate::run;

const ONE_PROTOCOL: &str = "compare runs of one protocol; `udvla-eval list` names them";

/// What can be compared.
enum Side {
    /// A run directory, or a baseline that was made of one.
    Run(Box<Run>),
    /// A file of another harness.
    File(Outcomes),
}

/// What is printed, and the HTML page where one was asked for.
struct Compared {
    json: String,
    markdown: String,
    html: Option<String>,
}

/// Prints the comparison.
///
/// # Errors
/// [`Refused`] when one of them holds no results, or they cannot be compared.
pub fn run(arguments: &CompareArguments) -> Result<Exit> {
    let damage = arguments.reading.damage();
    let compared = match arguments.runs.as_slice() {
        [a, b] => two([a, b], damage, arguments.html.is_some())?,
        _ if arguments.html.is_some() => {
            let text = "`--html` compares two runs episode by episode";
            return Err(Refused::new(text).hint("name two of the runs").into());
        }
        paths => many(paths, damage, arguments.against)?,
    };
    if let (Some(file), Some(html)) = (&arguments.html, &compared.html) {
        super::files::write_file(file, html)?;
    }
    match arguments.format {
        CompareFormat::Json => println!("{}", compared.json),
        CompareFormat::Markdown => print!("{}", compared.markdown),
        CompareFormat::Text => print!("{}", plain(&compared.markdown)),
    }
    Ok(Exit::Complete)
}

fn two(paths: [&Path; 2], damage: Damage, html: bool) -> Result<Compared> {
    let names = paths.map(|path| path.display().to_string());
    let names = [names[0].as_str(), names[1].as_str()];
    let refused = || Refused::new(format!("`{}` and `{}` cannot be compared", names[0], names[1]));
    match (side(paths[0], damage)?, side(paths[1], damage)?) {
        (Side::Run(a), Side::Run(b)) => {
            let found =
                compare(&a, &b).map_err(|error| refused().because(error).hint(ONE_PROTOCOL))?;
            let html = match html {
                true => Some(compare_page(&found, names, &of_comparison(&found)?)),
                false => None,
            };
            let markdown = compare_markdown(&found, names);
            Ok(Compared { json: serde_json::to_string_pretty(&found)?, markdown, html })
        }
        _ if html => {
            let text = "`--html` compares two runs episode by episode";
            let hint = "leave it out: another harness's file is compared suite by suite";
            Err(Refused::new(text).hint(hint).into())
        }
        (a, b) => {
            let found = compare_rates(&a.outcomes(), &b.outcomes())
                .map_err(|error| refused().because(error))?;
            let markdown = compare_rates_markdown(&found, names);
            Ok(Compared { json: serde_json::to_string_pretty(&found)?, markdown, html: None })
        }
    }
}

/// Three or more runs, in pairs.
fn many(paths: &[PathBuf], damage: Damage, against: Option<Reference>) -> Result<Compared> {
    let mut runs = Vec::new();
    for path in paths {
        match side(path, damage)? {
            Side::Run(run) => runs.push(*run),
            Side::File(_) => {
                let text = format!("`{}` is of another harness", path.display());
                let hint = "its episodes cannot be paired: compare it with one run at a time";
                return Err(Refused::new(text).hint(hint).into());
            }
        }
    }
    let pairing = match against {
        Some(Reference::First) => Pairing::AgainstFirst,
        None => Pairing::Each,
    };
    let found = compare_many(&runs, pairing).map_err(|error| {
        let [a, b] = [error.a, error.b].map(|index| paths[index].display());
        let text = format!("`{a}` and `{b}` cannot be compared");
        Refused::new(text).because(error.source).hint(ONE_PROTOCOL)
    })?;
    let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    let markdown = compare_many_markdown(&found, &names);
    let json = serde_json::json!({ "runs": names, "pairs": found });
    Ok(Compared { json: serde_json::to_string_pretty(&json)?, markdown, html: None })
}

fn side(path: &Path, damage: Damage) -> Result<Side> {
    if !path.is_file() {
        return Ok(Side::Run(Box::new(run::read(path, damage)?)));
    }
    let damaged = || Refused::new(format!("`{}` holds no results", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| damaged().because(error))?;
    if text.contains("\"baseline_schema\"") {
        return Ok(Side::Run(Box::new(run::baseline(path, damage)?)));
    }
    let outcomes = Outcomes::from_json(&text).map_err(|error| {
        damaged().because(error).hint(
            "name a run directory, a baseline, `eval_info.json` of lerobot-eval, or an aggregate \
             of vla-eval",
        )
    })?;
    Ok(Side::File(outcomes))
}

impl Side {
    fn outcomes(self) -> Outcomes {
        match self {
            Self::Run(run) => Outcomes::of(&run),
            Self::File(outcomes) => outcomes,
        }
    }
}
