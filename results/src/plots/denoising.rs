//! Denoising steps against success, a curve per kind of run.

use std::collections::BTreeMap;

use super::axis::{Axis, Field, Scales, in_percent, labelled, start_below};
use super::canvas::{Canvas, Look};
use super::heading::{Entry, Heading, MARGIN, Sample};
use super::{Named, PlotError};
use crate::statistics::Estimate;
use crate::summary::Summary;

const WIDTH: i32 = 760;
const FIELD: (i32, i32) = (66, 732);
const HEIGHT: i32 = 300;

/// Runs that differ in their denoising steps only: numbers by steps.
type Curves<'a> = BTreeMap<&'a str, BTreeMap<u32, Estimate>>;

/// A curve per kind of run; `None` where the runs have fewer than two numbers of steps.
pub(super) fn denoising_steps(runs: &[Named]) -> Result<Option<String>, PlotError> {
    let mut curves = Curves::new();
    for run in runs {
        let steps = run.run.manifest.subject.get("denoise_steps");
        let steps = steps.and_then(|steps| steps.parse().ok()).filter(|steps| *steps > 0);
        if let (Some(steps), Some(number)) = (steps, headline(&run.summary)) {
            curves.entry(&run.series).or_default().insert(steps, number);
        }
    }
    let mut steps: Vec<u32> = curves.values().flat_map(|curve| curve.keys().copied()).collect();
    steps.sort_unstable();
    steps.dedup();
    let (Some(&fewest), Some(&most)) = (steps.first(), steps.last()) else { return Ok(None) };
    if fewest == most {
        return Ok(None);
    }
    let look = |index| Look::of(index);
    let legend = curves.keys().enumerate().map(|(index, series)| Entry {
        sample: Sample::Line(look(index)),
        text: (*series).to_owned(),
    });
    let heading =
        Heading::new(&super::caption(runs), "success by denoising steps", legend.collect());
    let top = heading.height(WIDTH) + Field::AROUND.0;
    let scale = scale(&runs[0].summary);
    let lows = curves.values().flat_map(BTreeMap::values).map(|number| number.low);
    let from = start_below(lows.fold(scale, f64::min), scale);
    let field = Field {
        across: Axis::logarithmic((f64::from(fewest) / 1.2, f64::from(most) * 1.2), FIELD),
        up: Axis::linear((from, scale), (top + HEIGHT, top)),
    };
    let mut svg = String::new();
    let canvas = Canvas::new(&mut svg, (WIDTH, top + HEIGHT + Field::AROUND.1 + MARGIN / 2))?;
    heading.draw(&canvas, WIDTH)?;
    field.draw(&canvas, &scales(&field, &steps, scale))?;
    for (index, curve) in curves.values().enumerate() {
        draw_curve(&canvas, &field, curve, look(index))?;
    }
    canvas.finish()?;
    Ok(Some(svg))
}

/// The number a run is known by: the average length of chains, else the success rate, over all
/// suites alike.
fn headline(summary: &Summary) -> Option<Estimate> {
    if let Some(average) = &summary.average {
        return average.estimate;
    }
    let suite = summary.suites.first()?;
    match &suite.chain {
        Some(chain) => chain.length.estimate,
        None => suite.rate.estimate,
    }
}

/// The largest value of [`headline`].
fn scale(summary: &Summary) -> f64 {
    let chained = summary.suites.iter().find(|suite| suite.chain.is_some());
    chained.map_or(1.0, |suite| f64::from(suite.stages))
}

fn scales(field: &Field, steps: &[u32], scale: f64) -> Scales {
    let mut across: Vec<(f64, String)> = Vec::new();
    for &number in steps {
        let value = f64::from(number);
        match across.last_mut() {
            // Labels of neighbours must not touch: they stand together at the first.
            Some((before, label)) if field.across.at(value) - field.across.at(*before) < 28 => {
                *label += &format!(", {number}");
            }
            _ => across.push((value, number.to_string())),
        }
    }
    let ticks = field.up.ticks(6);
    let (up, above) = if scale > 1.0 {
        (labelled(&ticks), "average length, with 95 % intervals")
    } else {
        (in_percent(&ticks), "success, %, with 95 % intervals")
    };
    Scales {
        across,
        up,
        below: "denoising steps per chunk, logarithmic".into(),
        above: above.into(),
    }
}

fn draw_curve(
    canvas: &Canvas,
    field: &Field,
    curve: &BTreeMap<u32, Estimate>,
    look: Look,
) -> Result<(), PlotError> {
    let at = |steps: &u32, value| field.at(f64::from(*steps), value);
    let points: Vec<_> = curve.iter().map(|(steps, number)| at(steps, number.value)).collect();
    canvas.curve(&points, look)?;
    for (steps, number) in curve {
        canvas.whiskers([at(steps, number.low), at(steps, number.high)], look.ink)?;
        canvas.mark(look.shape, at(steps, number.value), look.ink)?;
    }
    Ok(())
}
