//! Tables as data: what they say, not how it is written.

use crate::caption::suite_title;
use crate::counts::Counts;
use crate::figures::{NONE, length, percent, percent_interval, share, signed, whole};
use crate::statistics::{Estimate, Rate};
use crate::subtasks::SubtaskSummary;
use crate::summary::{AverageSummary, Chain, SuiteSummary, Summary, TaskSummary};
use crate::verdict::Comparison;

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its title.
    pub title: String,
    /// Its columns.
    pub columns: Vec<Column>,
    /// Its rows, each with a cell per column.
    pub rows: Vec<Row>,
    /// What stands below it.
    pub notes: Vec<String>,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its heading.
    pub header: String,
    /// How its cells are set.
    pub align: Align,
}

/// How a cell is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// To the left.
    Left,
    /// To the left, and shortened where the table is too wide.
    LeftShortened,
    /// To the right.
    Right,
}

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What it is about.
    pub kind: RowKind,
    /// Its cells.
    pub cells: Vec<String>,
}

/// What a row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowKind {
    /// A part: a task of a suite, a suite of a benchmark.
    Part,
    /// All parts together.
    Whole,
    /// What the paper says.
    Paper,
}

/// The tables of a run, parts before the whole: the sub-tasks of chains, the suites, and at the end
/// their average where there are several.
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

fn column(header: &str, align: Align) -> Column {
    Column { header: header.into(), align }
}

/// The columns of a success rate.
fn rate_columns() -> [Column; 4] {
    ["success", "%", "95 % interval", "steps"].map(|header| column(header, Align::Right))
}

/// The cells of [`rate_columns`].
fn rate_cells(rate: Rate, estimate: Option<Estimate>, steps: Option<f64>) -> [String; 4] {
    let count = if rate.n > 0 { format!("{}/{}", rate.successes, rate.n) } else { NONE.into() };
    [count, percent(estimate.map(|e| e.value)), percent_interval(estimate), whole(steps)]
}

/// One suite with a row per task.
fn suite_table(benchmark: &str, suite: &SuiteSummary) -> Table {
    let mut table = Table {
        title: format!("{}, {}", suite_title(benchmark, &suite.name), suite.counts.words()),
        columns: vec![column("#", Align::Right), column("task", Align::LeftShortened)],
        rows: suite.tasks.iter().map(task_row).collect(),
        notes: Vec::new(),
    };
    table.columns.extend(rate_columns());
    let mut cells = vec![String::new(), "suite".into()];
    cells.extend(rate_cells(suite.rate, suite.rate.estimate, suite.steps));
    table.rows.push(Row { kind: RowKind::Whole, cells });
    let apart = suite.tasks.iter().map(|task| task.counts).chain([suite.counts]);
    table.add_apart(apart.collect());
    if let Some((rule, whole)) = suite.other_rule {
        let rates = suite.tasks.iter().map(|task| task.other_rule).chain([Some(whole)]);
        let cell = |rate: Option<Rate>| {
            rate.map_or(NONE.into(), |rate| format!("{}/{}", rate.successes, rate.n))
        };
        table.add_column(column(rule.words(), Align::Right), rates.map(cell).collect());
        table.notes.push(rule.note().into());
    }
    if suite.tasks.iter().any(|task| task.paper.is_some()) {
        let papers = suite.tasks.iter().map(|task| percent(task.paper));
        table.add_column(column("paper %", Align::Right), papers.collect());
    }
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
    let mut cells = vec![task.task.to_string(), task.instruction.clone()];
    cells.extend(rate_cells(task.rate, task.rate.estimate, task.steps));
    Row { kind: RowKind::Part, cells }
}

/// The sub-tasks of chains; none where the protocol does not name them.
fn subtask_table(benchmark: &str, suite: &SuiteSummary, chain: &Chain) -> Option<Table> {
    let mut columns = vec![column("sub-task", Align::Left)];
    let headers = ["solved", "%", "95 % interval", "not reached"];
    columns.extend(headers.map(|header| column(header, Align::Right)));
    let row = |kind, name: &str, rate: Rate, not_reached: u32| {
        let mut cells = vec![name.to_owned()];
        cells.extend(rate_cells(rate, rate.estimate, None));
        *cells.last_mut().expect("a rate has cells") = not_reached.to_string();
        Row { kind, cells }
    };
    let part = |one: &SubtaskSummary| row(RowKind::Part, &one.name, one.rate, one.not_reached);
    let title = format!("{}, sub-tasks", suite_title(benchmark, &suite.name));
    let rows: Vec<Row> = chain.subtasks.iter().map(part).collect();
    let notes = vec![SUBTASKS.to_owned()];
    (!rows.is_empty()).then_some(Table { title, columns, rows, notes })
}

const SUBTASKS: &str = "solved: of the times that a chain came to the sub-task; a chain ends at \
                        the first one that is not solved, and the rest of it is not reached";

/// A suite of several stages: how many in a row.
fn chain_table(benchmark: &str, suite: &SuiteSummary, chain: &Chain) -> Table {
    let mut columns = vec![column("in a row", Align::Left)];
    columns.extend((1..=suite.stages).map(|k| column(&k.to_string(), Align::Right)));
    columns.push(column("average length", Align::Right));
    let row = |kind, name: &str, cell: fn(Estimate) -> f64| {
        let mut cells = vec![name.to_owned()];
        cells.extend(chain.in_a_row.iter().map(|rate| share(rate.estimate.map(cell))));
        cells.push(length(chain.length.estimate.map(cell)));
        Row { kind, cells }
    };
    let rows = vec![
        row(RowKind::Whole, "this run", |e| e.value),
        row(RowKind::Part, "from (95 %)", |e| e.low),
        row(RowKind::Part, "to (95 %)", |e| e.high),
    ];
    let title = format!("{}, {}", suite_title(benchmark, &suite.name), suite.counts.words());
    let mut table = Table { title, columns, rows, notes: Vec::new() };
    if let Some(paper) = &suite.paper {
        let mut cells = vec!["paper".to_owned()];
        cells.extend(chain.paper.iter().map(|&value| share(value)));
        cells.push(length(Some(paper.published.estimate.value)));
        table.add_paper(cells, paper, Unit::Stages);
    }
    table
}

/// The suites side by side and their mean.
fn average_table(summary: &Summary, average: &AverageSummary) -> Table {
    let mut columns = vec![column("suite", Align::Left)];
    columns.extend(rate_columns());
    let rows = summary.suites.iter().map(|suite| {
        let mut cells = vec![suite.name.clone()];
        cells.extend(rate_cells(suite.rate, suite.rate.estimate, suite.steps));
        Row { kind: RowKind::Part, cells }
    });
    let mut cells = vec!["average".to_owned()];
    cells.extend(rate_cells(average.rate, average.estimate, None));
    cells.last_mut().expect("a rate has cells").clear();
    let title = format!(
        "{}, {} suites, {}",
        suite_title(&summary.benchmark, "").trim_end(),
        average.suites,
        average.counts.words()
    );
    let rows = rows.chain([Row { kind: RowKind::Whole, cells }]).collect();
    let mut table = Table { title, columns, rows, notes: Vec::new() };
    let apart = summary.suites.iter().map(|suite| suite.counts).chain([average.counts]);
    table.add_apart(apart.collect());
    let papers: Vec<_> = summary.suites.iter().map(|suite| suite.paper.as_ref()).collect();
    if papers.iter().any(Option::is_some) {
        let papers: Vec<_> = papers.into_iter().chain([average.paper.as_ref()]).collect();
        let value = |paper: &Option<&Comparison>| {
            percent(paper.map(|paper| paper.published.estimate.value))
        };
        table.add_column(column("paper %", Align::Right), papers.iter().map(value).collect());
        let words = |paper: &Option<&Comparison>| paper.map_or(String::new(), verdict_cell);
        table.add_column(column("verdict", Align::Left), papers.iter().map(words).collect());
    }
    table.notes.extend(average.paper.as_ref().map(|paper| paper_note(paper, Unit::Points)));
    table
}

fn verdict_cell(paper: &Comparison) -> String {
    match paper.verdict.reason() {
        Some(_) => paper.verdict.words().into(),
        None => paper.verdict.line(),
    }
}

/// What a difference is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// Percentage points of a success rate.
    Points,
    /// Stages of an average length.
    Stages,
}

/// Where the paper's number stands, and the difference or why there is no verdict.
fn paper_note(paper: &Comparison, unit: Unit) -> String {
    let published = &paper.published;
    let from = format!("paper: {}, n = {}", published.source, published.n);
    let difference = paper.difference.map(|difference| match unit {
        Unit::Points => format!("{} points", signed(difference.times(100.0), 1)),
        Unit::Stages => signed(difference, 2),
    });
    match (difference, paper.verdict.reason()) {
        (_, Some(reason)) => format!("{from}; no verdict: {reason}"),
        (Some(difference), None) => format!("{from}; this run less the paper: {difference}"),
        (None, None) => from,
    }
}

impl Table {
    /// Adds a column; rows beyond `cells` get an empty one.
    fn add_column(&mut self, column: Column, cells: Vec<String>) {
        let width = self.columns.len();
        self.columns.push(column);
        for (row, cell) in self.rows.iter_mut().zip(cells) {
            row.cells.push(cell);
        }
        for row in &mut self.rows {
            row.cells.resize(width + 1, String::new());
        }
    }

    /// Adds what is not in n, where there is any.
    fn add_apart(&mut self, counts: Vec<Counts>) {
        let cells: Vec<String> = counts.iter().map(Counts::apart).collect();
        if cells.iter().any(|cell| !cell.is_empty()) {
            self.add_column(column("not in n", Align::Left), cells);
        }
    }

    /// Adds the paper's row with its verdict, and a note; the note alone says why there is none.
    fn add_paper(&mut self, mut cells: Vec<String>, paper: &Comparison, unit: Unit) {
        let verdict = paper.verdict.reason().is_none().then(|| paper.verdict.line());
        if verdict.is_some() {
            self.add_column(column("verdict", Align::Left), Vec::new());
        }
        cells.resize(self.columns.len() - usize::from(verdict.is_some()), String::new());
        cells.extend(verdict);
        self.rows.push(Row { kind: RowKind::Paper, cells });
        self.notes.push(paper_note(paper, unit));
    }
}
