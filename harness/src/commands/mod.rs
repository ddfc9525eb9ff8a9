//! One subcommand per file, and the table from subcommand to file.

pub mod action_table;
#[cfg(feature = "torch")]
mod assemble;
mod audit;
mod bench;
mod collect;
mod compare;
mod doctor;
mod dry_run;
mod estimate;
mod export;
mod files;
mod gate;
#[cfg(feature = "torch")]
mod imagine;
#[cfg(feature = "torch")]
mod inspect;
mod list;
mod merge;
mod names;
mod overview;
mod pages;
mod plots;
mod reading;
mod real;
mod replay;
mod report;
mod sample_size;
#[cfg(feature = "torch")]
mod serve;
mod setup;
mod slurm;
mod status;
mod tables;
#[cfg(feature = "torch")]
mod train;
mod view;

use std::path::{Path, PathBuf};

#[cfg(feature = "torch")]
use anyhow::bail;
use anyhow::{Context, Result};
use udvla_results::out::printable::printable;
use udvla_results::tables::format::plural;

#[cfg(feature = "torch")]
use crate::cli::MakeArguments;
use crate::cli::{
    self, BenchCommand, Cli, Command, DoctorCommand, ResumeArguments, RunCommand, TrackingArguments,
};
use crate::exit::{self, Exit};
#[cfg(feature = "torch")]
use crate::model::{self, ModelCode};
use crate::output;
use crate::plan::{Overrides, Plan};
use crate::real::plan::Session;
use crate::report::{Detail, Show, color};
use crate::run::{self, Ending, Evaluated};
use crate::tracker::Tracker;

/// Does what was typed.
///
/// # Errors
/// [`crate::exit::Refused`] for what cannot work as asked, anything else for faults.
pub fn run(cli: Cli) -> Result<Exit> {
    let show = shown(&cli);
    match cli.command {
        Command::Run(command) => evaluate(&command, show),
        Command::Real(arguments) => real::run(&arguments, show),
        Command::Resume(arguments) => resume(arguments, show),
        Command::Report(arguments) => report::report(&arguments, show),
        Command::View(arguments) => view::run(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Slurm(arguments) => slurm::run(&arguments),
        Command::Merge(arguments) => merge::run(&arguments, show),
        Command::Tables(arguments) => tables::run(&arguments),
        Command::Plots(arguments) => plots::run(&arguments),
        Command::Audit(arguments) => audit::run(&arguments),
        Command::Compare(arguments) => compare::run(&arguments),
        Command::Export(arguments) => export::run(&arguments),
        Command::Gate(arguments) => gate::run(&arguments),
        Command::Replay(arguments) => replay::run(&arguments),
        Command::Plan(arguments) => sample_size::run(&arguments),
        Command::List { benchmark } => list::run(benchmark.as_deref()),
        Command::Doctor(DoctorCommand::Overview(arguments)) => overview::run(&arguments),
        Command::Doctor(DoctorCommand::Simulator(command)) => doctor::run(&command),
        Command::Setup(arguments) => setup::run(&arguments),
        #[cfg(feature = "torch")]
        Command::Serve(_)
        | Command::Imagine(_)
        | Command::Inspect(_)
        | Command::Bench { what: BenchCommand::Decode(_) }
        | Command::MakeCheckpoint(_)
        | Command::Train(_)
        | Command::AssembleCheckpoint(_) => {
            model::code()?;
            bail!("a command of the model is not for this program")
        }
        Command::Collect { what } => collect::run(&what, show),
        Command::Bench { what: BenchCommand::Sims(arguments) } => bench::sims(&arguments),
        Command::Bench { what: BenchCommand::Pipeline(arguments) } => bench::pipeline(&arguments),
        Command::Completions { shell } => pages::completions(shell),
        Command::Man { directory } => pages::man(&directory),
        Command::Reference => pages::reference(),
    }
}

/// What is shown of how far a command is.
fn shown(cli: &Cli) -> Show {
    let detail = if cli.verbose { Detail::Episodes } else { Detail::Totals };
    Show::choose(cli.quiet, cli.no_progress, detail)
}

/// The functions that need libtorch.
#[cfg(feature = "torch")]
pub const MODEL_CODE: ModelCode = ModelCode {
    check: crate::preflight::model::check,
    open: crate::policy::udvla,
    describe: dry_run::model,
    facts: overview::facts,
};

/// Does what was typed, in the program with the model.
///
/// # Errors
/// As [`run()`].
#[cfg(feature = "torch")]
pub fn run_with_model(cli: Cli) -> Result<Exit> {
    let show = shown(&cli);
    match cli.command {
        Command::Bench { what: BenchCommand::Decode(arguments) } => bench::decode(&arguments),
        Command::Serve(arguments) => serve::run(&arguments, cli.quiet),
        Command::Imagine(arguments) => imagine::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::MakeCheckpoint(arguments) => make_checkpoint(&arguments),
        Command::AssembleCheckpoint(arguments) => assemble::run(&arguments),
        Command::Train(arguments) => train::run(&arguments, show),
        _ => run(cli),
    }
}

/// Runs a benchmark, or prints its plan.
fn evaluate(command: &RunCommand, show: Show) -> Result<Exit> {
    let plan = cli::plan_of_command(command)?;
    if command.run.dry_run {
        Tracker::check(&command.run.tracking)?;
        return dry_run::run(&plan);
    }
    play(&plan, show, exit::typed(), &command.run.tracking)
}

/// Continues a run from what its directory stores.
fn resume(arguments: ResumeArguments, show: Show) -> Result<Exit> {
    #[cfg(feature = "torch")]
    if model::is_of_run(&arguments.directory) {
        model::code()?;
    }
    let damage = arguments.reading.damage();
    if let Some(session) = Session::stored(&arguments.directory)? {
        session.distrust(reading::trust(arguments.trust))?;
        let take_over = arguments.take_over.into();
        return real::play(&session, arguments.page, show, damage, take_over);
    }
    let manifest = reading::noted(&arguments.directory, damage)?.manifest;
    let directory = absolute(&arguments.directory)?;
    let overrides = Overrides {
        workers: arguments.workers,
        max_batch: arguments.max_batch,
        devices: arguments.device,
        checkpoint: arguments.checkpoint.as_deref().map(folder_of_checkpoint).transpose()?,
        data: arguments.data,
        python: arguments.python,
        retries: arguments.retries,
        step_timeout: arguments.step_timeout,
        start_timeout: arguments.start_timeout,
        recycle: arguments.recycle,
        worker_memory: arguments.worker_memory,
        video: arguments.video,
        trust: reading::trust(arguments.trust),
        damage,
        trials: arguments.trials,
        take_over: arguments.take_over.into(),
    };
    let plan = cli::plan_of_run(&manifest, directory, &overrides)?;
    play(&plan, show, manifest.command, &arguments.tracking)
}

/// Plays a plan, writes tables and plots, sends them to a tracker, and says how to go on.
fn play(
    plan: &Plan,
    show: Show,
    command: Vec<String>,
    tracking: &TrackingArguments,
) -> Result<Exit> {
    // Without the thread a stopped terminal delays the run, but loses nothing.
    let _ = output::never_block();
    let tracker = Tracker::start(tracking, &plan.directory)?;
    let ending = play_and_report(plan, show, command);
    if let Some(tracker) = tracker {
        tracker.finish();
    }
    let ending = ending?;
    explain(&ending, plan);
    Ok(ending.exit())
}

fn play_and_report(plan: &Plan, show: Show, command: Vec<String>) -> Result<Ending> {
    Ok(match run::evaluate(plan, show, command)? {
        Evaluated::NotStarted(ending) => ending,
        Evaluated::Played(ending) => {
            report::run(&plan.directory, plan.damage, show)?;
            ending
        }
    })
}

/// Says why a run is not complete, and how to go on.
fn explain(ending: &Ending, plan: &Plan) {
    let directory = plan.directory.display();
    match ending {
        Ending::GaveUp(reason) => eprintln!("error: {}", printable(&reason.to_string())),
        Ending::Partial { missing } => eprintln!(
            "note: `{directory}` was asked for more before: {} without a record",
            plural(*missing, "episode")
        ),
        _ => {}
    }
    match ending {
        Ending::Complete => {}
        Ending::StoppedEarly => eprintln!(
            "\n{} the same command with `--out {directory}` and without `--stop-early` plays the rest",
            color::label("hint:")
        ),
        _ => {
            let trust = if plan.needs_trust() { " --trust" } else { "" };
            eprintln!("\n{} udvla-eval resume {directory}{trust}", color::label("hint:"));
        }
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    path.canonicalize().with_context(|| format!("cannot open `{}`", path.display()))
}

#[cfg(feature = "torch")]
fn folder_of_checkpoint(given: &Path) -> Result<PathBuf> {
    absolute(&crate::hub::folder(given, &crate::hub::CHECKPOINT)?)
}

#[cfg(not(feature = "torch"))]
fn folder_of_checkpoint(given: &Path) -> Result<PathBuf> {
    absolute(given)
}

#[cfg(feature = "torch")]
fn make_checkpoint(arguments: &MakeArguments) -> Result<Exit> {
    let MakeArguments { preset, seed, target, directory } = arguments;
    udvla_policies::udvla::make_checkpoint(preset, *seed, *target, directory)
        .map_err(|error| crate::exit::Refused::new(error.to_string()))?;
    eprintln!("wrote {}", directory.display());
    Ok(Exit::Complete)
}
