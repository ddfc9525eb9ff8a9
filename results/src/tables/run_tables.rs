//! The tables of one run.

use super::counts::Counts;
use super::format::NONE;
use super::format::{fraction, length, percent, percent_interval, points, share, signed, whole};
use super::model::{Align, Column, Row, RowKind, Table};
use super::smallest;
use super::summary::{AverageSummary, Chain, SuiteSummary, Summary, TaskSummary};
use super::verdict::PaperComparison;
use crate::run::benchmarks::{benchmark_title, suite_title};
use crate::statistics::{Estimate, Rate};

/// The tables of a run, parts before the whole: sub-tasks of chains, suites, and their average
/// where there are several.
pub fn tables(summary: &Summary) -> Vec<Table> {
    let benchmark = &summary.benchmark;
    let suites = summary.suites.iter().flat_map(|suite| match &suite.chain {
        Some(chain) => {
            let parts = subtask_table(benchmark, suite, chain);
            parts.into_iter().chain([chain_table(benchmark, suite, chain)]).collect()
        }
        None => vec![suite_table(benchmark, suite)],
    });
    let average = summary.average.iter().map(|average| average_table(summary, average));
    suites.chain(average).collect()
}

fn right(headers: impl IntoIterator<Item = impl Into<String>>) -> impl Iterator<Item = Column> {
    headers.into_iter().map(|header| Column::new(header, Align::Right))
}

/// The columns of [`rate_cells`].
const RATE_COLUMNS: [&str; 4] = ["success", "%", "95 % interval", "steps"];

fn rate_cells(rate: Rate, estimate: Option<Estimate>, steps: String) -> [String; 4] {
    [fraction(rate), percent(estimate.map(|e| e.value)), percent_interval(estimate), steps]
}

/// One suite with a row per task.
fn suite_table(benchmark: &str, suite: &SuiteSummary) -> Table {
    let columns = [Column::new("#", Align::Right), Column::new("task", Align::LeftShortened)];
    let whole_cells = rate_cells(suite.rate, suite.rate.estimate, whole(suite.steps));
    let whole_row = [String::new(), "suite".into()].into_iter().chain(whole_cells);
    let mut table = Table {
        title: format!("{}, {}", suite_title(benchmark, &suite.name), suite.counts.label()),
        columns: columns.into_iter().chain(right(RATE_COLUMNS)).collect(),
        rows: suite.tasks.iter().map(task_row).collect(),
        ..Table::default()
    };
    table.rows.push(Row::text(RowKind::Whole, whole_row));
    table.add_excluded(suite.tasks.iter().map(|task| task.counts).chain([suite.counts]));
    if let Some((rule, rate)) = suite.other_rule {
        let rates = suite.tasks.iter().map(|task| task.other_rule).chain([Some(rate)]);
        let cells = rates.map(|rate| rate.map_or(NONE.into(), fraction)).collect();
        table.add_column(Column::new(rule.title(), Align::Right), cells);
        table.notes.push(rule.note().into());
    }
    if suite.tasks.iter().any(|task| task.paper.is_some()) {
        let cells = suite.tasks.iter().map(|task| percent(task.paper)).collect();
        table.add_column(Column::new("paper %", Align::Right), cells);
    }
    table.notes.extend(smallest::of_suite(suite));
    table.notes.extend(suite.partial.iter().map(|part| partial_note(part)));
    if let Some(paper) = &suite.paper {
        let estimate = Some(paper.published.estimate);
        let cells = vec![
            String::new(),
            "paper".into(),
            String::new(),
            percent(estimate.map(|e| e.value)),
            percent_interval(estimate),
        ];
        table.add_paper(cells, paper, Unit::Points);
    }
    table
}

fn task_row(task: &TaskSummary) -> Row {
    let cells = rate_cells(task.rate, task.rate.estimate, whole(task.steps));
    let front = [task.task.to_string(), task.instruction.clone()];
    Row::text(RowKind::Part, front.into_iter().chain(cells))
}

/// The sub-tasks of chains; `None` where the protocol does not name them.
fn subtask_table(benchmark: &str, suite: &SuiteSummary, chain: &Chain) -> Option<Table> {
    let first = Column::new("sub-task", Align::Left);
    let columns = right(["solved", "%", "95 % interval", "not reached"]);
    let rows: Vec<Row> = chain
        .subtasks
        .iter()
        .map(|subtask| {
            let not_reached = subtask.not_reached.to_string();
            let cells = rate_cells(subtask.rate, subtask.rate.estimate, not_reached);
            Row::text(RowKind::Part, [subtask.name.clone()].into_iter().chain(cells))
        })
        .collect();
    (!rows.is_empty()).then(|| Table {
        title: format!("{}, sub-tasks", suite_title(benchmark, &suite.name)),
        columns: [first].into_iter().chain(columns).collect(),
        rows,
        notes: vec![SUBTASKS.to_owned()],
        ..Table::default()
    })
}

const SUBTASKS: &str = "solved: of the times that a chain reached the sub-task; a chain ends at the \
                        first sub-task that is not solved, and the rest of it is not reached";

/// A suite of several stages: how many in a row.
fn chain_table(benchmark: &str, suite: &SuiteSummary, chain: &Chain) -> Table {
    let stages = (1..=suite.stages).map(|k| k.to_string());
    let columns = right(stages.chain(["average length".to_owned()]));
    let row = |kind, name: &str, number: fn(Estimate) -> f64| {
        let shares = chain.in_a_row.iter().map(|rate| share(rate.estimate.map(number)));
        let length = length(chain.length.estimate.map(number));
        Row::text(kind, [name.to_owned()].into_iter().chain(shares).chain([length]))
    };
    let mut table = Table {
        title: format!("{}, {}", suite_title(benchmark, &suite.name), suite.counts.label()),
        columns: [Column::new("in a row", Align::Left)].into_iter().chain(columns).collect(),
        rows: vec![
            row(RowKind::Whole, "this run", |e| e.value),
            row(RowKind::Part, "from (95 %)", |e| e.low),
            row(RowKind::Part, "to (95 %)", |e| e.high),
        ],
        ..Table::default()
    };
    table.notes.extend(smallest::of_suite(suite));
    if let Some(paper) = &suite.paper {
        let shares = chain.paper.iter().map(|&value| share(value));
        let length = length(Some(paper.published.estimate.value));
        let cells = ["paper".to_owned()].into_iter().chain(shares).chain([length]);
        table.add_paper(cells.collect(), paper, Unit::Stages);
    }
    table
}

/// The suites side by side and their mean.
fn average_table(summary: &Summary, average: &AverageSummary) -> Table {
    let rows = summary.suites.iter().map(|suite| {
        let cells = rate_cells(suite.rate, suite.rate.estimate, whole(suite.steps));
        Row::text(RowKind::Part, [suite.name.clone()].into_iter().chain(cells))
    });
    let cells = rate_cells(average.rate, average.estimate, String::new());
    let mean = Row::text(RowKind::Whole, ["average".to_owned()].into_iter().chain(cells));
    let title = benchmark_title(&summary.benchmark);
    let columns = [Column::new("suite", Align::Left)].into_iter().chain(right(RATE_COLUMNS));
    let mut table = Table {
        title: format!("{title}, {} suites, {}", average.suites, average.counts.label()),
        columns: columns.collect(),
        rows: rows.chain([mean]).collect(),
        ..Table::default()
    };
    table.add_excluded(summary.suites.iter().map(|suite| suite.counts).chain([average.counts]));
    if summary.suites.iter().any(|suite| suite.paper.is_some()) {
        let suites = summary.suites.iter().map(|suite| suite.paper.as_ref());
        let papers: Vec<Option<&PaperComparison>> =
            suites.chain([average.paper.as_ref()]).collect();
        let value = |paper: &Option<&PaperComparison>| {
            percent(paper.map(|paper| paper.published.estimate.value))
        };
        let verdict = |paper: &Option<&PaperComparison>| paper.map_or(String::new(), verdict_cell);
        let paper_column = Column::new("paper %", Align::Right);
        table.add_column(paper_column, papers.iter().map(value).collect());
        let verdict_column = Column::new("verdict", Align::Left);
        table.add_column(verdict_column, papers.iter().map(verdict).collect());
    }
    table.notes.extend(smallest::of_average(&summary.suites));
    table.notes.extend(average.paper.as_ref().map(|paper| paper_note(paper, Unit::Points)));
    table.notes.extend(average.partial.iter().map(|part| partial_note(part)));
    table
}

/// That the paper's number is left out, for the reason `part`.
pub(crate) fn partial_note(part: &str) -> String {
    format!("{part}, so the paper's number is left out")
}

/// The verdict without the reason of a withheld one.
fn verdict_cell(paper: &PaperComparison) -> String {
    match paper.verdict.reason() {
        Some(_) => paper.verdict.name().into(),
        None => paper.verdict.to_string(),
    }
}

/// Unit of a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// Percentage points of a success rate.
    Points,
    /// Stages of an average length.
    Stages,
}

/// Source of the paper's number, and the difference or why there is no verdict.
fn paper_note(paper: &PaperComparison, unit: Unit) -> String {
    let published = &paper.published;
    let source = format!("paper: {}, n = {}", published.source, published.n);
    let difference = paper.difference.map(|difference| match unit {
        Unit::Points => format!("{} points", points(difference)),
        Unit::Stages => signed(difference, 2),
    });
    match (difference, paper.verdict.reason()) {
        (_, Some(reason)) => format!("{source}; no verdict: {reason}"),
        (Some(difference), None) => {
            let tests = paper.tests.filter(|tests| tests.suites > 1);
            let tests = tests.map_or(String::new(), |tests| {
                format!(", p = {:.3} by Holm over {} suites", tests.difference, tests.suites)
            });
            format!("{source}; this run minus the paper: {difference}{tests}")
        }
        (None, None) => source,
    }
}

impl Table {
    /// Adds a column of the episodes that are not in n, if there are any.
    fn add_excluded(&mut self, counts: impl Iterator<Item = Counts>) {
        let cells: Vec<String> = counts.map(|counts| counts.excluded()).collect();
        if cells.iter().any(|cell| !cell.is_empty()) {
            self.add_column(Column::new("not in n", Align::Left), cells);
        }
    }

    /// Adds the paper's row with its verdict, and a note; a withheld verdict is only in the note.
    fn add_paper(&mut self, mut cells: Vec<String>, paper: &PaperComparison, unit: Unit) {
        cells.resize(self.columns.len(), String::new());
        if paper.verdict.reason().is_none() {
            self.add_column(Column::new("verdict", Align::Left), Vec::new());
            cells.push(paper.verdict.to_string());
        }
        self.rows.push(Row::text(RowKind::Published, cells));
        self.notes.push(paper_note(paper, unit));
    }
}
