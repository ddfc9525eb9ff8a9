//! A run in numbers: what every table and plot prints.

use std::collections::BTreeMap;

use udvla_sims::protocol::Suite;

use crate::counts::Counts;
use crate::early::EarlyStop;
use crate::manifest::{Manifest, PlannedTask, RunStatus};
use crate::other_rule::OtherRule;
use crate::paper::{Paper, PaperTable};
use crate::read::Run;
use crate::record::{EpisodeRecord, Status};
use crate::statistics::{Estimate, Length, Rate, average_length, suites_mean};
use crate::subtasks::{SubtaskSummary, by_subtask};
use crate::verdict::{Comparison, Evidence, incomparable, withheld};

/// A run in numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The benchmark, as in the protocol.
    pub benchmark: String,
    /// Protocol name, version and the start of its fingerprint.
    pub protocol: String,
    /// What was tested: the policy first, then the rest by name.
    pub subject: Vec<(String, String)>,
    /// What of the setting belongs beside a number: simulator, assets, renderer.
    pub setting: Vec<(String, String)>,
    /// Why the numbers are comparable to nobody's, for example `stand-in assets`.
    pub incomparable: Option<String>,
    /// How far the run came.
    pub status: RunStatus,
    /// Why it stopped early, where it did.
    pub stopped_early: Option<String>,
    /// Its episodes.
    pub counts: Counts,
    /// The suites in the plan's order.
    pub suites: Vec<SuiteSummary>,
    /// The mean over the suites, where there are several.
    pub average: Option<AverageSummary>,
    /// The line of the records that a crash cut short.
    pub torn_line: Option<usize>,
}

/// One suite.
#[derive(Debug, Clone, PartialEq)]
pub struct SuiteSummary {
    /// Its name.
    pub name: String,
    /// Stages of its episodes.
    pub stages: u16,
    /// Its episodes.
    pub counts: Counts,
    /// Pooled over its tasks.
    pub rate: Rate,
    /// The other rule and the rate by it, where records tell them apart.
    pub other_rule: Option<(OtherRule, Rate)>,
    /// Mean steps of the episodes that succeeded.
    pub steps: Option<f64>,
    /// What only several stages have.
    pub chain: Option<Chain>,
    /// Its tasks in order.
    pub tasks: Vec<TaskSummary>,
    /// Beside the paper's number: the success rate, or the average length of a chain.
    pub paper: Option<Comparison>,
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
    /// Its index.
    pub task: u16,
    /// Its instruction.
    pub instruction: String,
    /// Its episodes.
    pub counts: Counts,
    /// Its success rate.
    pub rate: Rate,
    /// The same by the suite's other rule, where records tell them apart.
    pub other_rule: Option<Rate>,
    /// Mean stages completed.
    pub length: Length,
    /// Mean steps of the episodes that succeeded.
    pub steps: Option<f64>,
    /// Mean questions to the policy of the episodes that ran to their end.
    pub calls: Option<f64>,
    /// The paper's success rate, where it has one for the task.
    pub paper: Option<f64>,
}

/// The mean over the suites.
#[derive(Debug, Clone, PartialEq)]
pub struct AverageSummary {
    /// How many suites it is over.
    pub suites: usize,
    /// Every suite counts alike; `None` where one of them has no episode.
    pub estimate: Option<Estimate>,
    /// Successes and episodes of all suites together.
    pub rate: Rate,
    /// All episodes.
    pub counts: Counts,
    /// Beside the paper's average.
    pub paper: Option<Comparison>,
}

impl Summary {
    /// The numbers of `run` beside those of `paper`.
    pub fn new(run: &Run, paper: &Paper) -> Self {
        let manifest = &run.manifest;
        let table = paper.table(&manifest.protocol.benchmark);
        let suites: Vec<_> = suite_names(manifest).map(|name| suite(run, name, table)).collect();
        let counts = suites.iter().map(|suite| suite.counts).fold(Counts::default(), Counts::plus);
        let average = (suites.len() > 1).then(|| average(manifest, &suites, counts, table));
        Self {
            benchmark: manifest.protocol.benchmark.clone(),
            protocol: protocol_name(manifest),
            subject: pairs(&manifest.subject, "policy"),
            setting: setting(manifest),
            incomparable: incomparable(manifest),
            status: manifest.status,
            stopped_early: manifest.stopped_early.as_ref().map(EarlyStop::words),
            counts,
            suites,
            average,
            torn_line: run.torn_line,
        }
    }
}

/// The names of the plan's suites, each once, in the plan's order.
fn suite_names(manifest: &Manifest) -> impl Iterator<Item = &str> {
    let mut names: Vec<&str> = Vec::new();
    for planned in &manifest.plan {
        if !names.contains(&planned.suite.as_str()) {
            names.push(&planned.suite);
        }
    }
    names.into_iter()
}

fn suite(run: &Run, name: &str, table: Option<&PaperTable>) -> SuiteSummary {
    let mut planned: Vec<_> = run.manifest.plan.iter().filter(|task| task.suite == name).collect();
    planned.sort_by_key(|task| task.task);
    let tasks: Vec<_> = planned.iter().map(|planned| task(run, planned, table)).collect();
    let records: Vec<_> = run.records.values().filter(|record| record.suite == name).collect();
    let counts = tasks.iter().map(|task| task.counts).fold(Counts::default(), Counts::plus);
    let stages = planned.iter().map(|task| task.stages).max().unwrap_or(1);
    let mut summary = SuiteSummary {
        name: name.to_owned(),
        stages,
        counts,
        rate: rate(&records),
        other_rule: OtherRule::of(&run.manifest).rate(&records),
        steps: mean_steps(&records),
        chain: (stages > 1).then(|| {
            let subtasks = run.manifest.protocol.suite(name);
            let subtasks = subtasks.map_or_else(Vec::new, |suite| by_subtask(suite, &records));
            Chain { subtasks, ..chain(&records, name, stages, table) }
        }),
        tasks,
        paper: None,
    };
    summary.paper = table.and_then(|table| suite_paper(&run.manifest, &summary, table));
    summary
}

fn suite_paper(
    manifest: &Manifest,
    suite: &SuiteSummary,
    table: &PaperTable,
) -> Option<Comparison> {
    let published = match &suite.chain {
        Some(_) => table.average_length(&suite.name, suite.stages),
        None => table.suite(&suite.name),
    }?;
    let evidence = Evidence {
        ours: match &suite.chain {
            Some(chain) => chain.length.estimate,
            None => suite.rate.estimate,
        },
        scale: f64::from(suite.stages),
        n: suite.counts.ok,
        needed: episodes_of_protocol(manifest, &suite.name).min(published.n),
        errors: suite.counts.errors,
        missing: suite.counts.missing,
    };
    Some(evidence.compare(published, withheld(manifest, table)))
}

fn episodes_of_protocol(manifest: &Manifest, suite: &str) -> u32 {
    let suite = manifest.protocol.suite(suite);
    suite.map_or(0, |suite| suite.tasks.len() as u32 * u32::from(suite.trials))
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
    let of_task =
        |record: &&EpisodeRecord| record.suite == planned.suite && record.task == planned.task;
    let records: Vec<_> = run.records.values().filter(of_task).collect();
    let counts = Counts::of(&records, u32::from(planned.trials));
    let ok = records.iter().filter(|record| record.status == Status::Ok);
    let published = table.and_then(|table| table.task(&planned.suite, planned.task));
    TaskSummary {
        task: planned.task,
        instruction: planned.instruction.clone(),
        counts,
        rate: rate(&records),
        other_rule: OtherRule::of(&run.manifest).rate(&records).map(|other| other.1),
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
    let successes = suites.iter().map(|suite| suite.rate.successes).sum();
    let rate = Rate::new(successes, counts.ok, counts.errors);
    let paper = table.and_then(|table| {
        let published = table.average()?;
        let reason = withheld(manifest, table).or_else(|| gap(suites, table));
        let (errors, missing, n) = (counts.errors, counts.missing, counts.ok);
        // `gap` has already seen to it that every suite has its episodes.
        let evidence = Evidence { ours: estimate, scale: 1.0, n, needed: 0, errors, missing };
        Some(evidence.compare(published, reason))
    });
    AverageSummary { suites: suites.len(), estimate, rate, counts, paper }
}

/// Why the suites do not make up the paper's average.
fn gap(suites: &[SuiteSummary], table: &PaperTable) -> Option<String> {
    let names = table.suites();
    let run = |name: &&str| suites.iter().any(|suite| suite.name == **name);
    if names.len() != suites.len() || !names.iter().all(run) {
        return Some(format!("not the paper's {} suites", names.len()));
    }
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
    let successes = records.iter().filter(|record| record.success() == Some(true));
    mean_of(successes.map(|record| record.steps))
}

fn mean_of(numbers: impl Iterator<Item = u32>) -> Option<f64> {
    let (sum, n) = numbers.fold((0_u64, 0_u32), |(sum, n), x| (sum + u64::from(x), n + 1));
    (n > 0).then(|| sum as f64 / f64::from(n))
}

fn protocol_name(manifest: &Manifest) -> String {
    let protocol = &manifest.protocol;
    let fingerprint = short(&manifest.protocol_fingerprint);
    let list = |suite: &Suite, key: &str| {
        let list = suite.details.get(key)?;
        let sha256: String = list["sha256"].as_str()?.chars().take(8).collect();
        Some(format!(" · {key} {} ({sha256})", list["name"].as_str()?))
    };
    let keys = ["sequences", "annotations"];
    let lists = protocol.suites.iter().flat_map(|suite| keys.map(|key| list(suite, key)));
    let lists: String = lists.flatten().collect();
    let own = protocol.suites.first().filter(|_| protocol.name.ends_with("-own"));
    let own = own.map_or(String::new(), |suite| {
        let success = protocol.environment.get("success").and_then(|success| success.as_str());
        let success = success.unwrap_or("as in the protocol");
        format!(" · success {success}, at most {} steps", suite.max_steps)
    });
    let repeats = manifest.plan.iter().filter_map(|planned| {
        let ids = protocol.suite(&planned.suite)?.trials;
        (planned.trials > ids && ids > 0).then(|| (planned.trials / ids, ids))
    });
    let repeats = repeats.max().map_or(String::new(), |(repeats, ids)| {
        format!(" · {repeats} repeats of the same {ids} initial states, with other sampling noise")
    });
    format!("{} v{} ({fingerprint}){lists}{own}{repeats}", protocol.name, protocol.version)
}

fn setting(manifest: &Manifest) -> Vec<(String, String)> {
    let keys = ["simulator", "assets", "renderer"];
    let pair = |key: &str| Some((key.to_owned(), short(manifest.setting.get(key)?)));
    keys.into_iter().filter_map(pair).collect()
}

fn pairs(map: &BTreeMap<String, String>, first: &str) -> Vec<(String, String)> {
    let mut pairs: Vec<_> = map.iter().map(|(key, value)| (key.clone(), short(value))).collect();
    pairs.sort_by_key(|(key, _)| key != first);
    pairs
}

/// The first 8 digits of a `sha256:…`; other text as it is.
fn short(value: &str) -> String {
    match value.strip_prefix("sha256:") {
        Some(digits) => digits.chars().take(8).collect(),
        None => value.to_owned(),
    }
}
