//! Axes: from values to pixels, and the lines of the grid.

use super::canvas::{Anchor, Canvas, FAINT, GRID, Lettering, Point};
use super::heading::MARGIN;
use super::plot::PlotError;

/// Width of the plots with one field, and the ends of its horizontal axis.
pub(super) const CHART_WIDTH: i32 = 760;
const CHART_AXIS: (i32, i32) = (66, 732);

/// An axis.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    /// The values at its ends.
    pub(super) values: (f64, f64),
    /// The pixels of its ends.
    pub(super) pixels: (i32, i32),
    logarithmic: bool,
}

impl Axis {
    /// A linear axis.
    pub(super) fn linear(values: (f64, f64), pixels: (i32, i32)) -> Self {
        Self { values, pixels, logarithmic: false }
    }

    /// The horizontal axis of a plot with one field.
    pub(super) fn across_chart(values: (f64, f64)) -> Self {
        Self::linear(values, CHART_AXIS)
    }

    /// The same with a logarithmic scale; its values are positive.
    pub(super) fn logarithmic(self) -> Self {
        Self { logarithmic: true, ..self }
    }

    /// The pixel of a value.
    pub(super) fn at(&self, value: f64) -> i32 {
        let scaled = |value: f64| if self.logarithmic { value.ln() } else { value };
        let (from, to) = (scaled(self.values.0), scaled(self.values.1));
        let length = f64::from(self.pixels.1 - self.pixels.0);
        // Values of damaged files may be far outside.
        self.pixels.0.saturating_add(((scaled(value) - from) / (to - from) * length).round() as i32)
    }

    /// Round values on the axis, about `most` of them at most.
    pub(super) fn ticks(&self, most: usize) -> Vec<f64> {
        if !self.logarithmic {
            return linear_ticks(self.values, most);
        }
        let steps: [&[f64]; 3] = [&[1.0, 2.0, 5.0], &[1.0, 3.0], &[1.0]];
        let ticks = steps.map(|steps| decades(self.values, steps));
        ticks.iter().find(|ticks| ticks.len() <= most).unwrap_or(&ticks[2]).clone()
    }

    /// Draws the horizontal axis of the field between `top` and `end`: a grid line and a label per
    /// tick.
    pub(super) fn draw_across(
        &self,
        canvas: &Canvas,
        (top, end): (i32, i32),
        ticks: &[(f64, String)],
    ) -> Result<(), PlotError> {
        for (value, label) in ticks {
            let x = self.at(*value);
            canvas.line([(x, top), (x, end + 4)], GRID, 1)?;
            canvas.text(label, (x, end + 14), Lettering::ink(12, Anchor::Middle))?;
        }
        canvas.line([(self.pixels.0, end), (self.pixels.1, end)], FAINT, 1)
    }

    /// Draws the vertical axis of the field between `left` and `end`.
    fn draw_up(
        &self,
        canvas: &Canvas,
        (left, end): (i32, i32),
        ticks: &[(f64, String)],
    ) -> Result<(), PlotError> {
        ticks.iter().try_for_each(|(value, label)| {
            let y = self.at(*value);
            canvas.line([(left, y), (end, y)], GRID, 1)?;
            canvas.text(label, (left - 8, y), Lettering::ink(12, Anchor::Right))
        })
    }
}

/// A field between two axes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    /// The horizontal axis, from left to right.
    pub(super) across: Axis,
    /// The vertical axis, from the bottom up.
    pub(super) up: Axis,
}

/// Ticks and titles of a field's axes.
#[derive(Debug, Clone)]
pub(super) struct Scales {
    /// Values of the horizontal axis with their labels.
    pub(super) across: Vec<(f64, String)>,
    /// Values of the vertical axis with their labels.
    pub(super) up: Vec<(f64, String)>,
    /// Title of the horizontal axis, below it.
    pub(super) below: String,
    /// Title of the vertical axis, above it and not rotated.
    pub(super) above: String,
}

impl Field {
    /// Heights of what is above and below a field.
    pub(super) const AROUND: (i32, i32) = (26, 48);

    /// Height of a field of `height` with everything around it, up to the bottom of the page.
    pub(super) fn outer(height: i32) -> i32 {
        Self::AROUND.0 + height + Self::AROUND.1 + MARGIN / 2
    }

    /// Bottom and top of a field of `height`, if it starts at `top` with what is above it.
    pub(super) fn inner(top: i32, height: i32) -> (i32, i32) {
        (top + Self::AROUND.0 + height, top + Self::AROUND.0)
    }

    /// Draws axes and grid.
    pub(super) fn draw(&self, canvas: &Canvas, scales: &Scales) -> Result<(), PlotError> {
        let ((left, right), (bottom, top)) = (self.across.pixels, self.up.pixels);
        self.across.draw_across(canvas, (top, bottom), &scales.across)?;
        self.up.draw_up(canvas, (left, right), &scales.up)?;
        canvas.text(&scales.above, (left, top - 14), Lettering::ink(12, Anchor::Left))?;
        let middle = ((left + right) / 2, bottom + 34);
        canvas.text(&scales.below, middle, Lettering::ink(12, Anchor::Middle))
    }

    /// The point of a pair of values.
    pub(super) fn at(&self, x: f64, y: f64) -> Point {
        (self.across.at(x), self.up.at(y))
    }
}

/// Ticks labelled by their values, with as few decimals as possible.
pub(super) fn labelled(ticks: &[f64]) -> Vec<(f64, String)> {
    // Multiples of steps such as 0.1 have floating-point errors.
    let label = |tick: &f64| (*tick, ((tick * 1e6).round() / 1e6).to_string());
    ticks.iter().map(label).collect()
}

/// Ticks of shares, labelled in percent.
pub(super) fn in_percent(ticks: &[f64]) -> Vec<(f64, String)> {
    ticks.iter().map(|tick| (*tick, format!("{:.0}", tick * 100.0))).collect()
}

/// The largest multiple of a tenth of `scale` that is at most `lowest` and at most 8 tenths.
pub(super) fn start_below(lowest: f64, scale: f64) -> f64 {
    ((lowest / scale).min(0.8) * 10.0 + 1e-9).floor().max(0.0) / 10.0 * scale
}

/// Title of an axis of shares or lengths; an axis that does not begin at 0 says so.
pub(super) fn zoomed(title: &str, axis: &Axis) -> String {
    if axis.values.0 > 0.0 {
        format!("{title}; the axis does not begin at 0")
    } else {
        title.into()
    }
}

fn linear_ticks((from, to): (f64, f64), most: usize) -> Vec<f64> {
    let rough = (to - from) / most.max(1) as f64;
    if rough <= 0.0 || !rough.is_finite() {
        return vec![from];
    }
    let decade = 10_f64.powf(rough.log10().floor());
    let mut steps = [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * decade);
    let step = steps.find(|step| *step >= rough * 0.999).unwrap_or(10.0 * decade);
    let first = (from / step - 1e-6).ceil() as i64;
    let last = (to / step + 1e-6).floor() as i64;
    (first..=last).map(|number| number as f64 * step).collect()
}

fn decades((from, to): (f64, f64), steps: &[f64]) -> Vec<f64> {
    let decades = from.log10().floor() as i32..=to.log10().ceil() as i32;
    let ticks = decades.flat_map(|decade| steps.iter().map(move |step| step * 10_f64.powi(decade)));
    ticks.filter(|tick| *tick >= from * 0.999 && *tick <= to * 1.001).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let labels = |axis: &Axis, most| -> Vec<String> {
            labelled(&axis.ticks(most)).into_iter().map(|tick| tick.1).collect()
        };
        let axis = |values| Axis::linear(values, (0, 100));
        assert_eq!(labels(&axis((0.0, 1.0)), 5), ["0", "0.2", "0.4", "0.6", "0.8", "1"]);
        assert_eq!(labels(&axis((0.7, 1.0)), 4), ["0.7", "0.8", "0.9", "1"]);
        assert_eq!(labels(&axis((0.0, 520.0)), 6), ["0", "100", "200", "300", "400", "500"]);
        let axis = axis((0.04, 30.0)).logarithmic();
        assert_eq!(labels(&axis, 10), ["0.05", "0.1", "0.2", "0.5", "1", "2", "5", "10", "20"]);
        assert_eq!(axis.at(0.04), 0);
        assert_eq!(axis.at(30.0), 100);
    }

    #[test]
    fn an_axis_of_shares_starts_at_a_round_one() {
        assert_eq!(start_below(0.93, 1.0), 0.8);
        assert_eq!(start_below(0.7, 1.0), 0.7);
        assert_eq!(start_below(0.0, 5.0), 0.0);
        assert_eq!(start_below(4.04, 5.0), 4.0);
    }
}
