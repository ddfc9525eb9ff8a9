//! A table of the paper as bars: every method, and the runs.

use std::collections::BTreeSet;

use super::axis::{Axis, labelled};
use super::canvas::{Anchor, Canvas, FAINT, GRID, INK, Lettering, PALE, PAPER, RUN, text_width};
use super::heading::{Entry, Heading, MARGIN, Sample};
use super::labels::{LabelledRun, caption};
use super::plot::PlotError;
use crate::paper::{METHOD, Measure, Paper, PaperTable};
use crate::tables::format::{NONE, shorten};
use crate::tables::model::{Cell, Row, RowKind};
use crate::tables::paper_tables::{measured_row, published_rows};

/// Characters of a label, at most; the column is as wide as the longest one.
const LABEL_WIDTH: usize = 44;
/// Widths of a column: its bars, the number next to them, the space after it.
const BARS: i32 = 96;
const NUMBER: i32 = 44;
const SPACE: i32 = 14;
const ROW: i32 = 24;
const HEADS: i32 = 26;
const FOOT: i32 = 40;

/// The bars; `None` where the paper has no table about the runs' benchmark.
pub(super) fn methods(runs: &[LabelledRun], paper: &Paper) -> Result<Option<String>, PlotError> {
    let Some(table) = runs.first().and_then(|run| paper.table(&run.summary.benchmark)) else {
        return Ok(None);
    };
    let measured = runs
        .iter()
        .map(|run| Row { method: run.label.clone(), ..measured_row(table, &run.summary) });
    let rows: Vec<Row> = published_rows(table).into_iter().chain(measured).collect();
    let columns = table.columns.len() as i32 + 1;
    let labels = rows.iter().map(|row| text_width(&shorten(&row.method, LABEL_WIDTH), 12));
    let counts = rows.iter().map(|row| text_width(&count(row), 11));
    let left = MARGIN + labels.max().unwrap_or(0) + SPACE + counts.max().unwrap_or(0) + SPACE;
    let width = left + columns * (BARS + NUMBER + SPACE) + MARGIN;
    let mut caption = caption(runs);
    caption.lines.push(
        "whiskers: 95 % intervals; a published row whose cells are not k/n for the stated n has none"
            .into(),
    );
    let title = format!("compared with the methods of the paper's {}", table.source);
    let heading = Heading::new(&caption, &title, legend());
    let svg = heading.page(width, HEADS + ROW * rows.len() as i32 + FOOT, |canvas, top| {
        let top = top + HEADS;
        draw_labels(canvas, &rows, top, (left, width))?;
        (0..columns).try_for_each(|column| {
            let left = left + column * (BARS + NUMBER + SPACE);
            draw_column(canvas, table, &rows, (column as usize, left, top))
        })
    })?;
    Ok(Some(svg))
}

fn legend() -> Vec<Entry> {
    let entries = [
        (RUN, "measured here"),
        (PAPER, "UD-VLA, as published"),
        (PALE, "other methods, as published"),
    ];
    entries.map(|(ink, text)| Entry { sample: Sample::Bar(ink), text: text.into() }).into()
}

fn draw_labels(
    canvas: &Canvas,
    rows: &[Row],
    top: i32,
    (left, width): (i32, i32),
) -> Result<(), PlotError> {
    for (number, row) in (0..).zip(rows) {
        let y = top + ROW * number;
        if row.kind == RowKind::Whole {
            canvas.band([(MARGIN / 2, y), (width - MARGIN / 2, y + ROW)], RUN)?;
        }
        let label = shorten(&row.method, LABEL_WIDTH);
        canvas.text(&label, (MARGIN, y + ROW / 2), Lettering::ink(12, Anchor::Left))?;
        let at = (left - SPACE, y + ROW / 2);
        canvas.text(&count(row), at, Lettering::faint(11, Anchor::Right))?;
    }
    Ok(())
}

/// Episodes behind each bar of a row: `n = 500`, `n = 10 to 50`.
fn count(row: &Row) -> String {
    // The last column is the average, of all of them.
    let cells = row.cells.iter().rev().skip(1).flatten();
    let counts: BTreeSet<u32> = cells.filter_map(|cell| cell.n).collect();
    match (counts.first(), counts.last()) {
        (Some(least), Some(most)) if least == most => format!("n = {least}"),
        (Some(least), Some(most)) => format!("n = {least} to {most}"),
        _ if row.kind == RowKind::Published => row.n.clone(),
        _ => String::new(),
    }
}

fn draw_column(
    canvas: &Canvas,
    table: &PaperTable,
    rows: &[Row],
    (column, left, top): (usize, i32, i32),
) -> Result<(), PlotError> {
    let (most, head) = match (table.columns.get(column), table.measure) {
        (Some(column), Measure::Share) => (1.0, format!("{} in a row", column.name)),
        (Some(column), Measure::Percent) => (1.0, column.name.clone()),
        (None, Measure::Share) => (table.columns.len() as f64, "average length".into()),
        (None, Measure::Percent) => (1.0, "average".into()),
    };
    let bottom = top + ROW * rows.len() as i32;
    let axis = Axis::linear((0.0, most), (left, left + BARS));
    canvas.text(&head, (left, top - 12), Lettering::ink(13, Anchor::Left))?;
    for share in [0.0, 0.5, 1.0] {
        let x = axis.at(most * share);
        canvas.line([(x, top), (x, bottom + 4)], if share == 0.0 { FAINT } else { GRID }, 1)?;
        let factor = if table.measure == Measure::Percent { 100.0 } else { 1.0 };
        let value = most * share * factor;
        let label = labelled(&[value]).swap_remove(0).1;
        canvas.text(&label, (x, bottom + 15), Lettering::faint(11, Anchor::Middle))?;
    }
    for (number, row) in (0..).zip(rows) {
        let y = top + ROW * number + ROW / 2;
        draw_cell(canvas, row, row.cells[column].as_ref(), (&axis, y))?;
    }
    Ok(())
}

fn draw_cell(
    canvas: &Canvas,
    row: &Row,
    cell: Option<&Cell>,
    (axis, y): (&Axis, i32),
) -> Result<(), PlotError> {
    let at = (axis.pixels.1 + NUMBER, y);
    let printed = cell.map_or(NONE, |cell| cell.printed.as_str());
    canvas.text(printed, at, Lettering::ink(12, Anchor::Right))?;
    let Some(cell) = cell else { return Ok(()) };
    let ink = match row.kind {
        RowKind::Part | RowKind::Whole => RUN,
        RowKind::Published | RowKind::NotMeasured if row.method == METHOD => PAPER,
        RowKind::Published | RowKind::NotMeasured => PALE,
    };
    let Some(value) = cell.value else { return Ok(()) };
    canvas.bar([(axis.at(0.0), y - 7), (axis.at(value), y + 7)], ink)?;
    match (cell.low, cell.high) {
        (Some(low), Some(high)) => {
            canvas.line([(axis.at(low), y), (axis.at(high), y)], INK, 1)?;
            [low, high].iter().try_for_each(|end| {
                canvas.line([(axis.at(*end), y - 3), (axis.at(*end), y + 3)], INK, 1)
            })
        }
        _ => Ok(()),
    }
}
