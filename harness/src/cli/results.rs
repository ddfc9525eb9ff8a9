//! Flags of the commands that read finished runs.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use udvla_results::run::damage::Damage;

use super::runs_folder::run_path;

/// How run directories are read.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct ReadArguments {
    /// Leave out lines that no run wrote instead of refusing the run; every output says so
    #[arg(long)]
    accept_damaged: bool,
}

impl ReadArguments {
    /// What is done with a run directory that is not as its run wrote it.
    pub fn damage(self) -> Damage {
        if self.accept_damaged { Damage::Accept } else { Damage::Refuse }
    }
}

/// Arguments of `report`.
#[derive(Debug, Args)]
pub struct ReportArguments {
    /// The run directory, or the name of a run in `runs`
    #[arg(value_parser = run_path())]
    pub directory: PathBuf,
    /// How the directories are read.
    #[command(flatten)]
    pub reading: ReadArguments,
    /// Also write the page as one file, with its images, videos and actions inside
    #[arg(long, value_name = "FILE")]
    pub self_contained: Option<PathBuf>,
}

/// Arguments of `view`.
#[derive(Debug, Args)]
pub struct ViewArguments {
    /// Run directories, or folders of run directories
    #[arg(value_name = "DIR", default_value = "runs")]
    pub directories: Vec<PathBuf>,
    /// Port on 127.0.0.1; 0 takes a free one
    #[arg(long, value_name = "N", default_value_t = 8765)]
    pub port: u16,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
pub struct StatusArguments {
    /// Run directories, folders of run directories, or names of runs in `runs`
    #[arg(value_name = "RUN", default_value = "runs", value_parser = run_path())]
    pub runs: Vec<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `merge`.
#[derive(Debug, Args)]
pub struct MergeArguments {
    /// Run directory to write; it must not exist yet
    #[arg(value_name = "OUT")]
    pub out: PathBuf,
    /// The parts: run directories, or names of runs in `runs`
    #[arg(required = true, value_name = "RUN", value_parser = run_path())]
    pub runs: Vec<PathBuf>,
    /// Merge although some episodes have no record; the run stays open, and `resume` plays them
    #[arg(long)]
    pub allow_missing: bool,
}

/// Arguments of `tables`.
#[derive(Debug, Args)]
pub struct TablesArguments {
    /// Run directories, or names of runs in `runs`; parts of one run are pooled, runs with another
    /// protocol, subject or setting are rows of their own
    #[arg(required = true, value_name = "RUN", value_parser = run_path())]
    pub runs: Vec<PathBuf>,
    /// Run directory of a variant (attention, target, decoding): a row of its own in Tables 5 to 7
    #[arg(long, value_name = "RUN", value_parser = run_path())]
    pub variant: Vec<PathBuf>,
    /// Name of a row; repeat for every row, in the order of the runs [default: the checkpoint's]
    #[arg(long, value_name = "NAME")]
    pub name: Vec<String>,
    /// Print all tables of the paper, also those without a measured row
    #[arg(long)]
    pub all: bool,
    /// What to print
    #[arg(long, value_enum, default_value_t = TableFormat::Text)]
    pub format: TableFormat,
    /// Write all formats into this folder instead
    #[arg(short, long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// How the directories are read.
    #[command(flatten)]
    pub reading: ReadArguments,
}

/// Arguments of `plots`.
#[derive(Debug, Args)]
pub struct PlotsArguments {
    /// Run directories, or names of runs in `runs`; parts of one run are pooled
    #[arg(required = true, value_name = "RUN", value_parser = run_path())]
    pub runs: Vec<PathBuf>,
    /// Name of a run in legends and rows; repeat for every run, in their order [default: what
    /// distinguishes it]
    #[arg(long, value_name = "NAME")]
    pub name: Vec<String>,
    /// Write the plots into this folder
    #[arg(short, long, value_name = "DIR", default_value = "plots")]
    pub out: PathBuf,
    /// How the directories are read.
    #[command(flatten)]
    pub reading: ReadArguments,
}

/// How tables are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TableFormat {
    /// For a terminal
    Text,
    /// GitHub's tables
    Markdown,
    /// A line per number
    Csv,
    /// A fragment for `\\input`; its document loads booktabs and graphicx
    Latex,
    /// A whole document
    LatexDocument,
    /// Rows and cells
    Json,
}

/// Arguments of `audit`.
#[derive(Debug, Args)]
pub struct AuditArguments {
    /// Tables as CSV: `method`, then a column per rate; see docs/results.md for the other columns
    #[arg(required_unless_present = "paper")]
    pub files: Vec<PathBuf>,
    /// Audit the tables of the UD-VLA paper
    #[arg(long)]
    pub paper: bool,
    /// Exit with 6 when something is found
    #[arg(long)]
    pub strict: bool,
}

/// Arguments of `compare`.
#[derive(Debug, Args)]
pub struct CompareArguments {
    /// Two or more: run directories or names, baselines, lerobot's `eval_info.json` or aggregates of
    /// vla-eval; runs are compared episode by episode, other harnesses' files (two sides) suite by
    /// suite
    #[arg(required = true, num_args = 2.., value_name = "RUN", value_parser = run_path())]
    pub runs: Vec<PathBuf>,
    /// Compare the first run with every other one, instead of all pairs
    #[arg(long, value_enum)]
    pub against: Option<Reference>,
    /// What to print
    #[arg(long, value_enum, default_value_t = CompareFormat::Text)]
    pub format: CompareFormat,
    /// Also write the comparison as one HTML file
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// How the directories are read.
    #[command(flatten)]
    pub reading: ReadArguments,
}

/// Which of several runs the others are compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Reference {
    /// The first one
    First,
}

/// How a comparison is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CompareFormat {
    /// For a terminal
    Text,
    /// GitHub's Markdown
    Markdown,
    /// Numbers and flips
    Json,
}

/// Arguments of `export`.
#[derive(Debug, Args)]
pub struct ExportArguments {
    /// The run directory, or the name of a run in `runs`
    #[arg(value_parser = run_path())]
    pub run: PathBuf,
    /// What to write
    #[arg(long, value_enum)]
    pub format: ExportFormat,
    /// File to write [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// How the directories are read.
    #[command(flatten)]
    pub reading: ReadArguments,
}

/// Formats of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// `eval_info.json` of lerobot-eval; verdikt-eval and physim-gate read it
    Lerobot,
    /// The aggregate JSON of vla-eval
    VlaEval,
    /// A line per episode, including errors and missing ones
    Csv,
}

/// Arguments of `gate`.
#[derive(Debug, Args)]
pub struct GateArguments {
    /// The run directory, or the name of a run in `runs`
    #[arg(value_parser = run_path())]
    pub run: PathBuf,
    /// Run directory, or a file that `--save-baseline` wrote
    #[arg(long, value_name = "RUN|FILE", value_parser = run_path(), required_unless_present_any = ["against", "save_baseline"])]
    pub baseline: Option<PathBuf>,
    /// Published numbers to compare with
    #[arg(long, value_enum, conflicts_with = "baseline")]
    pub against: Option<Against>,
    /// Allowed loss, as a share of the scale
    #[arg(long, default_value_t = 0.02, value_parser = share)]
    pub margin: f64,
    /// Write the decision as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Also write the decision as Markdown
    #[arg(long, value_name = "FILE")]
    pub summary: Option<PathBuf>,
    /// Write the run as a baseline for later gates
    #[arg(long, value_name = "FILE")]
    pub save_baseline: Option<PathBuf>,
    /// How the directories are read.
    #[command(flatten)]
    pub reading: ReadArguments,
}

/// Published numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Against {
    /// The UD-VLA paper
    Paper,
}

/// Arguments of `replay`.
#[derive(Debug, Args)]
pub struct ReplayArguments {
    /// The run directory, or the name of a run in `runs`
    #[arg(value_parser = run_path())]
    pub run: PathBuf,
    /// Episodes: names such as long-task03-trial017, or numbers such as 17 or 0-4,7 in the run's
    /// order of suite, task and trial, from 0 [default: all with stored actions]
    #[arg(value_name = "EPISODE", value_delimiter = ',')]
    pub episodes: Vec<String>,
    /// Make videos of them in this folder
    #[arg(long, value_name = "DIR")]
    pub video: Option<PathBuf>,
    /// Start what the directory names: its interpreter, programs and folders with Python packages
    #[arg(long)]
    pub trust: bool,
    /// How the directories are read.
    #[command(flatten)]
    pub reading: ReadArguments,
}

/// Arguments of `plan`.
#[derive(Debug, Args)]
pub struct PlanArguments {
    /// Expected success rate; with `--other`, the first of the two rates compared
    #[arg(long, value_parser = share, required_unless_present = "deviation")]
    pub rate: Option<f64>,
    /// Half-width of the 95 % interval, as a share (with `--deviation`: in stages)
    #[arg(long, value_name = "WIDTH", value_parser = positive)]
    pub half_width: Option<f64>,
    /// Standard deviation of the completed stages, for an average length
    #[arg(long, value_parser = positive, requires = "half_width", conflicts_with_all = ["rate", "other"])]
    pub deviation: Option<f64>,
    /// Success rate of the other policy
    #[arg(long, value_parser = share, requires = "rate")]
    pub other: Option<f64>,
    /// Share of episodes on which the two policies differ, for a paired comparison
    #[arg(long, value_parser = share, requires = "other")]
    pub discordant: Option<f64>,
    /// Probability of finding the difference
    #[arg(long, default_value_t = 0.8, value_parser = share)]
    pub power: f64,
    /// Run directory whose speed gives the hours
    #[arg(long, value_name = "RUN", value_parser = run_path())]
    pub like: Option<PathBuf>,
    /// How the directories are read.
    #[command(flatten)]
    pub reading: ReadArguments,
}

fn share(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "expected a number")?;
    let is_valid = value > 0.0 && value < 1.0;
    is_valid.then_some(value).ok_or_else(|| "expected a share between 0 and 1, such as 0.95".into())
}

fn positive(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "expected a number")?;
    let is_valid = value > 0.0 && value.is_finite();
    is_valid.then_some(value).ok_or_else(|| "expected a number above 0".into())
}
