//! Episodes over the time of a run.

use jiff::Timestamp;

use super::axis::{Axis, CHART_WIDTH, Field, Scales, labelled};
use super::canvas::{Canvas, Look, Point, RUN};
use super::heading::Heading;
use super::labels::{LabelledRun, caption};
use super::plot::PlotError;
use crate::run::record::EpisodeRecord;

const HEIGHT: i32 = 170;
/// Space between the fields.
const GAP: i32 = 4;
/// Bars of the lower field, at most.
const BARS: usize = 60;

/// End times of the episodes, in seconds after the start of the first one, in order.
struct Ends {
    seconds: Vec<f64>,
    /// Records whose `started` is not a time.
    unreadable: usize,
}

/// Episodes ended so far, and episodes per minute; `None` where no record has a time.
///
/// An episode ends `seconds.wall` after its dispatch. A pause before a run is resumed counts as
/// time of the run.
pub(super) fn throughput(run: &LabelledRun) -> Result<Option<String>, PlotError> {
    let ends = Ends::of(run.run.records.values());
    let Some(&last) = ends.seconds.last().filter(|last| **last > 0.0) else { return Ok(None) };
    let (unit, divisor) = unit(last);
    let mut caption = caption(std::slice::from_ref(run));
    caption.lines.push(pace(&ends, last));
    if ends.unreadable > 0 {
        let warning = match ends.unreadable {
            1 => "1 record has no time and is skipped".to_owned(),
            many => format!("{many} records have no time and are skipped"),
        };
        caption.warnings.push(warning);
    }
    let heading = Heading::new(&caption, "episodes over the time of the run", vec![]);
    let across = Axis::across_chart((0.0, last / divisor));
    let title = format!("{unit} since the first episode was dispatched");
    let scales = |above: &str, below: &str, up: &Axis| Scales {
        across: labelled(&across.ticks(8)),
        up: labelled(&up.ticks(5)),
        below: below.into(),
        above: above.into(),
    };
    let first = HEIGHT + Field::AROUND.1 + GAP;
    let svg = heading.page(CHART_WIDTH, first + Field::outer(HEIGHT), |canvas, top| {
        let up = Axis::linear((0.0, ends.seconds.len() as f64), Field::inner(top, HEIGHT));
        let field = Field { across, up };
        field.draw(canvas, &scales("episodes that ended, including errors", "", &up))?;
        canvas.curve(&ends.so_far(&field, divisor), Look::of(0))?;
        let rates = ends.per_minute(last);
        let most = rates.iter().copied().fold(0.0, f64::max);
        let up = Axis::linear((0.0, most * 1.05), Field::inner(top + first, HEIGHT));
        let field = Field { across, up };
        field.draw(canvas, &scales("episodes per minute", &title, &up))?;
        draw_bars(canvas, &field, &rates)
    })?;
    Ok(Some(svg))
}

impl Ends {
    fn of<'a>(records: impl Iterator<Item = &'a EpisodeRecord>) -> Self {
        let mut unreadable = 0;
        let mut spans = Vec::new();
        for record in records {
            match record.started.parse::<Timestamp>() {
                Ok(started) if record.seconds.wall.is_finite() => {
                    let started = started.as_millisecond() as f64 / 1000.0;
                    spans.push((started, started + record.seconds.wall.max(0.0)));
                }
                _ => unreadable += 1,
            }
        }
        let first = spans.iter().map(|span| span.0).fold(f64::INFINITY, f64::min);
        let mut seconds: Vec<f64> = spans.iter().map(|span| span.1 - first).collect();
        seconds.sort_unstable_by(f64::total_cmp);
        Self { seconds, unreadable }
    }

    /// The step curve of ended episodes.
    fn so_far(&self, field: &Field, divisor: f64) -> Vec<Point> {
        let mut points = vec![field.at(0.0, 0.0)];
        for (before, second) in self.seconds.iter().enumerate() {
            let x = second / divisor;
            points.extend([field.at(x, before as f64), field.at(x, before as f64 + 1.0)]);
        }
        points.dedup();
        points
    }

    /// Episodes per minute in equal intervals of the time up to `last`.
    fn per_minute(&self, last: f64) -> Vec<f64> {
        let bars = (self.seconds.len() / 2).clamp(1, BARS);
        let mut counts = vec![0_u32; bars];
        for second in &self.seconds {
            let bar = (second / last * bars as f64) as usize;
            counts[bar.min(bars - 1)] += 1;
        }
        let minutes = last / bars as f64 / 60.0;
        counts.into_iter().map(|count| f64::from(count) / minutes).collect()
    }
}

fn pace(ends: &Ends, last: f64) -> String {
    let n = ends.seconds.len();
    let minutes = last / 60.0;
    format!("{n} episodes in {minutes:.1} min: {:.2} per minute", n as f64 / minutes)
}

/// The unit for a run of that many seconds, and its seconds.
fn unit(seconds: f64) -> (&'static str, f64) {
    match seconds {
        s if s < 180.0 => ("seconds", 1.0),
        s if s < 3.0 * 3600.0 => ("minutes", 60.0),
        _ => ("hours", 3600.0),
    }
}

fn draw_bars(canvas: &Canvas, field: &Field, rates: &[f64]) -> Result<(), PlotError> {
    let (from, to) = field.across.pixels;
    let edge = |index: usize| from + (to - from) * index as i32 / rates.len() as i32;
    for (index, rate) in rates.iter().enumerate().filter(|(_, rate)| **rate > 0.0) {
        let corners =
            [(edge(index) + 1, field.up.at(*rate)), (edge(index + 1) - 1, field.up.at(0.0))];
        canvas.bar(corners, RUN)?;
    }
    Ok(())
}
