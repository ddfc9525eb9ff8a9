//! Plots of runs, as SVG and as PNG; the same bytes on every machine and every time.

mod axis;
mod canvas;
mod chain;
mod denoising;
mod difference;
mod draw;
mod forest;
mod heading;
mod methods;
mod named;
mod raster;
mod speed;
mod steps;
mod throughput;

use std::collections::BTreeSet;

pub use difference::of_comparison;
pub use draw::success_by_task;
pub use raster::png;

use crate::paper::Paper;
use crate::read::Run;
use named::{Named, caption, named};

/// A plot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plot {
    /// Its name, for a file.
    pub name: String,
    /// What it shows, in words.
    pub title: &'static str,
    /// The picture.
    pub svg: String,
}

/// A plot that the runs at hand do not give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Without {
    /// What it would show.
    pub title: &'static str,
    /// What it takes.
    pub takes: &'static str,
}

/// Why a plot cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PlotError {
    /// The drawing failed.
    #[error("cannot draw the plot: {reason}")]
    Draw {
        /// What the drawing library said; its own error cannot outlive the drawing.
        reason: String,
    },
    /// The SVG is none, or refers to what it does not hold.
    #[error("cannot read the plot's svg")]
    Svg(#[from] resvg::usvg::Error),
    /// The picture would have no or far too many pixels.
    #[error("the plot has no usable size: {width} x {height} pixels")]
    Size {
        /// Its width.
        width: u32,
        /// Its height.
        height: u32,
    },
    /// The picture could not be encoded.
    #[error("cannot encode the plot as png: {reason}")]
    Encode {
        /// What the encoder said.
        reason: String,
    },
}

const CHAINS: &str = "Success by tasks in a row";
const METHODS: &str = "Beside the paper's methods";

/// The plots of one run that its records give: success by task, tasks in a row, the paper's
/// methods, steps to success, episodes over time.
///
/// # Errors
/// If the drawing library fails.
pub fn of_run(run: &Run, paper: &Paper) -> Result<Vec<Plot>, PlotError> {
    let runs = named(std::slice::from_ref(run), paper);
    let one = &runs[0];
    let plot = |name: &str, title: &'static str, svg: Option<String>| {
        svg.map(|svg| Plot { name: name.into(), title, svg })
    };
    let plots = [
        plot("success-by-task", "Success by task", Some(success_by_task(&one.summary)?)),
        plot("in-a-row", CHAINS, chain::in_a_row(&runs, paper)?),
        plot("methods", METHODS, methods::methods(&runs, paper)?),
        plot("steps-to-success", "Control steps to success", steps::steps_to_success(one)?),
        plot("throughput", "Episodes over time", throughput::throughput(one)?),
    ];
    Ok(plots.into_iter().flatten().collect())
}

/// The plots of several runs side by side, benchmark by benchmark, and what is left out.
///
/// # Errors
/// If the drawing library fails.
pub fn of_runs(runs: &[Run], paper: &Paper) -> Result<(Vec<Plot>, Vec<Without>), PlotError> {
    let (mut plots, mut without) = (Vec::new(), Vec::new());
    let benchmarks: BTreeSet<&str> =
        runs.iter().map(|run| run.manifest.protocol.benchmark.as_str()).collect();
    for benchmark in benchmarks {
        let of_one = runs.iter().filter(|run| run.manifest.protocol.benchmark == benchmark);
        let runs: Vec<Run> = of_one.cloned().collect();
        let runs = named(&runs, paper);
        let speed = "a CALVIN run of `udvla`: its average length and its seconds in the policy";
        let drawn = [
            ("methods", METHODS, methods::methods(&runs, paper)?, "a benchmark of the paper"),
            ("in-a-row", CHAINS, chain::in_a_row(&runs, paper)?, "episodes of several stages"),
            (
                "decoding-speed",
                "Decoding: speed and average length",
                speed::decoding_speed(&runs, paper)?,
                speed,
            ),
            (
                "denoising-steps",
                "Success by denoising steps",
                denoising::denoising_steps(&runs)?,
                "runs with different `--denoise-steps`",
            ),
        ];
        for (name, title, svg, takes) in drawn {
            match svg {
                Some(svg) => plots.push(Plot { name: format!("{benchmark}-{name}"), title, svg }),
                None => without.push(Without { title, takes }),
            }
        }
    }
    Ok((plots, without))
}
