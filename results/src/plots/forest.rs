//! What the success plot shows: panels of rows, each a number with its interval.

use crate::caption::{Caption, suite_title};
use crate::figures::{NONE, length, percent, shorten, wrap};
use crate::statistics::{Estimate, Rate};
use crate::subtasks::SubtaskSummary;
use crate::summary::{Chain, SuiteSummary, Summary, TaskSummary};
use crate::table::RowKind;

/// Characters of a label's line.
const LABEL_WIDTH: usize = 56;
/// Rows from which on labels are shortened to one line.
const MANY_ROWS: usize = 14;

/// The whole plot.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Forest {
    /// What the rows are.
    pub(super) rows: &'static str,
    /// What stands on top.
    pub(super) caption: Caption,
    /// A panel per suite.
    pub(super) panels: Vec<Panel>,
    /// Where the axis starts, in percent: a multiple of 10.
    pub(super) start: u16,
}

/// One suite.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Panel {
    /// Its title.
    pub(super) title: String,
    /// Its rows.
    pub(super) rows: Vec<ForestRow>,
}

/// One number with its interval.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ForestRow {
    /// What it is about.
    pub(super) kind: RowKind,
    /// The task's index.
    pub(super) index: Option<u16>,
    /// Its name, in lines.
    pub(super) label: Vec<String>,
    /// The number; `None` where nothing ran.
    pub(super) estimate: Option<Estimate>,
    /// Successes and episodes.
    pub(super) count: String,
    /// The episodes that are not in the count.
    pub(super) apart: String,
    /// The paper's number for this very row.
    pub(super) paper: Option<f64>,
}

impl Forest {
    pub(super) fn new(summary: &Summary) -> Self {
        let tasks: usize = summary.suites.iter().map(|suite| suite.tasks.len()).sum();
        let lines = if tasks < MANY_ROWS { 2 } else { 1 };
        let panels: Vec<Panel> = summary
            .suites
            .iter()
            .flat_map(|suite| match &suite.chain {
                Some(chain) => {
                    let whole = chain_panel(&summary.benchmark, suite, chain);
                    [whole].into_iter().chain(subtask_panel(chain)).collect()
                }
                None => vec![success_panel(&summary.benchmark, suite, lines)],
            })
            .collect();
        let start = start(&panels);
        let chains = summary.suites.iter().any(|suite| suite.chain.is_some());
        let rows = if chains { "success in a row and by sub-task" } else { "success by task" };
        Self { rows, caption: Caption::new(summary), panels, start }
    }

    /// Whether any row has episodes that are not in its count.
    pub(super) fn has_apart(&self) -> bool {
        self.panels.iter().flat_map(|panel| &panel.rows).any(|row| !row.apart.is_empty())
    }

    /// Whether a row of that kind is drawn.
    pub(super) fn has(&self, kind: RowKind) -> bool {
        self.panels.iter().flat_map(|panel| &panel.rows).any(|row| row.kind == kind)
    }

    /// Whether any row has a number of the paper's beside its own.
    pub(super) fn has_paper_marks(&self) -> bool {
        self.panels.iter().flat_map(|panel| &panel.rows).any(|row| row.paper.is_some())
    }
}

impl Panel {
    /// The row of all parts together, or of the paper.
    pub(super) fn reference(&self, kind: RowKind) -> Option<Estimate> {
        self.rows.iter().find(|row| row.kind == kind)?.estimate
    }
}

/// The largest multiple of 10 below all that is drawn, at most 80.
fn start(panels: &[Panel]) -> u16 {
    let rows = panels.iter().flat_map(|panel| &panel.rows);
    let lows = rows.flat_map(|row| [row.estimate.map(|e| e.low), row.paper]).flatten();
    let lowest = lows.fold(0.8, f64::min);
    (lowest * 10.0).floor() as u16 * 10
}

fn success_panel(benchmark: &str, suite: &SuiteSummary, lines: usize) -> Panel {
    let mut rows: Vec<_> = suite.tasks.iter().map(|task| task_row(task, lines)).collect();
    rows.push(ForestRow {
        kind: RowKind::Whole,
        index: None,
        label: vec!["suite".into()],
        estimate: suite.rate.estimate,
        count: count(suite.rate),
        apart: suite.counts.apart(),
        paper: None,
    });
    rows.extend(suite.paper.as_ref().map(|paper| ForestRow {
        kind: RowKind::Paper,
        index: None,
        label: vec![format!("paper ({})", paper.published.source)],
        estimate: Some(paper.published.estimate),
        count: String::new(),
        apart:
            paper.verdict.reason().map_or_else(|| paper.verdict.words().into(), |_| String::new()),
        paper: None,
    }));
    Panel {
        title: format!("{}, {}", suite_title(benchmark, &suite.name), suite.counts.words()),
        rows,
    }
}

fn task_row(task: &TaskSummary, lines: usize) -> ForestRow {
    ForestRow {
        kind: RowKind::Part,
        index: Some(task.task),
        label: label(&task.instruction, lines),
        estimate: task.rate.estimate,
        count: count(task.rate),
        apart: task.counts.apart(),
        paper: task.paper,
    }
}

/// `text` in at most `lines` lines, the last one shortened; at least one, so that a row has height.
fn label(text: &str, lines: usize) -> Vec<String> {
    let count = wrap(text, LABEL_WIDTH).len();
    let longest = text.split_whitespace().map(|word| word.chars().count()).max().unwrap_or(0);
    // The narrowest width that needs no more lines: they come out about equally long.
    let mut widths = longest.min(LABEL_WIDTH)..LABEL_WIDTH;
    let width = widths.find(|&width| wrap(text, width).len() == count).unwrap_or(LABEL_WIDTH);
    let mut label = wrap(text, if count > lines { LABEL_WIDTH } else { width });
    if label.len() > lines {
        let rest = label.split_off(lines - 1).join(" ");
        label.push(shorten(&rest, LABEL_WIDTH));
    }
    if label.is_empty() {
        label.push(NONE.into());
    }
    label
}

fn chain_panel(benchmark: &str, suite: &SuiteSummary, chain: &Chain) -> Panel {
    let row = |(index, (&rate, &paper)): (usize, (&Rate, &Option<f64>))| ForestRow {
        kind: RowKind::Part,
        index: None,
        label: vec![format!("{} in a row", index + 1)],
        estimate: rate.estimate,
        count: count(rate),
        apart: String::new(),
        paper,
    };
    let rows = chain.in_a_row.iter().zip(&chain.paper).enumerate().map(row).collect();
    let average = match chain.length.estimate {
        Some(Estimate { value, low, high }) => {
            format!("average length {value:.2} [{low:.2}, {high:.2}]")
        }
        None => format!("average length {NONE}"),
    };
    let paper = suite.paper.as_ref().map_or(String::new(), |paper| {
        format!(", paper {}", length(Some(paper.published.estimate.value)))
    });
    let title = suite_title(benchmark, &suite.name);
    Panel { title: format!("{title}, {}: {average}{paper}", suite.counts.words()), rows }
}

/// The sub-tasks of chains; `None` where the protocol does not name them.
fn subtask_panel(chain: &Chain) -> Option<Panel> {
    let row = |subtask: &SubtaskSummary| ForestRow {
        kind: RowKind::Part,
        index: None,
        label: vec![shorten(&subtask.name.replace('_', " "), LABEL_WIDTH)],
        estimate: subtask.rate.estimate,
        count: count(subtask.rate),
        apart: String::new(),
        paper: None,
    };
    let rows: Vec<ForestRow> = chain.subtasks.iter().map(row).collect();
    let title = "sub-tasks, of the times that a chain came to them".to_owned();
    (!rows.is_empty()).then_some(Panel { title, rows })
}

fn count(rate: Rate) -> String {
    if rate.n > 0 { format!("{}/{}", rate.successes, rate.n) } else { NONE.into() }
}

impl ForestRow {
    /// The number in percent.
    pub(super) fn percent(&self) -> String {
        percent(self.estimate.map(|estimate| estimate.value))
    }
}
