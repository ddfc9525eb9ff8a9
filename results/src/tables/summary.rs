//! A run in numbers: what every table, plot and page prints.

use udvla_sims::identity::{Setting, Subject};
use udvla_sims::protocol::Suite;

use super::counts::Counts;
use super::protocol_label::protocol_label;
use super::subtasks::{SubtaskSummary, by_subtask};
use super::verdict::{MeasuredNumber, PaperComparison, correct, incomparable, withheld};
use crate::paper::{Paper, PaperTable};
use crate::run::benchmarks::OtherRule;
use crate::run::manifest::{EarlyStop, Manifest, PlannedTask, PublishedRow, RunStatus};
use crate::run::read::Run;
use crate::run::record::{EpisodeRecord, Status};
use crate::statistics::{Estimate, Length, Rate, average_length, suites_mean};

/// A run in numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The run's name.
    pub run: String,
    /// The name that the user gave it, for rows and curves.
    pub name: Option<String>,
    /// Name of the checkpoint's folder, where the run has one.
    pub checkpoint_name: Option<String>,
    /// The benchmark, as in the protocol.
    pub benchmark: String,
    /// Protocol name, version and the start of its fingerprint.
    pub protocol: String,
    /// What was tested.
    pub subject: Subject,
    /// Devices, renderer, assets, versions.
    pub setting: Setting,
    /// Why the numbers are not comparable to any others, for example `stand-in assets`.
    pub incomparable: Option<String>,
    /// How far the run got.
    pub status: RunStatus,
    /// Why it stopped early, if it did.
    pub stopped_early: Option<String>,
    /// The published row that the user compares the run with, instead of UD-VLA's.
    pub published: Option<PublishedRow>,
    /// Its episodes.
    pub counts: Counts,
    /// The suites in the plan's order.
    pub suites: Vec<SuiteSummary>,
    /// The mean over the suites, where there are several.
    pub average: Option<AverageSummary>,
    /// The line of the records that a crash cut short.
    pub torn_line: Option<usize>,
    /// What else must be said of the run, see [`Run::notes`].
    pub notes: Vec<String>,
}

/// One suite.
#[derive(Debug, Clone, PartialEq)]
pub struct SuiteSummary {
    /// Suite name.
    pub name: String,
    /// Stages per episode.
    pub stages: u16,
    /// Its episodes.
    pub counts: Counts,
    /// Success rate, pooled over its tasks.
    pub rate: Rate,
    /// The other success rule and the rate by it, where records tell the two apart.
    pub other_rule: Option<(OtherRule, Rate)>,
    /// Mean steps of the successful episodes.
    pub steps: Option<f64>,
    /// What only episodes of several stages have.
    pub chain: Option<Chain>,
    /// Its tasks in order.
    pub tasks: Vec<TaskSummary>,
    /// The comparison with the paper: of the success rate, or of the average length of chains.
    pub paper: Option<PaperComparison>,
    /// Why the paper's number is left out: the run has only some of the suite's tasks.
    pub partial: Option<String>,
}

/// Episodes of several stages.
#[derive(Debug, Clone, PartialEq)]
pub struct Chain {
    /// The share of episodes with at least 1, 2, … stages.
    pub in_a_row: Vec<Rate>,
    /// The paper's shares, where it has them.
    pub paper: Vec<Option<f64>>,
    /// Mean number of stages.
    pub length: Length,
    /// The sub-tasks by kind, where the protocol has a list of chains.
    pub subtasks: Vec<SubtaskSummary>,
}

/// One task.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskSummary {
    /// Task index.
    pub task: u16,
    /// Its instruction.
    pub instruction: String,
    /// Its episodes.
    pub counts: Counts,
    /// Success rate.
    pub rate: Rate,
    /// Success rate by the other rule, where records tell the two apart.
    pub other_rule: Option<Rate>,
    /// Mean stages completed.
    pub length: Length,
    /// Mean steps of the successful episodes.
    pub steps: Option<f64>,
    /// Mean policy calls of the episodes that ran to their end.
    pub calls: Option<f64>,
    /// The paper's success rate, where it has one for the task.
    pub paper: Option<f64>,
}

/// The mean over the suites.
#[derive(Debug, Clone, PartialEq)]
pub struct AverageSummary {
    /// Number of suites.
    pub suites: usize,
    /// Mean rate, each suite weighted equally; `None` where one of them has no episode.
    pub estimate: Option<Estimate>,
    /// Successes and episodes of all suites together.
    pub rate: Rate,
    /// All episodes.
    pub counts: Counts,
    /// The comparison with the paper's average.
    pub paper: Option<PaperComparison>,
    /// Why the paper's average is not set beside it: it is the mean of other suites or tasks.
    pub partial: Option<String>,
}

impl Summary {
    /// The numbers of `run` next to those of `paper`.
    pub fn new(run: &Run, paper: &Paper) -> Self {
        let manifest = &run.manifest;
        let table = paper.table(&manifest.protocol.benchmark);
        let named = manifest.published.as_ref().zip(table);
        let named = named.map(|(row, table)| table.compared_with(row));
        let table = named.as_ref().or(table);
        let mut suites: Vec<_> =
            manifest.suites().into_iter().map(|name| suite(run, name, table)).collect();
        correct(suites.iter_mut().filter_map(|suite| suite.paper.as_mut()));
        let counts = suites.iter().map(|suite| suite.counts).sum();
        let average = (suites.len() > 1).then(|| average(manifest, &suites, counts, table));
        Self {
            run: manifest.run.clone(),
            name: None,
            checkpoint_name: manifest.checkpoint_name(),
            benchmark: manifest.protocol.benchmark.clone(),
            protocol: protocol_label(manifest),
            subject: manifest.subject.clone(),
            setting: manifest.setting.clone(),
            incomparable: incomparable(manifest),
            status: manifest.status,
            stopped_early: manifest.stopped_early.as_ref().map(EarlyStop::reason),
            published: manifest.published.clone(),
            counts,
            suites,
            average,
            torn_line: run.torn_line,
            notes: run.notes.clone(),
        }
    }

    /// The same under a name of the user's.
    #[must_use]
    pub fn named(self, name: Option<String>) -> Self {
        Self { name, ..self }
    }

    /// The first suite whose episodes have several stages, with its chain.
    pub fn chained(&self) -> Option<(&SuiteSummary, &Chain)> {
        self.suites.iter().find_map(|suite| Some((suite, suite.chain.as_ref()?)))
    }
}

fn suite(run: &Run, name: &str, table: Option<&PaperTable>) -> SuiteSummary {
    let mut planned: Vec<_> = run.manifest.plan.iter().filter(|task| task.suite == name).collect();
    planned.sort_by_key(|task| task.task);
    let tasks: Vec<_> = planned.iter().map(|planned| task(run, planned, table)).collect();
    let records: Vec<_> = run.records.values().filter(|record| record.suite == name).collect();
    let stages = planned.iter().map(|task| task.stages).max().unwrap_or(1);
    let protocol = run.manifest.protocol.suite(name);
    let mut summary = SuiteSummary {
        name: name.to_owned(),
        stages,
        counts: tasks.iter().map(|task| task.counts).sum(),
        rate: rate(&records),
        other_rule: OtherRule::of(&run.manifest).rate(&records),
        steps: mean_steps(&records),
        chain: (stages > 1).then(|| Chain {
            subtasks: protocol.map_or_else(Vec::new, |suite| by_subtask(suite, &records)),
            ..chain(&records, name, stages, table)
        }),
        partial: protocol.and_then(|suite| partial(suite, &tasks)),
        tasks,
        paper: None,
    };
    if summary.partial.is_none() {
        summary.paper = table.and_then(|table| suite_paper(&run.manifest, &summary, table));
    } else if let Some(chain) = &mut summary.chain {
        chain.paper.fill(None);
    }
    summary
}

/// `only tasks 0, 3 and 4 of 10` for a part of a suite.
fn partial(suite: &Suite, tasks: &[TaskSummary]) -> Option<String> {
    let names: Vec<String> = tasks.iter().map(|task| task.task.to_string()).collect();
    let named = match names.as_slice() {
        [front @ .., last] if !front.is_empty() => format!("tasks {} and {last}", front.join(", ")),
        names => format!("task {}", names.concat()),
    };
    (names.len() < suite.tasks.len()).then(|| format!("only {named} of {}", suite.tasks.len()))
}

fn suite_paper(
    manifest: &Manifest,
    suite: &SuiteSummary,
    table: &PaperTable,
) -> Option<PaperComparison> {
    let (published, estimate) = match &suite.chain {
        Some(chain) => (table.average_length(&suite.name, suite.stages)?, chain.length.estimate),
        None => (table.suite(&suite.name)?, suite.rate.estimate),
    };
    let protocol = manifest.protocol.suite(&suite.name);
    let planned =
        protocol.map_or(0, |protocol| protocol.tasks.len() as u32 * u32::from(protocol.trials));
    let measured = MeasuredNumber {
        estimate,
        successes: suite.chain.is_none().then_some(suite.rate.successes),
        scale: f64::from(suite.stages),
        n: suite.counts.ok,
        needed: planned.min(published.n),
        errors: suite.counts.errors,
        missing: suite.counts.missing,
    };
    Some(measured.compare(published, withheld(manifest, table)))
}

fn chain(
    records: &[&EpisodeRecord],
    suite: &str,
    stages: u16,
    table: Option<&PaperTable>,
) -> Chain {
    let lengths = lengths(records);
    let errors = (records.len() - lengths.len()) as u32;
    let reached = |least: u16| lengths.iter().filter(|&&length| length >= least).count() as u32;
    let n = lengths.len() as u32;
    let published = |least| Some(table?.in_a_row(suite, least)?.estimate.value);
    Chain {
        in_a_row: (1..=stages).map(|least| Rate::new(reached(least), n, errors)).collect(),
        paper: (1..=stages).map(published).collect(),
        length: average_length(&lengths, stages, errors),
        subtasks: Vec::new(),
    }
}

fn task(run: &Run, planned: &PlannedTask, table: Option<&PaperTable>) -> TaskSummary {
    let records: Vec<_> = run.records_of(planned).collect();
    let counts = Counts::of(&records, run.manifest.episodes_of(planned).count() as u32);
    let ok = records.iter().filter(|record| record.status == Status::Ok);
    let published = table.and_then(|table| table.task(&planned.suite, planned.task));
    TaskSummary {
        task: planned.task,
        instruction: planned.instruction.clone(),
        counts,
        rate: rate(&records),
        other_rule: OtherRule::of(&run.manifest).rate(&records).map(|(_, rate)| rate),
        length: average_length(&lengths(&records), planned.stages, counts.errors),
        steps: mean_steps(&records),
        calls: mean_of(ok.map(|record| record.calls)),
        paper: published.map(|published| published.estimate.value),
    }
}

fn average(
    manifest: &Manifest,
    suites: &[SuiteSummary],
    counts: Counts,
    table: Option<&PaperTable>,
) -> AverageSummary {
    let rates: Vec<_> = suites.iter().map(|suite| suite.rate).collect();
    let estimate = suites_mean(&rates);
    let successes = rates.iter().map(|rate| rate.successes).sum();
    let partial = table.filter(|table| table.average().is_some());
    let partial = partial.and_then(|table| not_the_papers(suites, table));
    let paper = table.filter(|_| partial.is_none()).and_then(|table| {
        let published = table.average()?;
        let reason = withheld(manifest, table).or_else(|| gap(suites));
        let Counts { errors, missing, ok: n, .. } = counts;
        // `gap` has checked that every suite has its episodes.
        let measured =
            MeasuredNumber { estimate, successes: None, scale: 1.0, n, needed: 0, errors, missing };
        Some(measured.compare(published, reason))
    });
    let rate = Rate::new(successes, counts.ok, counts.errors);
    AverageSummary { suites: suites.len(), estimate, rate, counts, paper, partial }
}

/// Why the suites are not those of the paper's average.
fn not_the_papers(suites: &[SuiteSummary], table: &PaperTable) -> Option<String> {
    let names = table.suites();
    let run = |name: &&str| suites.iter().any(|suite| suite.name == **name);
    if names.len() != suites.len() || !names.iter().all(run) {
        return Some(format!("not the paper's {} suites", names.len()));
    }
    suites.iter().find_map(|suite| Some(format!("{}: {}", suite.name, suite.partial.as_ref()?)))
}

/// Why one of the suites has no verdict.
fn gap(suites: &[SuiteSummary]) -> Option<String> {
    let reason = |suite: &SuiteSummary| suite.paper.as_ref()?.verdict.reason().map(str::to_owned);
    suites.iter().find_map(|suite| Some(format!("{}: {}", suite.name, reason(suite)?)))
}

fn rate(records: &[&EpisodeRecord]) -> Rate {
    let outcomes: Vec<bool> = records.iter().filter_map(|record| record.success()).collect();
    let successes = outcomes.iter().filter(|&&success| success).count() as u32;
    Rate::new(successes, outcomes.len() as u32, (records.len() - outcomes.len()) as u32)
}

fn lengths(records: &[&EpisodeRecord]) -> Vec<u16> {
    let ok = records.iter().filter(|record| record.status == Status::Ok);
    ok.map(|record| record.stages_completed).collect()
}

fn mean_steps(records: &[&EpisodeRecord]) -> Option<f64> {
    // Trials that were judged only have no steps.
    let successes = records.iter().filter(|r| r.success() == Some(true) && r.steps > 0);
    mean_of(successes.map(|record| record.steps))
}

fn mean_of(numbers: impl Iterator<Item = u32>) -> Option<f64> {
    let (sum, n) = numbers.fold((0_u64, 0_u32), |(sum, n), x| (sum + u64::from(x), n + 1));
    (n > 0).then(|| sum as f64 / f64::from(n))
}
