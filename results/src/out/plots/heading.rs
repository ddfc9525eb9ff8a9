//! The top of a plot: its title, the caption of the run, and the legend.

use plotters::style::RGBColor;

use super::canvas::{Anchor, Canvas, FAINT, INK, Lettering, Look, Shape, text_width};
use super::plot::PlotError;
use crate::tables::caption::Caption;
use crate::tables::format::{shorten, wrap};

/// The space around a plot.
pub(super) const MARGIN: i32 = 20;
const TITLE: i32 = 34;
const LINE: i32 = 18;
/// Width of a sample in the legend with the space to its text.
const SAMPLE: i32 = 36;
/// Space between two entries of the legend.
const GAP: i32 = 26;

/// The top of a plot.
#[derive(Debug, Clone)]
pub(super) struct Heading {
    pub(super) title: String,
    /// Fainter lines; one that starts with `!` is a warning.
    pub(super) lines: Vec<String>,
    pub(super) legend: Vec<Entry>,
}

/// An entry of the legend.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) sample: Sample,
    pub(super) text: String,
}

/// The symbol of an entry of the legend.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sample {
    /// A mark on a line.
    Line(Look),
    /// A mark on a line in a band.
    Band(Shape, RGBColor),
    /// A mark next to a dashed vertical line.
    Upright(Shape, RGBColor),
    /// A mark.
    Mark(Shape, RGBColor),
    /// A bar.
    Bar(RGBColor),
    /// A thin vertical line.
    Tick(RGBColor),
    /// A thick vertical line in a framed band.
    Median(RGBColor),
}

impl Heading {
    /// `title` over the caption of a run.
    pub(super) fn new(caption: &Caption, title: &str, legend: Vec<Entry>) -> Self {
        let warnings = caption.warnings.iter().map(|warning| format!("! {warning}"));
        let lines = caption.lines.iter().cloned().chain(warnings).collect();
        Self { title: format!("{}: {title}", caption.title), lines, legend }
    }

    /// A page of `width` with this heading and `below` pixels for what `draw` draws from the given
    /// height on, as SVG.
    pub(super) fn page(
        &self,
        width: i32,
        below: i32,
        draw: impl FnOnce(&Canvas, i32) -> Result<(), PlotError>,
    ) -> Result<String, PlotError> {
        let mut svg = String::new();
        let top = self.height(width);
        let canvas = Canvas::new(&mut svg, (width, top + below))?;
        self.draw(&canvas, width)?;
        draw(&canvas, top)?;
        canvas.finish()?;
        Ok(svg)
    }

    /// Its height on a page of `width` pixels, from the page's top.
    fn height(&self, width: i32) -> i32 {
        let lines = self.wrapped(width).len() as i32 + self.legend_positions(width).1;
        MARGIN + TITLE + LINE * lines + 4
    }

    fn draw(&self, canvas: &Canvas, width: i32) -> Result<(), PlotError> {
        let mut y = MARGIN + 8;
        canvas.text(&self.title, (MARGIN, y), Lettering::ink(18, Anchor::Left))?;
        y += TITLE - 8;
        for (line, color) in self.wrapped(width) {
            let anchor = Anchor::Left;
            canvas.text(&line, (MARGIN, y), Lettering { size: 12, color, anchor })?;
            y += LINE;
        }
        y += 4;
        for (entry, (x, row)) in self.legend.iter().zip(self.legend_positions(width).0) {
            let at = (x, y + LINE * row);
            entry.sample.draw(canvas, at)?;
            let text = shortened(&entry.text, width);
            canvas.text(&text, (at.0 + SAMPLE, at.1), Lettering::ink(12, Anchor::Left))?;
        }
        Ok(())
    }

    /// The lines wrapped to a page of `width` pixels, with their colors.
    fn wrapped(&self, width: i32) -> Vec<(String, RGBColor)> {
        // A character of 12 pixels is about 6.4 wide.
        let characters = (f64::from(width - 2 * MARGIN) / 6.6) as usize;
        let lines = self.lines.iter().map(|line| {
            let color = if line.starts_with('!') { INK } else { FAINT };
            wrap(line, characters).into_iter().map(move |line| (line, color))
        });
        lines.flatten().collect()
    }

    /// Positions of the legend's entries (x, row), and the number of rows.
    fn legend_positions(&self, width: i32) -> (Vec<(i32, i32)>, i32) {
        let (mut x, mut row) = (MARGIN, 0);
        let mut positions = Vec::new();
        for entry in &self.legend {
            let length = SAMPLE + text_width(&shortened(&entry.text, width), 12);
            if x > MARGIN && x + length > width - MARGIN {
                (x, row) = (MARGIN, row + 1);
            }
            positions.push((x, row));
            x += length + GAP;
        }
        let rows = if positions.is_empty() { 0 } else { row + 1 };
        (positions, rows)
    }
}

/// An entry's text shortened to a page of `width` pixels.
fn shortened(text: &str, width: i32) -> String {
    let room = width - 2 * MARGIN - SAMPLE;
    shorten(text, (f64::from(room) / 6.84) as usize)
}

impl Sample {
    fn draw(self, canvas: &Canvas, (x, y): (i32, i32)) -> Result<(), PlotError> {
        let middle = (x + 14, y);
        match self {
            Self::Line(look) => {
                canvas.curve(&[(x, y), (x + 28, y)], look)?;
                canvas.mark(look.shape, middle, look.ink)
            }
            Self::Band(shape, ink) => {
                canvas.band([(x, y - 7), (x + 28, y + 7)], ink)?;
                canvas.line([(x + 14, y - 7), (x + 14, y + 7)], ink, 1)?;
                canvas.mark(shape, middle, ink)
            }
            Self::Upright(shape, ink) => {
                canvas.dashes([(x + 4, y - 8), (x + 4, y + 8)], ink)?;
                canvas.mark(shape, (x + 20, y), ink)
            }
            Self::Mark(shape, ink) => canvas.mark(shape, middle, ink),
            Self::Tick(ink) => canvas.line([(x + 14, y - 4), (x + 14, y + 4)], ink, 1),
            Self::Median(ink) => {
                canvas.band([(x + 2, y - 7), (x + 26, y + 7)], ink)?;
                canvas.outline([(x + 2, y - 7), (x + 26, y + 7)], ink)?;
                canvas.line([(x + 14, y - 8), (x + 14, y + 8)], ink, 4)
            }
            Self::Bar(ink) => canvas.bar([(x + 4, y - 6), (x + 26, y + 6)], ink),
        }
    }
}
