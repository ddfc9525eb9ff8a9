//! Flags of trackers.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, builder::PossibleValue};

/// Where the results of a run are sent while they come.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Output")]
pub struct TrackingArguments {
    /// Send the results to a tracker while they come, through its own Python package
    ///
    /// A process of its own follows the run; whatever happens to it, the run goes on (docs/python.md).
    #[arg(long, value_name = "TRACKER", hide_short_help = true, value_parser = trackers())]
    pub track: Option<String>,
    /// Project of wandb or Trackio [default: udvla-eval]
    #[arg(long, value_name = "NAME", hide_short_help = true, requires = "track")]
    pub track_project: Option<String>,
    /// Folder for a tracker's files [default: RUN/tracking for TensorBoard, else the tracker's]
    #[arg(long, value_name = "DIR", hide_short_help = true, requires = "track")]
    pub track_dir: Option<PathBuf>,
    /// Python with the tracker's package [default: that of this program's environment, else python3]
    #[arg(
        long,
        env = "UDVLA_TRACK_PYTHON",
        hide_env_values = true,
        value_name = "PATH",
        hide_short_help = true
    )]
    pub track_python: Option<PathBuf>,
}

fn trackers() -> PossibleValuesParser {
    ["tensorboard", "trackio", "wandb"].map(PossibleValue::new).into()
}
