//! Contents of the success plot: panels of rows, each a number with its interval.

use crate::run::benchmarks::suite_title;
use crate::statistics::{Estimate, Rate};
use crate::tables::caption::Caption;
use crate::tables::format::{NONE, fraction, length, percent, shorten, wrap};
use crate::tables::model::RowKind;
use crate::tables::subtasks::SubtaskSummary;
use crate::tables::summary::{Chain, SuiteSummary, Summary, TaskSummary};
use crate::tables::verdict::Verdict;

/// Characters per line of a label.
const LABEL_WIDTH: usize = 56;
/// From this number of tasks on labels are shortened to one line.
const MANY_TASKS: usize = 14;

/// The whole plot.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Forest {
    /// What the rows are.
    pub(super) rows: &'static str,
    /// The run's caption.
    pub(super) caption: Caption,
    /// The panels, one or two per suite.
    pub(super) panels: Vec<Panel>,
    /// Start of the axis in percent: a multiple of 10.
    pub(super) start: u16,
}

/// A group of rows with its own axis.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Panel {
    pub(super) title: String,
    pub(super) rows: Vec<ForestRow>,
}

/// One number with its interval.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ForestRow {
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
    pub(super) excluded: String,
    /// The paper's number for this row.
    pub(super) paper: Option<f64>,
}

impl Forest {
    pub(super) fn new(summary: &Summary) -> Self {
        let tasks: usize = summary.suites.iter().map(|suite| suite.tasks.len()).sum();
        let lines = if tasks < MANY_TASKS { 2 } else { 1 };
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
        let chains = summary.chained().is_some();
        let rows = if chains { "success in a row and by sub-task" } else { "success by task" };
        Self { rows, caption: Caption::new(summary), start: start(&panels), panels }
    }

    fn all_rows(&self) -> impl Iterator<Item = &ForestRow> {
        self.panels.iter().flat_map(|panel| &panel.rows)
    }

    /// Whether any row has episodes that are not in its count.
    pub(super) fn has_excluded(&self) -> bool {
        self.all_rows().any(|row| !row.excluded.is_empty())
    }

    /// Whether there is a row of that kind.
    pub(super) fn has(&self, kind: RowKind) -> bool {
        self.all_rows().any(|row| row.kind == kind)
    }

    /// Whether any row has a number of the paper's next to its own.
    pub(super) fn has_paper_marks(&self) -> bool {
        self.all_rows().any(|row| row.paper.is_some())
    }
}

impl Panel {
    /// The number of the row of that kind.
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
        excluded: suite.counts.excluded(),
        ..ForestRow::of_rate(RowKind::Whole, vec!["suite".into()], suite.rate)
    });
    rows.extend(suite.paper.as_ref().map(|paper| ForestRow {
        kind: RowKind::Published,
        index: None,
        label: vec![format!("paper ({})", paper.published.source)],
        estimate: Some(paper.published.estimate),
        count: String::new(),
        excluded: match &paper.verdict {
            Verdict::Withheld(_) => String::new(),
            verdict => verdict.name().into(),
        },
        paper: None,
    }));
    let title = format!("{}, {}", suite_title(benchmark, &suite.name), suite.counts.label());
    Panel { title, rows }
}

fn task_row(task: &TaskSummary, lines: usize) -> ForestRow {
    ForestRow {
        index: Some(task.task),
        excluded: task.counts.excluded(),
        paper: task.paper,
        ..ForestRow::of_rate(RowKind::Part, label(&task.instruction, lines), task.rate)
    }
}

/// `text` in 1 to `lines` lines, the last one shortened.
fn label(text: &str, lines: usize) -> Vec<String> {
    let count = wrap(text, LABEL_WIDTH).len();
    let longest = text.split_whitespace().map(|word| word.chars().count()).max().unwrap_or(0);
    // The smallest width that needs no more lines balances them.
    let mut widths = longest.min(LABEL_WIDTH)..LABEL_WIDTH;
    let width = widths.find(|&width| wrap(text, width).len() == count).unwrap_or(LABEL_WIDTH);
    let mut label = wrap(text, if count > lines { LABEL_WIDTH } else { width });
    if label.len() > lines {
        let last = label.split_off(lines - 1).join(" ");
        label.push(shorten(&last, LABEL_WIDTH));
    }
    if label.is_empty() {
        label.push(NONE.into());
    }
    label
}

fn chain_panel(benchmark: &str, suite: &SuiteSummary, chain: &Chain) -> Panel {
    let row = |(index, (&rate, &paper)): (usize, (&Rate, &Option<f64>))| ForestRow {
        paper,
        ..ForestRow::of_rate(RowKind::Part, vec![format!("{} in a row", index + 1)], rate)
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
    Panel { title: format!("{title}, {}: {average}{paper}", suite.counts.label()), rows }
}

/// The sub-tasks of chains; `None` where the protocol does not name them.
fn subtask_panel(chain: &Chain) -> Option<Panel> {
    let row = |subtask: &SubtaskSummary| {
        let label = shorten(&subtask.name.replace('_', " "), LABEL_WIDTH);
        ForestRow::of_rate(RowKind::Part, vec![label], subtask.rate)
    };
    let rows: Vec<ForestRow> = chain.subtasks.iter().map(row).collect();
    let title = "sub-tasks, of the times that a chain reached them".to_owned();
    (!rows.is_empty()).then_some(Panel { title, rows })
}

impl ForestRow {
    fn of_rate(kind: RowKind, label: Vec<String>, rate: Rate) -> Self {
        let (index, paper, excluded) = (None, None, String::new());
        let (estimate, count) = (rate.estimate, fraction(rate));
        Self { kind, index, label, estimate, count, excluded, paper }
    }

    /// The number in percent.
    pub(super) fn percent(&self) -> String {
        percent(self.estimate.map(|estimate| estimate.value))
    }
}
