//! `compare`: two runs episode by episode, or suite by suite where one is another harness's file.

use std::path::Path;

use anyhow::Result;
use udvla_results::compare::imports::Outcomes;
use udvla_results::compare::pairs::compare;
use udvla_results::compare::rates::compare_rates;
use udvla_results::out::html::compare_page;
use udvla_results::out::plots::of_comparison;
use udvla_results::out::render::{compare_markdown, compare_rates_markdown};
use udvla_results::run::damage::Damage;
use udvla_results::run::read::Run;

use crate::cli::{CompareArguments, CompareFormat};
use crate::exit::{Exit, Refused};
use crate::run;

/// What can be compared.
enum Side {
    /// A run directory, or a baseline that was made of one.
    Run(Box<Run>),
    /// A file of another harness.
    File(Outcomes),
}

/// Prints the comparison.
///
/// # Errors
/// [`Refused`] when one of them holds no results, or they cannot be compared.
pub fn run(arguments: &CompareArguments) -> Result<Exit> {
    let names = [&arguments.a, &arguments.b].map(|path| path.display().to_string());
    let names = [names[0].as_str(), names[1].as_str()];
    let refused = || Refused::new(format!("`{}` and `{}` cannot be compared", names[0], names[1]));
    let damage = arguments.reading.damage();
    let (json, page) = match (side(&arguments.a, damage)?, side(&arguments.b, damage)?) {
        (Side::Run(a), Side::Run(b)) => {
            let found = compare(&a, &b).map_err(|error| {
                refused()
                    .because(error)
                    .hint("compare runs of one protocol; `udvla-eval list` names them")
            })?;
            if let Some(file) = &arguments.html {
                let plots = of_comparison(&found)?;
                super::files::write_file(file, &compare_page(&found, names, &plots))?;
            }
            (serde_json::to_string_pretty(&found)?, compare_markdown(&found, names))
        }
        _ if arguments.html.is_some() => {
            let text = "`--html` compares two runs episode by episode";
            let hint = "leave it out: another harness's file is compared suite by suite";
            return Err(Refused::new(text).hint(hint).into());
        }
        (a, b) => {
            let found = compare_rates(&a.outcomes(), &b.outcomes())
                .map_err(|error| refused().because(error))?;
            (serde_json::to_string_pretty(&found)?, compare_rates_markdown(&found, names))
        }
    };
    match arguments.format {
        CompareFormat::Json => println!("{json}"),
        CompareFormat::Markdown => print!("{page}"),
    }
    Ok(Exit::Complete)
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
