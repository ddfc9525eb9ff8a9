//! Denoising steps against success, a curve per kind of run.

use std::collections::BTreeMap;

use super::axis::{Axis, CHART_WIDTH, Field, Scales, in_percent, labelled, start_below, zoomed};
use super::canvas::{Canvas, Look};
use super::heading::{Entry, Heading, Sample};
use super::labels::{LabelledRun, caption};
use super::plot::PlotError;
use crate::statistics::Estimate;
use crate::tables::summary::Summary;

const HEIGHT: i32 = 300;

/// Runs that differ only in their denoising steps: numbers by steps.
type Curves<'a> = BTreeMap<&'a str, BTreeMap<u16, Estimate>>;

/// A curve per kind of run; `None` where the runs have fewer than two numbers of steps.
pub(super) fn denoising_steps(runs: &[LabelledRun]) -> Result<Option<String>, PlotError> {
    let mut curves = Curves::new();
    for run in runs {
        let steps = run.run.manifest.subject.denoise_steps.filter(|steps| *steps > 0);
        if let (Some(steps), Some(number)) = (steps, headline(&run.summary)) {
            curves.entry(&run.series).or_default().insert(steps, number);
        }
    }
    let mut steps: Vec<u16> = curves.values().flat_map(|curve| curve.keys().copied()).collect();
    steps.sort_unstable();
    steps.dedup();
    let [fewest, .., most] = steps[..] else { return Ok(None) };
    let legend = curves.keys().enumerate().map(|(index, series)| Entry {
        sample: Sample::Line(Look::of(index)),
        text: (*series).to_owned(),
    });
    let heading = Heading::new(&caption(runs), "success by denoising steps", legend.collect());
    let scale = scale(&runs[0].summary);
    let lows = curves.values().flat_map(BTreeMap::values).map(|number| number.low);
    let start = start_below(lows.fold(scale, f64::min), scale);
    let svg = heading.page(CHART_WIDTH, Field::outer(HEIGHT), |canvas, top| {
        let field = Field {
            across: Axis::across_chart((f64::from(fewest) / 1.2, f64::from(most) * 1.2))
                .logarithmic(),
            up: Axis::linear((start, scale), Field::inner(top, HEIGHT)),
        };
        field.draw(canvas, &scales(&field, &steps, scale))?;
        let mut curves = curves.values().enumerate();
        curves.try_for_each(|(index, curve)| draw_curve(canvas, &field, curve, Look::of(index)))
    })?;
    Ok(Some(svg))
}

/// The main number of a run: the average length of chains, else the success rate, the mean of the
/// suites where there are several.
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
    summary.chained().map_or(1.0, |(suite, _)| f64::from(suite.stages))
}

fn scales(field: &Field, steps: &[u16], scale: f64) -> Scales {
    let mut across: Vec<(f64, String)> = Vec::new();
    for &number in steps {
        let value = f64::from(number);
        match across.last_mut() {
            // Labels that would touch are joined at the first.
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
    let below = "denoising steps per chunk, logarithmic".into();
    Scales { across, up, below, above: zoomed(above, &field.up) }
}

fn draw_curve(
    canvas: &Canvas,
    field: &Field,
    curve: &BTreeMap<u16, Estimate>,
    look: Look,
) -> Result<(), PlotError> {
    let at = |steps: &u16, value| field.at(f64::from(*steps), value);
    let points: Vec<_> = curve.iter().map(|(steps, number)| at(steps, number.value)).collect();
    canvas.curve(&points, look)?;
    curve.iter().try_for_each(|(steps, number)| {
        canvas.whiskers([at(steps, number.low), at(steps, number.high)], look.ink)?;
        canvas.mark(look.shape, at(steps, number.value), look.ink)
    })
}
