//! Shapes and text on an SVG, in pixels.

use std::fmt::Display;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::PlotError;

/// The bundled font first, then what most machines have.
const FONT: &str = "Inter, Helvetica, Arial, sans-serif";
/// The SVG backend divides a font's size by this.
const FONT_SCALE: f64 = 1.24;

/// Colours that stay apart for colour-blind readers and in grey (Okabe and Ito's palette).
pub(super) const RUN: RGBColor = RGBColor(0, 114, 178);
/// The paper's numbers.
pub(super) const PAPER: RGBColor = RGBColor(213, 94, 0);
/// Text.
pub(super) const INK: RGBColor = RGBColor(34, 34, 34);
/// Text of less weight.
pub(super) const FAINT: RGBColor = RGBColor(95, 95, 95);
/// Lines of the grid.
pub(super) const GRID: RGBColor = RGBColor(224, 224, 224);

/// A point: to the right and down, in pixels.
pub(super) type Point = (i32, i32);

/// Which end of a text stands at its point.
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
    pub(super) colour: RGBColor,
    /// Which end stands at the point.
    pub(super) anchor: Anchor,
}

/// A white page.
pub(super) struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
}

impl<'a> Canvas<'a> {
    /// A page of `size` pixels that is written into `svg`.
    pub(super) fn new(svg: &'a mut String, size: (u32, u32)) -> Result<Self, PlotError> {
        let area = SVGBackend::with_string(svg, size).into_drawing_area();
        area.fill(&WHITE).map_err(draw_error)?;
        Ok(Self { area })
    }

    /// Ends the page.
    pub(super) fn finish(self) -> Result<(), PlotError> {
        self.area.present().map_err(draw_error)
    }

    /// A text whose middle height is at `at`.
    pub(super) fn text(&self, text: &str, at: Point, look: Lettering) -> Result<(), PlotError> {
        let horizontal = match look.anchor {
            Anchor::Left => HPos::Left,
            Anchor::Middle => HPos::Center,
            Anchor::Right => HPos::Right,
        };
        let style = TextStyle::from((FONT, f64::from(look.size) * FONT_SCALE).into_font())
            .color(&look.colour)
            .pos(Pos::new(horizontal, VPos::Center));
        self.area.draw(&Text::new(text.to_owned(), at, style)).map_err(draw_error)
    }

    /// A line of `width` pixels.
    pub(super) fn line(
        &self,
        ends: [Point; 2],
        ink: RGBColor,
        width: u32,
    ) -> Result<(), PlotError> {
        let path = PathElement::new(ends.to_vec(), ink.stroke_width(width));
        self.area.draw(&path).map_err(draw_error)
    }

    /// A dashed vertical line.
    pub(super) fn dashes(
        &self,
        x: i32,
        (top, end): (i32, i32),
        ink: RGBColor,
    ) -> Result<(), PlotError> {
        for y in (top..end).step_by(8) {
            self.line([(x, y), (x, (y + 5).min(end))], ink, 2)?;
        }
        Ok(())
    }

    /// A rectangle with a faint filling.
    pub(super) fn band(&self, corners: [Point; 2], ink: RGBColor) -> Result<(), PlotError> {
        let band = Rectangle::new(corners, ink.mix(0.13).filled());
        self.area.draw(&band).map_err(draw_error)
    }

    /// A filled circle.
    pub(super) fn circle(&self, at: Point) -> Result<(), PlotError> {
        self.area.draw(&Circle::new(at, 4, RUN.filled())).map_err(draw_error)
    }

    /// A filled square.
    pub(super) fn square(&self, (x, y): Point) -> Result<(), PlotError> {
        let square = Rectangle::new([(x - 4, y - 4), (x + 4, y + 4)], RUN.filled());
        self.area.draw(&square).map_err(draw_error)
    }

    /// A hollow diamond, wide enough to show a circle at the same place.
    pub(super) fn diamond(&self, (x, y): Point) -> Result<(), PlotError> {
        let corners = [(x - 7, y), (x, y - 7), (x + 7, y), (x, y + 7)];
        let outline = corners.iter().chain(&corners[..2]).copied().collect::<Vec<_>>();
        self.area.draw(&PathElement::new(outline, PAPER.stroke_width(2))).map_err(draw_error)
    }
}

fn draw_error(e: impl Display) -> PlotError {
    PlotError::Draw { reason: e.to_string() }
}
