//! The difference of two runs, suite by suite.

use super::axis::{Axis, labelled};
use super::canvas::{Anchor, Canvas, FAINT, GRID, Lettering, RUN, Shape};
use super::heading::{Heading, MARGIN};
use super::{Plot, PlotError};
use crate::compare::{Ends, RunComparison};
use crate::figures::{shorten, signed};
use crate::statistics::Estimate;

const LABEL: i32 = 150;
const AXIS: (i32, i32) = (180, 560);
const NUMBER: i32 = 575;
const WIDTH: i32 = 780;
const ROW: i32 = 26;
const FOOT: i32 = 50;

/// Success of B less that of A with its interval, a row per suite; where episodes have several
/// stages, the stages as well.
///
/// # Errors
/// If the drawing library fails.
pub fn of_comparison(comparison: &RunComparison) -> Result<Vec<Plot>, PlotError> {
    let rows = |of: fn(&crate::compare::Part) -> Option<Ends>| -> Vec<(String, Estimate)> {
        let parts = comparison.parts.iter();
        parts.filter_map(|part| Some((part.name.clone(), of(part)?.into()))).collect()
    };
    let points = rows(|part| Some(part.difference));
    let points: Vec<_> =
        points.into_iter().map(|(name, difference)| (name, difference.times(100.0))).collect();
    let stages = rows(|part| part.length);
    let drawn = [
        ("difference", "Difference of the success rates", "points of success, B less A", 1, points),
        ("difference-in-stages", "Difference in stages", "stages, B less A", 2, stages),
    ];
    drawn
        .into_iter()
        .filter(|drawn| !drawn.4.is_empty())
        .map(|(name, title, below, decimals, rows)| {
            Ok(Plot { name: name.into(), title, svg: draw(title, below, decimals, &rows)? })
        })
        .collect()
}

fn draw(
    title: &str,
    below: &str,
    decimals: usize,
    rows: &[(String, Estimate)],
) -> Result<String, PlotError> {
    let lines = vec![
        "B less A on the episodes that ran to their end in both; left of 0, A is better".into(),
    ];
    let heading = Heading { title: title.into(), lines, legend: vec![] };
    let ends =
        rows.iter().flat_map(|(_, difference)| [difference.low.abs(), difference.high.abs()]);
    let widest = ends.fold(0.0, f64::max).max(1e-3) * 1.08;
    let axis = Axis::linear((-widest, widest), AXIS);
    let top = heading.height(WIDTH);
    let bottom = top + ROW * rows.len() as i32;
    let mut svg = String::new();
    let canvas = Canvas::new(&mut svg, (WIDTH, bottom + FOOT + MARGIN / 2))?;
    heading.draw(&canvas, WIDTH)?;
    axis.draw_across(&canvas, (top, bottom), &labelled(&axis.ticks(7)))?;
    canvas.line([(axis.at(0.0), top), (axis.at(0.0), bottom)], FAINT, 2)?;
    let middle = ((AXIS.0 + AXIS.1) / 2, bottom + 34);
    canvas.text(below, middle, Lettering::ink(12, Anchor::Middle))?;
    for (number, (name, difference)) in (0..).zip(rows) {
        let y = top + ROW * number + ROW / 2;
        canvas.text(&shorten(name, 22), (LABEL, y), Lettering::ink(12, Anchor::Right))?;
        canvas.line([(AXIS.0, y), (AXIS.1, y)], GRID, 1)?;
        canvas.whiskers([(axis.at(difference.low), y), (axis.at(difference.high), y)], RUN)?;
        canvas.mark(Shape::Circle, (axis.at(difference.value), y), RUN)?;
        let text = signed(*difference, decimals);
        canvas.text(&text, (NUMBER, y), Lettering::ink(12, Anchor::Left))?;
    }
    canvas.finish()?;
    Ok(svg)
}
