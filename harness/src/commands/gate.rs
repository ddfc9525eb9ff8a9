//! `gate`: pass, fail or inconclusive, as an exit code.

use anyhow::{Context, Result};
use udvla_results::compare::gate::{
    Baseline, Gate, GateError, against_baseline, against_paper, whole,
};
use udvla_results::out::render::{gate_junit, gate_markdown};
use udvla_results::paper::Paper;
use udvla_results::run::read::Run;
use udvla_results::statistics::margins::Decision;

use crate::cli::{Against, GateArguments};
use crate::exit::{Exit, Refused};
use crate::run;

/// Decides, and writes what was asked for.
///
/// # Errors
/// [`Refused`] when there can be no decision: partial runs, errors, other protocols.
pub fn run(arguments: &GateArguments) -> Result<Exit> {
    let run = super::reading::noted(&arguments.run, arguments.reading.damage())?;
    let gate = decide(arguments, &run)?;
    if let Some(path) = &arguments.save_baseline {
        whole(&run, "the run").map_err(refused)?;
        super::files::write_file(path, &Baseline::of(&run).to_text())
            .context("cannot write the baseline")?;
    }
    let Some(gate) = gate else { return Ok(Exit::Complete) };
    let page = gate_markdown(&gate);
    print!("{page}");
    if let Some(path) = &arguments.summary {
        super::files::write_file(path, &page).context("cannot write the summary")?;
    }
    if let Some(path) = &arguments.junit {
        super::files::write_file(path, &gate_junit(&gate))
            .context("cannot write the JUnit file")?;
    }
    Ok(match gate.decision {
        Decision::Pass => Exit::Complete,
        Decision::Fail => Exit::GateFailed,
        Decision::Inconclusive => Exit::GateInconclusive,
    })
}

/// `None` where only a baseline is to be written.
fn decide(arguments: &GateArguments, run: &Run) -> Result<Option<Gate>> {
    let gate = match (&arguments.baseline, arguments.against) {
        (Some(path), _) => {
            let baseline = run::baseline(path, arguments.reading.damage())?;
            against_baseline(run, &baseline, arguments.margin)
        }
        (None, Some(Against::Paper)) => against_paper(run, &Paper::bundled(), arguments.margin),
        (None, None) => return Ok(None),
    };
    Ok(Some(gate.map_err(refused)?))
}

fn refused(error: GateError) -> Refused {
    Refused::new("the gate cannot decide").because(error).hint(
        "a gate needs a whole run without errors, with the protocol and episodes of its baseline; \
         `udvla-eval resume DIR` completes a run",
    )
}
