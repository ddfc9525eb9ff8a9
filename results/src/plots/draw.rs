//! Draws the success plot: a forest plot per suite.

use super::PlotError;
use super::canvas::{Anchor, Canvas, FAINT, GRID, INK, Lettering, PAPER, Point, RUN};
use super::forest::{Forest, ForestRow, Panel};
use crate::figures::wrap;
use crate::statistics::Estimate;
use crate::summary::Summary;
use crate::table::RowKind;

const MARGIN: i32 = 20;
/// Where a task's index ends and its name begins.
const INDEX_END: i32 = 36;
const NAME: i32 = 44;
/// Where the axis begins and ends, and where the columns beside it end.
const AXIS: (i32, i32) = (392, 792);
const COUNT_END: i32 = 866;
const PERCENT_END: i32 = 924;
const APART_START: i32 = 940;
/// The page's width, and what a column of episodes that are not in the count adds.
const WIDTH: i32 = PERCENT_END + MARGIN;
const APART_WIDTH: i32 = 150;
/// Heights of a line of a label, of the space around a row, and of the parts of a panel.
const LINE: i32 = 15;
const ROW_SPACE: i32 = 7;
const TITLE: i32 = 30;
const AXIS_HEIGHT: i32 = 40;
const CAPTION_LINE: i32 = 18;

/// The success plot of a run as SVG: every task's rate with its Wilson interval; the suite's as
/// a line with a band, the paper's as a dashed line. Episodes of several stages have a row per
/// number of stages in a row instead of a row per task.
///
/// # Errors
/// If the drawing library fails.
pub fn success_by_task(summary: &Summary) -> Result<String, PlotError> {
    let forest = Forest::new(summary);
    let width = WIDTH + if forest.has_apart() { APART_WIDTH } else { 0 };
    let caption = caption_lines(&forest, width);
    let panels: i32 = forest.panels.iter().map(panel_height).sum();
    let height =
        2 * MARGIN + 34 + CAPTION_LINE * (caption.len() as i32 + 1) + panels + CAPTION_LINE;
    let mut svg = String::new();
    let canvas = Canvas::new(&mut svg, (width as u32, height as u32))?;
    let mut y = draw_caption(&canvas, &forest, &caption)?;
    for panel in &forest.panels {
        draw_panel(&canvas, panel, &forest, y)?;
        y += panel_height(panel);
    }
    let axis = "success, % of the episodes that ran, with 95 % Wilson intervals";
    canvas.text(axis, ((AXIS.0 + AXIS.1) / 2, y - 4), lettering(12, Anchor::Middle))?;
    canvas.finish()?;
    Ok(svg)
}

fn lettering(size: u16, anchor: Anchor) -> Lettering {
    Lettering { size, colour: INK, anchor }
}

fn caption_lines(forest: &Forest, width: i32) -> Vec<String> {
    // A character of 12 pixels is about 6.4 wide.
    let characters = ((width - 2 * MARGIN) as f64 / 6.6) as usize;
    let warnings = forest.caption.warnings.iter().map(|warning| format!("! {warning}"));
    let lines = forest.caption.lines.iter().cloned().chain(warnings);
    lines.flat_map(|line| wrap(&line, characters)).collect()
}

/// Draws title, caption and legend, and returns where they end.
fn draw_caption(canvas: &Canvas, forest: &Forest, lines: &[String]) -> Result<i32, PlotError> {
    let title = format!("{}: {}", forest.caption.title, forest.rows);
    let mut y = MARGIN + 8;
    canvas.text(&title, (MARGIN, y), lettering(18, Anchor::Left))?;
    y += 26;
    for line in lines {
        let colour = if line.starts_with('!') { INK } else { FAINT };
        canvas.text(line, (MARGIN, y), Lettering { colour, ..lettering(12, Anchor::Left) })?;
        y += CAPTION_LINE;
    }
    y += 4;
    draw_legend(canvas, forest, y)?;
    Ok(y + CAPTION_LINE)
}

fn draw_legend(canvas: &Canvas, forest: &Forest, y: i32) -> Result<(), PlotError> {
    let text = |text: &str, x| canvas.text(text, (x, y), lettering(12, Anchor::Left));
    let mut x = MARGIN;
    canvas.line([(x, y), (x + 28, y)], RUN, 2)?;
    canvas.circle((x + 14, y))?;
    text("this run", x + 36)?;
    x += 120;
    if forest.has(RowKind::Whole) {
        canvas.band([(x, y - 7), (x + 28, y + 7)], RUN)?;
        canvas.line([(x + 14, y - 7), (x + 14, y + 7)], RUN, 1)?;
        canvas.square((x + 14, y))?;
        text("suite, this run", x + 36)?;
        x += 160;
    }
    if forest.has(RowKind::Paper) || forest.has_paper_marks() {
        if forest.has(RowKind::Paper) {
            canvas.dashes(x + 4, (y - 8, y + 5), PAPER)?;
        }
        canvas.diamond((x + 20, y))?;
        text("paper", x + 36)?;
    }
    Ok(())
}

fn panel_height(panel: &Panel) -> i32 {
    TITLE + panel.rows.iter().map(row_height).sum::<i32>() + AXIS_HEIGHT
}

fn row_height(row: &ForestRow) -> i32 {
    LINE * row.label.len() as i32 + ROW_SPACE
}

fn draw_panel(canvas: &Canvas, panel: &Panel, forest: &Forest, top: i32) -> Result<(), PlotError> {
    let axis = Axis { start: forest.start };
    canvas.text(&panel.title, (MARGIN, top + TITLE / 2), lettering(14, Anchor::Left))?;
    let head = top + TITLE;
    let end = head + panel.rows.iter().map(row_height).sum::<i32>();
    axis.draw(canvas, (head, end))?;
    if let Some(whole) = panel.reference(RowKind::Whole) {
        canvas.band([(axis.x(whole.low), head), (axis.x(whole.high), end)], RUN)?;
        canvas.line([(axis.x(whole.value), head), (axis.x(whole.value), end)], RUN, 1)?;
    }
    if let Some(paper) = panel.reference(RowKind::Paper) {
        canvas.dashes(axis.x(paper.value), (head, end), PAPER)?;
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
    let first = y - LINE * (row.label.len() as i32 - 1) / 2;
    if let Some(index) = row.index {
        canvas.text(&index.to_string(), (INDEX_END, first), lettering(12, Anchor::Right))?;
    }
    for (index, line) in (0..).zip(&row.label) {
        canvas.text(line, (NAME, first + LINE * index), lettering(12, Anchor::Left))?;
    }
    canvas.text(&row.count, (COUNT_END, y), lettering(12, Anchor::Right))?;
    canvas.text(&row.percent(), (PERCENT_END, y), lettering(12, Anchor::Right))?;
    canvas.text(&row.apart, (APART_START, y), lettering(12, Anchor::Left))?;
    let ink = if row.kind == RowKind::Paper { PAPER } else { RUN };
    if let Some(Estimate { value, low, high }) = row.estimate {
        canvas.line([(axis.x(low), y), (axis.x(high), y)], ink, 2)?;
        for end in [low, high] {
            canvas.line([(axis.x(end), y - 3), (axis.x(end), y + 3)], ink, 2)?;
        }
        draw_mark(canvas, row.kind, (axis.x(value), y))?;
    }
    row.paper.map_or(Ok(()), |paper| canvas.diamond((axis.x(paper), y)))
}

fn draw_mark(canvas: &Canvas, kind: RowKind, at: Point) -> Result<(), PlotError> {
    match kind {
        RowKind::Part => canvas.circle(at),
        RowKind::Whole => canvas.square(at),
        RowKind::Paper => canvas.diamond(at),
    }
}

/// The axis of success, from `start` to 100 percent.
struct Axis {
    start: u16,
}

impl Axis {
    /// Where a share of 1 lies.
    fn x(&self, share: f64) -> i32 {
        let start = f64::from(self.start) / 100.0;
        let length = f64::from(AXIS.1 - AXIS.0);
        AXIS.0 + ((share - start) / (1.0 - start) * length).round() as i32
    }

    fn draw(&self, canvas: &Canvas, (head, end): (i32, i32)) -> Result<(), PlotError> {
        let step = if self.start < 50 { 20 } else { 10 };
        let first = self.start.next_multiple_of(step);
        for percent in (first..=100).step_by(usize::from(step)) {
            let x = self.x(f64::from(percent) / 100.0);
            canvas.line([(x, head), (x, end + 4)], GRID, 1)?;
            canvas.text(&percent.to_string(), (x, end + 13), lettering(11, Anchor::Middle))?;
        }
        canvas.line([(AXIS.0, end), (AXIS.1, end)], FAINT, 1)
    }
}
