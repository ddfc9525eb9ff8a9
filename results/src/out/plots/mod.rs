//! Plots of runs as SVG and PNG, with the same bytes on every machine and every time.

mod axis;
mod bars;
mod canvas;
mod chain;
mod course;
mod denoising;
mod difference;
mod forest;
mod heading;
mod labels;
mod methods;
mod plot;
mod raster;
mod speed;
mod steps;
mod success;
mod throughput;

use std::collections::BTreeSet;

pub use course::{Course, course};
pub use difference::of_comparison;
pub use plot::{Plot, PlotError, Without};
pub use raster::png;
pub use success::success_by_task;

use crate::paper::Paper;
use crate::run::read::Run;
use labels::label_runs;

const CHAINS: &str = "Success by tasks in a row";
const BARS: &str = "Success by task, as bars";
const METHODS: &str = "Comparison with the paper's methods";

/// The plots of one run, as far as its records allow: success by task, tasks in a row, the
/// paper's methods, steps to success, episodes over time.
///
/// # Errors
/// If the drawing library fails.
pub fn of_run(run: &Run, paper: &Paper) -> Result<Vec<Plot>, PlotError> {
    let runs = label_runs(std::slice::from_ref(run), &[], paper);
    let run = &runs[0];
    let plot = |name: &str, title: &'static str, svg: Option<String>| {
        svg.map(|svg| Plot { name: name.into(), title, svg })
    };
    let plots = [
        plot("success-by-task", "Success by task", Some(success_by_task(&run.summary)?)),
        plot("bars", BARS, bars::bars(&runs[..])?),
        plot("in-a-row", CHAINS, chain::in_a_row(&runs, paper)?),
        plot("methods", METHODS, methods::methods(&runs, paper)?),
        plot("steps-to-success", "Control steps to success", steps::steps_to_success(run)?),
        plot("throughput", "Episodes over time", throughput::throughput(run)?),
    ];
    Ok(plots.into_iter().flatten().collect())
}

/// The plots of several runs side by side, by benchmark, and those that cannot be made. `names` are
/// those of the runs, in their order; a run without one is named by what distinguishes it.
///
/// # Errors
/// If the drawing library fails.
pub fn of_runs(
    runs: &[Run],
    names: &[Option<String>],
    paper: &Paper,
) -> Result<(Vec<Plot>, Vec<Without>), PlotError> {
    let (mut plots, mut without) = (Vec::new(), Vec::new());
    let benchmark = |run: &Run| run.manifest.protocol.benchmark.clone();
    for name in runs.iter().map(benchmark).collect::<BTreeSet<String>>() {
        let names = names.iter().cloned().chain(std::iter::repeat(None));
        let (of_one, names): (Vec<Run>, Vec<Option<String>>) = runs
            .iter()
            .zip(names)
            .filter(|(run, _)| benchmark(run) == name)
            .map(|(run, name)| (run.clone(), name))
            .unzip();
        let runs = label_runs(&of_one, &names, paper);
        let drawn = [
            ("bars", BARS, bars::bars(&runs)?, "runs of `real`"),
            ("methods", METHODS, methods::methods(&runs, paper)?, "a benchmark of the paper"),
            ("in-a-row", CHAINS, chain::in_a_row(&runs, paper)?, "episodes of several stages"),
            (
                "decoding-speed",
                "Decoding: speed and average length",
                speed::decoding_speed(&runs, paper)?,
                "a CALVIN run of `udvla`: its average length and its seconds in the policy",
            ),
            (
                "denoising-steps",
                "Success by denoising steps",
                denoising::denoising_steps(&runs)?,
                "runs with different `--denoise-steps`",
            ),
        ];
        for (kind, title, svg, takes) in drawn {
            match svg {
                Some(svg) => plots.push(Plot { name: format!("{name}-{kind}"), title, svg }),
                None => without.push(Without { title, takes }),
            }
        }
    }
    Ok((plots, without))
}
