//! Chain curves: the share of episodes with at least 1, 2, … stages in a row.

use super::axis::{Axis, CHART_WIDTH, Field, Scales, in_percent, start_below, zoomed};
use super::canvas::{Canvas, Look};
use super::heading::{Entry, Heading, Sample};
use super::labels::{LabelledRun, caption};
use super::plot::PlotError;
use crate::paper::{Paper, Published};
use crate::statistics::Estimate;
use crate::tables::format::length;

const HEIGHT: i32 = 300;

/// A curve with its band.
struct Curve {
    label: String,
    look: Look,
    /// The share with at least 1, 2, … stages; `None` where nothing ran.
    shares: Vec<Option<Estimate>>,
}

/// The curves of the runs' first suite with several stages and the paper's; `None` without such a
/// suite.
pub(super) fn in_a_row(runs: &[LabelledRun], paper: &Paper) -> Result<Option<String>, PlotError> {
    let mut curves: Vec<Curve> = runs.iter().enumerate().filter_map(measured).collect();
    let Some(stages) = curves.iter().map(|curve| curve.shares.len()).max() else {
        return Ok(None);
    };
    curves.extend(published(runs, paper));
    let legend = curves
        .iter()
        .map(|curve| Entry { sample: Sample::Line(curve.look), text: curve.label.clone() });
    let heading = Heading::new(&caption(runs), "success by tasks in a row", legend.collect());
    let lows = curves.iter().flat_map(|curve| &curve.shares).flatten().map(|share| share.low);
    let start = start_below(lows.fold(1.0, f64::min), 1.0);
    let svg = heading.page(CHART_WIDTH, Field::outer(HEIGHT), |canvas, top| {
        let field = Field {
            across: Axis::across_chart((0.8, stages as f64 + 0.2)),
            up: Axis::linear((start, 1.0), Field::inner(top, HEIGHT)),
        };
        field.draw(canvas, &scales(&field, stages))?;
        curves.iter().rev().try_for_each(|curve| curve.draw(canvas, &field))
    })?;
    Ok(Some(svg))
}

fn scales(field: &Field, stages: usize) -> Scales {
    Scales {
        across: (1..=stages).map(|k| (k as f64, k.to_string())).collect(),
        up: in_percent(&field.up.ticks(6)),
        below: "tasks in a row, at least".into(),
        above: zoomed("share of the episodes that ran, %, with 95 % Wilson bands", &field.up),
    }
}

fn measured((index, run): (usize, &LabelledRun)) -> Option<Curve> {
    let (_, chain) = run.summary.chained()?;
    let average = match chain.length.estimate {
        Some(Estimate { value, low, high }) => {
            format!("average length {value:.2} [{low:.2}, {high:.2}]")
        }
        None => "nothing ran".into(),
    };
    Some(Curve {
        label: format!("{}, n = {}: {average}", run.label, chain.length.n),
        look: Look::of(index),
        shares: chain.in_a_row.iter().map(|rate| rate.estimate).collect(),
    })
}

fn published(runs: &[LabelledRun], paper: &Paper) -> Option<Curve> {
    let summary = &runs.first()?.summary;
    let table = paper.table(&summary.benchmark)?;
    let (suite, _) = summary.chained()?;
    if suite.partial.is_some() {
        return None;
    }
    let average = table.average_length(&suite.name, suite.stages)?;
    let share =
        |stages| table.in_a_row(&suite.name, stages).map(|Published { estimate, .. }| estimate);
    let value = length(Some(average.estimate.value));
    Some(Curve {
        label: format!("paper, {}, n = {}: average length {value}", average.source, average.n),
        look: Look::PAPER,
        shares: (1..=suite.stages).map(share).collect(),
    })
}

impl Curve {
    fn draw(&self, canvas: &Canvas, field: &Field) -> Result<(), PlotError> {
        let shares = (1..).zip(&self.shares);
        let ran: Vec<(f64, Estimate)> =
            shares.filter_map(|(k, share)| Some((f64::from(k), (*share)?))).collect();
        let line = |of: fn(&Estimate) -> f64| ran.iter().map(move |(k, share)| (*k, of(share)));
        let place = |(x, y): (f64, f64)| field.at(x, y);
        let ends = line(|share| share.high).chain(line(|share| share.low).rev());
        if ran.len() > 1 {
            canvas.area(&ends.map(place).collect::<Vec<_>>(), self.look.ink)?;
        }
        let points: Vec<_> = line(|share| share.value).map(place).collect();
        canvas.curve(&points, self.look)?;
        points.iter().try_for_each(|&at| canvas.mark(self.look.shape, at, self.look.ink))
    }
}
