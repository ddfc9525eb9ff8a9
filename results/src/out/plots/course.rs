//! The course of a training: a panel per figure, all over the same steps.

use super::axis::Axis;
use super::canvas::{Anchor, Canvas, GRID, INK, Lettering, RUN};
use super::plot::PlotError;

/// Width and height of a panel's field, and what is around it.
const FIELD: (i32, i32) = (300, 130);
const AROUND: (i32, i32) = (90, 62);
const COLUMNS: usize = 3;
const TOP: i32 = 44;

/// A figure and its (step, value) pairs, ascending.
pub type Course = (String, Vec<(f64, f64)>);

/// A page with a panel per figure. Figures without two values are left out.
///
/// # Errors
/// If the drawing library fails.
pub fn course(title: &str, figures: &[Course]) -> Result<String, PlotError> {
    let figures: Vec<&Course> = figures.iter().filter(|(_, values)| values.len() > 1).collect();
    let rows = figures.len().div_ceil(COLUMNS).max(1) as i32;
    let columns = figures.len().clamp(1, COLUMNS) as i32;
    let cell = (FIELD.0 + AROUND.0, FIELD.1 + AROUND.1);
    let size = (columns * cell.0 + 30, TOP + rows * cell.1);
    let mut svg = String::new();
    let canvas = Canvas::new(&mut svg, size)?;
    canvas.text(title, (16, TOP / 2), Lettering::ink(17, Anchor::Left))?;
    let all = figures.iter().flat_map(|(_, values)| values.iter().map(|(step, _)| *step));
    let last = all.fold(1.0, f64::max);
    for (at, (name, values)) in figures.into_iter().enumerate() {
        let (row, column) = ((at / COLUMNS) as i32, (at % COLUMNS) as i32);
        let left = column * cell.0 + AROUND.0 - 20;
        let top = TOP + row * cell.1 + 22;
        panel(&canvas, (left, top), name, values, last)?;
    }
    canvas.finish()?;
    Ok(svg)
}

fn panel(
    canvas: &Canvas,
    (left, top): (i32, i32),
    name: &str,
    values: &[(f64, f64)],
    last: f64,
) -> Result<(), PlotError> {
    let (right, bottom) = (left + FIELD.0, top + FIELD.1);
    let low = values.iter().map(|(_, value)| *value).fold(f64::INFINITY, f64::min).min(0.0);
    let high = values.iter().map(|(_, value)| *value).fold(f64::NEG_INFINITY, f64::max);
    let up = Axis::linear((low, if high > low { high } else { low + 1.0 }), (bottom, top));
    let across = Axis::linear((0.0, last), (left, right));
    canvas.text(name, (left, top - 14), Lettering::ink(14, Anchor::Left))?;
    for tick in up.ticks(4) {
        let y = up.at(tick);
        canvas.line([(left, y), (right, y)], GRID, 1)?;
        let text = format!("{tick:.4}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        canvas.text(text, (left - 6, y), Lettering::faint(12, Anchor::Right))?;
    }
    for tick in across.ticks(4) {
        let at = (across.at(tick), bottom + 14);
        canvas.text(&format!("{tick}"), at, Lettering::faint(12, Anchor::Middle))?;
    }
    canvas.line([(left, bottom), (right, bottom)], INK, 1)?;
    let points: Vec<_> =
        values.iter().map(|(step, value)| (across.at(*step), up.at(*value))).collect();
    canvas.path(&points, RUN, 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_has_a_panel_and_one_without_a_course_has_none() {
        let falling = (0..9).map(|step| (f64::from(step), 1.0 / f64::from(step + 1))).collect();
        let figures =
            [("loss".to_owned(), falling), ("rate".to_owned(), vec![(1.0, 0.5), (2.0, 0.5)])];
        let svg = course("policy", &[&figures[..], &[("once".into(), vec![(1.0, 2.0)])]].concat());
        let svg = svg.unwrap();
        assert!(["policy", "loss", "rate"].iter().all(|text| svg.contains(text)), "{svg}");
        assert!(!svg.contains("once"));
        assert_eq!(svg.matches("stroke=\"#0072B2\"").count(), 2, "{svg}");
    }
}
