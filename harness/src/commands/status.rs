//! `status`: how far runs are, alone and together, and what to type next.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;
use udvla_results::out::printable::printable_line;
use udvla_results::out::render::plain;
use udvla_results::run::differences;
use udvla_results::run::manifest::{Manifest, RunStatus};
use udvla_results::run::part;
use udvla_results::run::read::Run;
use udvla_results::tables::counts::Counts;
use udvla_results::tables::format::plural;

use super::estimate::seconds_per_episode;
use super::reading::runs_below;
use crate::cli::StatusArguments;
use crate::exit::{self, Exit, Refused};
use crate::run::is_in_use;

/// One run directory.
#[derive(Debug, Serialize)]
struct Line {
    directory: PathBuf,
    /// `part 3/16`; empty for a whole run.
    parts: String,
    state: State,
    /// Why it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
    asked: u32,
    ok: u32,
    errors: u32,
    open: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    episodes_per_minute: Option<f64>,
    /// While it is being played.
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds_left: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    /// The command that continues it.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    #[serde(skip)]
    run: Option<Run>,
}

/// What a run directory is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    /// A process plays it.
    Running,
    /// A process plays it, or is about to; it has no manifest yet.
    Starting,
    /// Nothing is left to do.
    Complete,
    /// Nothing is left to do; some episodes could not be run.
    CompleteWithErrors,
    /// It was stopped early, as asked for.
    StoppedEarly,
    /// The user or a scheduler stopped it.
    Interrupted,
    /// It stopped after repeated failures.
    GaveUp,
    /// Its process died without a trace.
    Killed,
    /// It cannot be read.
    Unreadable,
}

impl State {
    fn of(manifest: &Manifest, in_use: bool) -> Self {
        match manifest.status {
            _ if in_use => Self::Running,
            RunStatus::Running => Self::Killed,
            RunStatus::Complete => Self::Complete,
            RunStatus::CompleteWithErrors => Self::CompleteWithErrors,
            RunStatus::StoppedEarly => Self::StoppedEarly,
            RunStatus::Interrupted => Self::Interrupted,
            RunStatus::GaveUp => Self::GaveUp,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Starting => "starting",
            Self::Complete => "complete",
            Self::CompleteWithErrors => "complete, with errors",
            Self::StoppedEarly => "stopped early",
            Self::Interrupted => "interrupted",
            Self::GaveUp => "gave up",
            Self::Killed => "killed",
            Self::Unreadable => "unreadable",
        }
    }
}

/// Several parts of one run.
#[derive(Debug, Serialize)]
struct Together {
    /// The parts, where they are not all of the run.
    parts: String,
    asked: u32,
    ok: u32,
    errors: u32,
    open: u32,
    /// Until the last of the parts that are being played ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds_left: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Debug, Serialize)]
struct Report {
    runs: Vec<Line>,
    together: Vec<Together>,
}

/// Prints a line per run, and one for runs that are parts of one.
///
/// # Errors
/// [`Refused`] when no run is there.
pub fn run(arguments: &StatusArguments) -> Result<Exit> {
    let mut directories: Vec<PathBuf> = arguments.runs.iter().flat_map(|one| below(one)).collect();
    directories.dedup();
    if directories.is_empty() {
        let names: Vec<_> =
            arguments.runs.iter().map(|run| format!("`{}`", run.display())).collect();
        return Err(Refused::new(format!("there is no run in {}", names.join(", ")))
            .hint("name run directories, or folders with run directories")
            .into());
    }
    let runs: Vec<Line> = directories.into_iter().map(line).collect();
    let together = together(&runs);
    let report = Report { runs, together };
    match arguments.json {
        true => println!("{}", serde_json::to_string_pretty(&report)?),
        false => print!("{}", text(&report)),
    }
    Ok(Exit::Complete)
}

/// The run directories at or below a path; the path itself where there is none, for its fault.
fn below(path: &Path) -> Vec<PathBuf> {
    let found = runs_below(path);
    // A run that has no manifest yet has a lock.
    if found.is_empty() && path.join("lock").exists() { vec![path.to_owned()] } else { found }
}

fn line(directory: PathBuf) -> Line {
    let asked = is_in_use(&directory);
    let in_use = *asked.as_ref().unwrap_or(&false);
    let mut line = Line {
        parts: String::new(),
        state: if in_use { State::Starting } else { State::Unreadable },
        fault: None,
        asked: 0,
        ok: 0,
        errors: 0,
        open: 0,
        episodes_per_minute: None,
        seconds_left: None,
        host: None,
        next: None,
        run: None,
        directory,
    };
    match (asked, Run::read(&line.directory)) {
        (Err(error), _) => line.fault = Some(exit::texts(&error).0),
        (_, Err(error)) if !in_use => line.fault = Some(exit::texts(&error.into()).0),
        (_, Err(_)) => {}
        (_, Ok(run)) => line.fill(run, in_use),
    }
    line
}

impl Line {
    fn fill(&mut self, run: Run, in_use: bool) {
        let Counts { asked, ok, errors, missing, .. } = Counts::of_run(&run);
        self.parts = part::names(&run.manifest.parts);
        self.state = State::of(&run.manifest, in_use);
        (self.asked, self.ok, self.errors, self.open) = (asked, ok, errors, missing);
        let seconds = seconds_per_episode(&run).filter(|seconds| *seconds > 0.0);
        self.episodes_per_minute = seconds.map(|seconds| 60.0 / seconds);
        if self.state == State::Running {
            self.seconds_left = seconds.map(|seconds| seconds * f64::from(missing));
        }
        self.host = run.manifest.machine.get("host").cloned();
        let goes_on = [State::Interrupted, State::GaveUp, State::Killed].contains(&self.state);
        if goes_on || self.state == State::CompleteWithErrors {
            self.next = Some(format!("udvla-eval resume {}", shown(&self.directory)));
        }
        self.run = Some(run);
    }
}

/// Groups of two and more runs that are parts of one.
fn together(lines: &[Line]) -> Vec<Together> {
    let mut groups: Vec<Vec<&Line>> = Vec::new();
    for line in lines.iter().filter(|line| !line.parts.is_empty()) {
        let Some(run) = &line.run else { continue };
        let same = |group: &&mut Vec<&Line>| {
            let first = group[0].run.as_ref().expect("only lines with a run are grouped");
            differences::all(&first.manifest, &run.manifest, "other").is_empty()
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(line),
            None => groups.push(vec![line]),
        }
    }
    groups.into_iter().filter(|group| group.len() > 1).map(|group| of_group(&group)).collect()
}

fn of_group(lines: &[&Line]) -> Together {
    let manifests = lines.iter().filter_map(|line| Some(&line.run.as_ref()?.manifest));
    let parts = manifests.map(|manifest| manifest.parts.clone());
    let parts = parts.reduce(|one, other| part::together(&one, &other)).unwrap_or_default();
    let sum = |number: fn(&Line) -> u32| lines.iter().map(|line| number(line)).sum::<u32>();
    let open = sum(|line| line.open);
    let paths: Vec<String> = lines.iter().map(|line| shown(&line.directory)).collect();
    let is_over = lines.iter().all(|line| {
        matches!(line.state, State::Complete | State::CompleteWithErrors) && line.open == 0
    });
    let next =
        (is_over && parts.is_empty()).then(|| format!("udvla-eval merge OUT {}", paths.join(" ")));
    Together {
        parts: part::names(&parts),
        asked: sum(|line| line.asked),
        ok: sum(|line| line.ok),
        errors: sum(|line| line.errors),
        open,
        seconds_left: lines.iter().filter_map(|line| line.seconds_left).reduce(f64::max),
        next,
    }
}

fn shown(directory: &Path) -> String {
    let text = directory.display().to_string();
    shlex::try_quote(&text).map_or(text.clone(), |quoted| quoted.into_owned())
}

fn text(report: &Report) -> String {
    let mut page = String::from(
        "| run | part | state | done | errors | open | per minute | left | host |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for line in &report.runs {
        let cells = [
            line.directory.display().to_string(),
            line.parts.trim_start_matches("part ").trim_start_matches("parts ").to_owned(),
            line.state.word().to_owned(),
            format!("{} of {}", line.ok, line.asked),
            line.errors.to_string(),
            line.open.to_string(),
            line.episodes_per_minute.map_or(String::new(), |rate| format!("{rate:.2}")),
            line.seconds_left.map_or(String::new(), duration),
            line.host.clone().unwrap_or_default(),
        ];
        page += &format!("| {} |\n", cells.map(|cell| cell.replace('|', "/")).join(" | "));
    }
    let mut text = plain(&page);
    for Together { parts, asked, ok, errors, open, seconds_left, next: _ } in &report.together {
        let whole = if parts.is_empty() { "all parts" } else { parts };
        text += &format!("\n{whole} together: {ok} of {asked} done");
        if *errors > 0 {
            text += &format!(", {}", plural(*errors, "error"));
        }
        if *open > 0 {
            text += &format!(", {open} open");
        }
        text += &seconds_left.map_or(String::new(), |left| format!(", {} left", duration(left)));
        text.push('\n');
    }
    for line in &report.runs {
        if let Some(fault) = &line.fault {
            text += &format!("\nerror: {}\n", printable_line(fault));
        }
    }
    let next = report.runs.iter().filter_map(|line| line.next.as_ref());
    let next: Vec<&String> =
        next.chain(report.together.iter().filter_map(|group| group.next.as_ref())).collect();
    if !next.is_empty() {
        text.push('\n');
    }
    for command in next {
        text += &format!("hint: {}\n", printable_line(command));
    }
    text
}

/// `45 s`, `12 min`, `3.4 h`.
fn duration(seconds: f64) -> String {
    match seconds {
        0.0..90.0 => format!("{seconds:.0} s"),
        90.0..5400.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}
