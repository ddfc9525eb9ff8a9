//! The difference of two runs, suite by suite.

use super::axis::{Axis, labelled};
use super::canvas::{Anchor, FAINT, GRID, Lettering, RUN, Shape};
use super::heading::{Heading, MARGIN};
use super::plot::{Plot, PlotError};
use crate::compare::pairs::{Part, RunComparison};
use crate::statistics::Estimate;
use crate::tables::format::{shorten, signed};

const LABEL: i32 = 150;
const AXIS: (i32, i32) = (180, 560);
const NUMBER: i32 = 575;
const WIDTH: i32 = 780;
const ROW: i32 = 26;
const FOOT: i32 = 50;

/// One of the two plots.
struct Drawing {
    name: &'static str,
    title: &'static str,
    /// What the axis shows.
    below: &'static str,
    decimals: usize,
    rows: Vec<(String, Estimate)>,
}

/// Success of B minus that of A with its interval, a row per suite; where episodes have several
/// stages, the stages as well.
///
/// # Errors
/// If the drawing library fails.
pub fn of_comparison(comparison: &RunComparison) -> Result<Vec<Plot>, PlotError> {
    let rows = |of: fn(&Part) -> Option<Estimate>| -> Vec<(String, Estimate)> {
        let parts = comparison.parts.iter();
        parts.filter_map(|part| Some((part.name.clone(), of(part)?))).collect()
    };
    let drawings = [
        Drawing {
            name: "difference",
            title: "Difference of the success rates",
            below: "points of success, B minus A",
            decimals: 1,
            rows: rows(|part| Some(part.difference.times(100.0))),
        },
        Drawing {
            name: "difference-in-stages",
            title: "Difference in stages",
            below: "stages, B minus A",
            decimals: 2,
            rows: rows(|part| part.length),
        },
    ];
    let drawn = drawings.into_iter().filter(|drawing| !drawing.rows.is_empty());
    drawn.map(|drawing| drawing.plot()).collect()
}

impl Drawing {
    fn plot(self) -> Result<Plot, PlotError> {
        let note =
            "B minus A on the episodes that ran to their end in both; left of 0, A is better";
        let heading =
            Heading { title: self.title.into(), lines: vec![note.into()], legend: vec![] };
        let ends = self.rows.iter().flat_map(|(_, difference)| [difference.low, difference.high]);
        let widest = ends.map(f64::abs).fold(0.0, f64::max).max(1e-3) * 1.08;
        let axis = Axis::linear((-widest, widest), AXIS);
        let height = ROW * self.rows.len() as i32;
        let svg = heading.page(WIDTH, height + FOOT + MARGIN / 2, |canvas, top| {
            let bottom = top + height;
            axis.draw_across(canvas, (top, bottom), &labelled(&axis.ticks(7)))?;
            canvas.line([(axis.at(0.0), top), (axis.at(0.0), bottom)], FAINT, 2)?;
            let middle = ((AXIS.0 + AXIS.1) / 2, bottom + 34);
            canvas.text(self.below, middle, Lettering::ink(12, Anchor::Middle))?;
            for (number, (name, difference)) in (0..).zip(&self.rows) {
                let y = top + ROW * number + ROW / 2;
                canvas.text(&shorten(name, 22), (LABEL, y), Lettering::ink(12, Anchor::Right))?;
                canvas.line([(AXIS.0, y), (AXIS.1, y)], GRID, 1)?;
                let ends = [(axis.at(difference.low), y), (axis.at(difference.high), y)];
                canvas.whiskers(ends, RUN)?;
                canvas.mark(Shape::Circle, (axis.at(difference.value), y), RUN)?;
                let text = signed(*difference, self.decimals);
                canvas.text(&text, (NUMBER, y), Lettering::ink(12, Anchor::Left))?;
            }
            Ok(())
        })?;
        Ok(Plot { name: self.name.into(), title: self.title, svg })
    }
}
