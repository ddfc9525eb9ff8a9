//! The success plot: a forest plot per suite.

use super::axis::{Axis, in_percent};
use super::canvas::{Anchor, Canvas, GRID, Lettering, Look, PAPER, RUN, Shape};
use super::forest::{Forest, ForestRow, Panel};
use super::heading::{Entry, Heading, MARGIN, Sample};
use super::plot::PlotError;
use crate::statistics::Estimate;
use crate::tables::model::RowKind;
use crate::tables::summary::Summary;

/// Right end of a task's index, and left end of its name.
const INDEX_END: i32 = 36;
const NAME: i32 = 44;
/// Ends of the axis, and right ends of the columns next to it.
const AXIS: (i32, i32) = (392, 792);
const COUNT_END: i32 = 866;
const PERCENT_END: i32 = 924;
const EXCLUDED_START: i32 = 940;
/// The page's width, and what the column of excluded episodes adds.
const WIDTH: i32 = PERCENT_END + MARGIN;
const EXCLUDED_WIDTH: i32 = 150;
/// Heights of a line of a label, of the space around a row, and of the parts of a panel.
const LINE: i32 = 15;
const ROW_SPACE: i32 = 7;
const TITLE: i32 = 30;
const AXIS_HEIGHT: i32 = 40;
const FOOT: i32 = 18;

/// The success plot of a run as SVG: every task's rate with its Wilson interval; the suite's as
/// a line with a band, the paper's as a dashed line. Episodes of several stages have a row per
/// number of stages in a row instead of a row per task.
///
/// # Errors
/// If the drawing library fails.
pub fn success_by_task(summary: &Summary) -> Result<String, PlotError> {
    let forest = Forest::new(summary);
    let width = WIDTH + if forest.has_excluded() { EXCLUDED_WIDTH } else { 0 };
    let heading = Heading::new(&forest.caption, forest.rows, legend(&forest));
    let panels: i32 = forest.panels.iter().map(panel_height).sum();
    heading.page(width, panels + FOOT + MARGIN, |canvas, top| {
        let mut y = top;
        for panel in &forest.panels {
            draw_panel(canvas, panel, &forest, y)?;
            y += panel_height(panel);
        }
        let axis = "success, % of the episodes that ran, with 95 % Wilson intervals";
        let axis = match forest.start {
            0 => axis.to_owned(),
            _ => format!("{axis}; the axis does not begin at 0"),
        };
        canvas.text(&axis, ((AXIS.0 + AXIS.1) / 2, y - 4), Lettering::ink(12, Anchor::Middle))
    })
}

fn legend(forest: &Forest) -> Vec<Entry> {
    let mut legend = vec![Entry { sample: Sample::Line(Look::of(0)), text: "this run".into() }];
    if forest.has(RowKind::Whole) {
        let text = "suite, this run".into();
        legend.push(Entry { sample: Sample::Band(Shape::Square, RUN), text });
    }
    let text = "paper".to_owned();
    if forest.has(RowKind::Published) {
        legend.push(Entry { sample: Sample::Upright(Shape::Diamond, PAPER), text });
    } else if forest.has_paper_marks() {
        legend.push(Entry { sample: Sample::Mark(Shape::Diamond, PAPER), text });
    }
    legend
}

fn panel_height(panel: &Panel) -> i32 {
    TITLE + panel.rows.iter().map(row_height).sum::<i32>() + AXIS_HEIGHT
}

fn row_height(row: &ForestRow) -> i32 {
    LINE * row.label.len() as i32 + ROW_SPACE
}

fn draw_panel(canvas: &Canvas, panel: &Panel, forest: &Forest, top: i32) -> Result<(), PlotError> {
    let axis = Axis::linear((f64::from(forest.start) / 100.0, 1.0), AXIS);
    canvas.text(&panel.title, (MARGIN, top + TITLE / 2), Lettering::ink(14, Anchor::Left))?;
    let head = top + TITLE;
    let end = head + panel.rows.iter().map(row_height).sum::<i32>();
    axis.draw_across(canvas, (head, end), &in_percent(&axis.ticks(5)))?;
    if let Some(whole) = panel.reference(RowKind::Whole) {
        canvas.band([(axis.at(whole.low), head), (axis.at(whole.high), end)], RUN)?;
        canvas.line([(axis.at(whole.value), head), (axis.at(whole.value), end)], RUN, 1)?;
    }
    if let Some(paper) = panel.reference(RowKind::Published) {
        let x = axis.at(paper.value);
        canvas.dashes([(x, head), (x, end)], PAPER)?;
    }
    let mut y = head;
    for row in &panel.rows {
        let height = row_height(row);
        if row.kind == RowKind::Whole {
            canvas.line([(MARGIN, y), (PERCENT_END, y)], GRID, 1)?;
        }
        draw_row(canvas, row, &axis, y + height / 2)?;
        y += height;
    }
    Ok(())
}

fn draw_row(canvas: &Canvas, row: &ForestRow, axis: &Axis, y: i32) -> Result<(), PlotError> {
    let (left, right) = (Lettering::ink(12, Anchor::Left), Lettering::ink(12, Anchor::Right));
    let first = y - LINE * (row.label.len() as i32 - 1) / 2;
    if let Some(index) = row.index {
        canvas.text(&index.to_string(), (INDEX_END, first), right)?;
    }
    for (index, line) in (0..).zip(&row.label) {
        canvas.text(line, (NAME, first + LINE * index), left)?;
    }
    canvas.text(&row.count, (COUNT_END, y), right)?;
    canvas.text(&row.percent(), (PERCENT_END, y), right)?;
    canvas.text(&row.excluded, (EXCLUDED_START, y), left)?;
    let (shape, ink) = match row.kind {
        RowKind::Part => (Shape::Circle, RUN),
        RowKind::Whole => (Shape::Square, RUN),
        RowKind::Published | RowKind::NotMeasured => (Shape::Diamond, PAPER),
    };
    if let Some(Estimate { value, low, high }) = row.estimate {
        canvas.whiskers([(axis.at(low), y), (axis.at(high), y)], ink)?;
        canvas.mark(shape, (axis.at(value), y), ink)?;
    }
    row.paper.map_or(Ok(()), |paper| canvas.mark(Shape::Diamond, (axis.at(paper), y), PAPER))
}
