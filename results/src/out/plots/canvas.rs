//! Shapes and text on an SVG, in pixels.

use std::fmt::Display;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::plot::PlotError;
use crate::out::printable::printable_line;

/// The bundled font first, then common ones.
const FONT: &str = "Inter, Helvetica, Arial, sans-serif";
/// The SVG backend divides a font's size by this.
const FONT_SCALE: f64 = 1.24;
/// Lengths of the dashes of a line and of the gaps between them.
const DASH: (f64, f64) = (9.0, 6.0);

/// Colors that color-blind readers can distinguish (Okabe and Ito's palette); this one for runs.
pub(super) const RUN: RGBColor = RGBColor(0, 114, 178);
/// The paper's numbers.
pub(super) const PAPER: RGBColor = RGBColor(213, 94, 0);
/// Text.
pub(super) const INK: RGBColor = RGBColor(34, 34, 34);
/// Fainter text.
pub(super) const FAINT: RGBColor = RGBColor(95, 95, 95);
/// Fainter bars.
pub(super) const PALE: RGBColor = RGBColor(166, 166, 166);
/// Lines of the grid.
pub(super) const GRID: RGBColor = RGBColor(224, 224, 224);

/// A point: to the right and down, in pixels.
pub(super) type Point = (i32, i32);

/// Horizontal alignment of a text at its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    /// Its left end.
    Left,
    /// Its middle.
    Middle,
    /// Its right end.
    Right,
}

/// How a text looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lettering {
    /// Size in pixels.
    pub(super) size: u16,
    /// Colour.
    pub(super) color: RGBColor,
    /// Alignment.
    pub(super) anchor: Anchor,
}

impl Lettering {
    /// Text in ink.
    pub(super) fn ink(size: u16, anchor: Anchor) -> Self {
        Self { size, color: INK, anchor }
    }

    /// Fainter text.
    pub(super) fn faint(size: u16, anchor: Anchor) -> Self {
        Self { size, color: FAINT, anchor }
    }
}

/// An upper estimate of the width of a text of `size` pixels.
pub(super) fn text_width(text: &str, size: u16) -> i32 {
    (text.chars().count() as f64 * f64::from(size) * 0.57).ceil() as i32
}

/// The shape of a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A filled circle.
    Circle,
    /// A filled square.
    Square,
    /// A hollow diamond, wide enough to show a circle at the same place.
    Diamond,
    /// A filled triangle.
    Triangle,
    /// A hollow circle.
    Ring,
    /// Two crossed lines.
    Cross,
}

/// Style of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stroke {
    /// Solid.
    Solid,
    /// Dashed.
    Dashed,
}

/// Style of one of several runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    /// Its color.
    pub(super) ink: RGBColor,
    /// Its marks.
    pub(super) shape: Shape,
    /// Its lines.
    pub(super) stroke: Stroke,
}

impl Look {
    /// The paper's numbers.
    pub(super) const PAPER: Self =
        Self { ink: PAPER, shape: Shape::Diamond, stroke: Stroke::Dashed };

    /// The style of run number `index`: color or shape differ between any six runs, and the lines of
    /// further ones are dashed.
    pub(super) fn of(index: usize) -> Self {
        let looks = [
            (RUN, Shape::Circle),
            (RGBColor(0, 158, 115), Shape::Triangle),
            (RGBColor(204, 121, 167), Shape::Square),
            (RGBColor(34, 34, 34), Shape::Cross),
            (RGBColor(86, 180, 233), Shape::Ring),
            (RGBColor(230, 159, 0), Shape::Square),
        ];
        let (ink, shape) = looks[index % looks.len()];
        let stroke = if index < looks.len() { Stroke::Solid } else { Stroke::Dashed };
        Self { ink, shape, stroke }
    }
}

/// A white page.
pub(super) struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
}

impl<'a> Canvas<'a> {
    /// A page of `size` pixels that is written into `svg`.
    pub(super) fn new(svg: &'a mut String, size: (i32, i32)) -> Result<Self, PlotError> {
        let size = (size.0.unsigned_abs(), size.1.unsigned_abs());
        let area = SVGBackend::with_string(svg, size).into_drawing_area();
        area.fill(&WHITE).map_err(draw_error)?;
        Ok(Self { area })
    }

    /// Ends the page.
    pub(super) fn finish(self) -> Result<(), PlotError> {
        self.area.present().map_err(draw_error)
    }

    /// A text, vertically centered at `at`.
    pub(super) fn text(&self, text: &str, at: Point, look: Lettering) -> Result<(), PlotError> {
        let horizontal = match look.anchor {
            Anchor::Left => HPos::Left,
            Anchor::Middle => HPos::Center,
            Anchor::Right => HPos::Right,
        };
        let style = TextStyle::from((FONT, f64::from(look.size) * FONT_SCALE).into_font())
            .color(&look.color)
            .pos(Pos::new(horizontal, VPos::Center));
        self.area.draw(&Text::new(printable_line(text), at, style)).map_err(draw_error)
    }

    /// A line of `width` pixels.
    pub(super) fn line(
        &self,
        ends: [Point; 2],
        ink: RGBColor,
        width: u32,
    ) -> Result<(), PlotError> {
        self.path(&ends, ink, width)
    }

    /// A line through `points`.
    pub(super) fn path(
        &self,
        points: &[Point],
        ink: RGBColor,
        width: u32,
    ) -> Result<(), PlotError> {
        let path = PathElement::new(points.to_vec(), ink.stroke_width(width));
        self.area.draw(&path).map_err(draw_error)
    }

    /// A line of two pixels through `points` in a run's style.
    pub(super) fn curve(&self, points: &[Point], look: Look) -> Result<(), PlotError> {
        match look.stroke {
            Stroke::Solid => self.path(points, look.ink, 2),
            Stroke::Dashed => {
                dashes(points).iter().try_for_each(|dash| self.path(dash, look.ink, 2))
            }
        }
    }

    /// A dashed line of two pixels.
    pub(super) fn dashes(&self, ends: [Point; 2], ink: RGBColor) -> Result<(), PlotError> {
        self.curve(&ends, Look { ink, shape: Shape::Circle, stroke: Stroke::Dashed })
    }

    /// A faintly filled rectangle.
    pub(super) fn band(&self, corners: [Point; 2], ink: RGBColor) -> Result<(), PlotError> {
        self.area.draw(&Rectangle::new(corners, ink.mix(0.13).filled())).map_err(draw_error)
    }

    /// A filled rectangle.
    pub(super) fn bar(&self, corners: [Point; 2], ink: RGBColor) -> Result<(), PlotError> {
        self.area.draw(&Rectangle::new(corners, ink.filled())).map_err(draw_error)
    }

    /// The outline of a rectangle.
    pub(super) fn outline(&self, corners: [Point; 2], ink: RGBColor) -> Result<(), PlotError> {
        self.area.draw(&Rectangle::new(corners, ink.stroke_width(1))).map_err(draw_error)
    }

    /// A faintly filled polygon.
    pub(super) fn area(&self, corners: &[Point], ink: RGBColor) -> Result<(), PlotError> {
        self.area.draw(&Polygon::new(corners.to_vec(), ink.mix(0.13).filled())).map_err(draw_error)
    }

    /// An interval from `low` to `high` with end caps.
    pub(super) fn whiskers(&self, [low, high]: [Point; 2], ink: RGBColor) -> Result<(), PlotError> {
        self.line([low, high], ink, 2)?;
        let (dx, dy) = if low.0 == high.0 { (3, 0) } else { (0, 3) };
        [low, high]
            .iter()
            .try_for_each(|&(x, y)| self.line([(x - dx, y - dy), (x + dx, y + dy)], ink, 2))
    }

    /// A mark.
    pub(super) fn mark(
        &self,
        shape: Shape,
        at @ (x, y): Point,
        ink: RGBColor,
    ) -> Result<(), PlotError> {
        let drawn = match shape {
            Shape::Circle => self.area.draw(&Circle::new(at, 4, ink.filled())),
            Shape::Ring => self.area.draw(&Circle::new(at, 5, ink.stroke_width(2))),
            Shape::Square => {
                self.area.draw(&Rectangle::new([(x - 4, y - 4), (x + 4, y + 4)], ink.filled()))
            }
            Shape::Triangle => {
                let corners = vec![(x - 5, y + 4), (x, y - 5), (x + 5, y + 4)];
                self.area.draw(&Polygon::new(corners, ink.filled()))
            }
            Shape::Diamond => {
                let corners = [(x - 7, y), (x, y - 7), (x + 7, y), (x, y + 7)];
                let outline = corners.iter().chain(&corners[..2]).copied().collect::<Vec<_>>();
                self.area.draw(&PathElement::new(outline, ink.stroke_width(2)))
            }
            Shape::Cross => {
                let stroke = |dy| vec![(x - 4, y - dy), (x + 4, y + dy)];
                self.area.draw(&PathElement::new(stroke(4), ink.stroke_width(2))).and_then(|()| {
                    self.area.draw(&PathElement::new(stroke(-4), ink.stroke_width(2)))
                })
            }
        };
        drawn.map_err(draw_error)
    }
}

/// The dashes of a line through `points`; the pattern continues around corners.
fn dashes(points: &[Point]) -> Vec<[Point; 2]> {
    let (dash, gap) = DASH;
    let mut dashes = Vec::new();
    // Position in the pattern where the next segment starts.
    let mut phase = 0.0;
    for ends in points.windows(2) {
        let [(x0, y0), (x1, y1)] = [ends[0], ends[1]].map(|(x, y)| (f64::from(x), f64::from(y)));
        let length = (x1 - x0).hypot(y1 - y0);
        if length == 0.0 {
            continue;
        }
        let at = |distance: f64| {
            let share = distance.clamp(0.0, length) / length;
            let point = |from: f64, to: f64| (from + (to - from) * share).round() as i32;
            (point(x0, x1), point(y0, y1))
        };
        let mut start = -phase;
        while start < length {
            if start + dash > 0.0 {
                dashes.push([at(start), at(start + dash)]);
            }
            start += dash + gap;
        }
        phase = length - (start - dash - gap);
    }
    dashes
}

fn draw_error(e: impl Display) -> PlotError {
    PlotError::Draw { reason: e.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_cover_six_tenths_of_a_line_with_a_corner() {
        let dashes = dashes(&[(0, 0), (95, 0), (95, 205)]);
        let length = |[a, b]: &[Point; 2]| (a.0 - b.0).abs() + (a.1 - b.1).abs();
        assert_eq!(dashes.iter().map(length).sum::<i32>(), 180);
        assert_eq!(dashes[1], [(15, 0), (24, 0)]);
        // The dash that the corner bends is 5 pixels long before it, and 4 after it.
        assert_eq!(dashes[6..8], [[(90, 0), (95, 0)], [(95, 0), (95, 4)]]);
    }
}
