//! `plots`: several runs side by side.

use anyhow::Result;
use udvla_results::out::plots::{PlotError, of_runs};
use udvla_results::out::report::{ReportError, write_plots};
use udvla_results::paper::Paper;

use super::names;
use crate::cli::PlotsArguments;
use crate::exit::{Exit, Refused};

/// Writes the plots and says which ones these runs do not give.
///
/// # Errors
/// [`Refused`] when a directory is not a run, or the runs give no plot at all.
pub fn run(arguments: &PlotsArguments) -> Result<Exit> {
    let runs = udvla_results::run::merge::read_runs(&arguments.runs, arguments.reading.damage())
        .map_err(|error| {
            let refused = Refused::new("these run directories make no plots");
            refused.maybe_hint(error.hint()).because(error)
        })?;
    super::reading::say_notes(&runs);
    let names = names::of_runs(&arguments.name, &runs, names::Noun::Run)?;
    let (plots, without) = of_runs(&runs, &names, &Paper::bundled())
        .map_err(|error: PlotError| ReportError::from(error))?;
    for path in write_plots(&arguments.out, &plots)? {
        println!("wrote {}", path.display());
    }
    for plot in without {
        println!("skipped: {} (requires {})", plot.title, plot.takes);
    }
    Ok(Exit::Complete)
}
