//! Flags of the commands that read finished runs.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use udvla_results::run::damage::Damage;

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
    /// The run directory
    pub directory: PathBuf,
    /// How the directories are read.
    #[command(flatten)]
    pub reading: ReadArguments,
}

/// Arguments of `tables`.
#[derive(Debug, Args)]
pub struct TablesArguments {
    /// Run directories; those of one benchmark are pooled
    #[arg(required = true)]
    pub runs: Vec<PathBuf>,
    /// Run directory of a variant (attention, target, decoding): a row of its own in Tables 5 to 7
    #[arg(long, value_name = "RUN")]
    pub variant: Vec<PathBuf>,
    /// What to print
    #[arg(long, value_enum, default_value_t = TableFormat::Markdown)]
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
    /// Run directories; parts of one run are pooled
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
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
    /// For reading
    Markdown,
    /// A line per number
    Csv,
    /// A document; needs booktabs
    Latex,
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
    /// A: a run directory, a baseline, lerobot's `eval_info.json` or an aggregate of vla-eval
    pub a: PathBuf,
    /// B: the same; two runs are compared episode by episode, anything else suite by suite
    pub b: PathBuf,
    /// What to print
    #[arg(long, value_enum, default_value_t = CompareFormat::Markdown)]
    pub format: CompareFormat,
    /// Also write the comparison as one HTML file
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// How the directories are read.
    #[command(flatten)]
    pub reading: ReadArguments,
}

/// How a comparison is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CompareFormat {
    /// For reading
    Markdown,
    /// Numbers and flips
    Json,
}

/// Arguments of `export`.
#[derive(Debug, Args)]
pub struct ExportArguments {
    /// The run directory
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
    /// The run directory
    pub run: PathBuf,
    /// Run directory, or a file that `--save-baseline` wrote
    #[arg(long, value_name = "RUN|FILE", required_unless_present_any = ["against", "save_baseline"])]
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
    /// The run directory
    pub run: PathBuf,
    /// Episodes such as long-task03-trial017 [default: all with stored actions]
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
    #[arg(long, value_name = "RUN")]
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
