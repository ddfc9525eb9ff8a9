//! Decoding speed against the average length of chains.

use super::axis::{Axis, CHART_WIDTH, Field, Scales, labelled, start_below, zoomed};
use super::canvas::{Anchor, Canvas, Lettering, Look, Point, text_width};
use super::heading::{Entry, Heading, Sample};
use super::labels::{LabelledRun, caption};
use super::plot::PlotError;
use crate::paper::{Paper, VariantRow, VariantTable};
use crate::statistics::Estimate;

const HEIGHT: i32 = 340;
/// Stages of the chains: the largest average length.
const STAGES: f64 = 5.0;

/// A way to decode.
struct Dot {
    /// Text next to the mark.
    label: Option<String>,
    /// Text in the legend.
    legend: Option<String>,
    look: Look,
    /// Action chunks per second.
    speed: f64,
    /// Average length; a published one has no interval.
    length: Estimate,
}

/// Published and measured points; `None` where no run has both speed and average length.
///
/// The speed of a run is the number of chunks over the seconds inside the policy, all phases and
/// all sequences of a batch together; the published one is tokens per second of the decode loop
/// over the tokens of a chunk.
pub(super) fn decoding_speed(
    runs: &[LabelledRun],
    paper: &Paper,
) -> Result<Option<String>, PlotError> {
    let measured: Vec<Dot> = runs.iter().enumerate().filter_map(measured).collect();
    let table = paper.variants.iter().find(|table| table.tokens_per_chunk.is_some());
    let (Some(table), false) = (table, measured.is_empty()) else { return Ok(None) };
    let dots: Vec<Dot> = published(table).into_iter().chain(measured).collect();
    let legend = dots.iter().filter_map(|dot| {
        let sample = Sample::Mark(dot.look.shape, dot.look.ink);
        Some(Entry { sample, text: dot.legend.clone()? })
    });
    let mut caption = caption(runs);
    caption.lines.push(
        "measured: chunks over the seconds in the policy, every phase and sequence of a batch \
         together, with 95 % intervals of the length"
            .into(),
    );
    let title = format!("speed and average length, compared with {}", table.source);
    let heading = Heading::new(&caption, &title, legend.collect());
    let svg = heading.page(CHART_WIDTH, Field::outer(HEIGHT), |canvas, top| {
        let field = field(&dots, Field::inner(top, HEIGHT));
        let scales = Scales {
            across: labelled(&field.across.ticks(9)),
            up: labelled(&field.up.ticks(6)),
            below: "action chunks per second, logarithmic".into(),
            above: zoomed("average length", &field.up),
        };
        field.draw(canvas, &scales)?;
        draw(canvas, &field, &dots)
    })?;
    Ok(Some(svg))
}

/// The published points; the first one has the legend of all.
fn published(table: &VariantTable) -> Vec<Dot> {
    let Some(tokens) = table.tokens_per_chunk else { return Vec::new() };
    let with_speed =
        |row: &VariantRow| Some((row.method.clone(), row.length, row.tokens_per_second?));
    let rows: Vec<_> = table.rows.iter().filter_map(with_speed).collect();
    let printed: Vec<String> =
        rows.iter().map(|(method, _, speed)| format!("{method} {speed:.1}")).collect();
    let mut legend = Some(format!(
        "published: {} tokens per second, {tokens} tokens per chunk",
        printed.join(", ")
    ));
    let dot = |(method, value, speed): (String, f64, f64)| Dot {
        label: Some(method),
        legend: legend.take(),
        look: Look::PAPER,
        speed: speed / f64::from(tokens),
        length: Estimate { value, low: value, high: value },
    };
    rows.into_iter().map(dot).collect()
}

fn measured((index, run): (usize, &LabelledRun)) -> Option<Dot> {
    let (_, chain) = run.summary.chained()?;
    let manifest = &run.run.manifest;
    // Policies without weights do not decode.
    manifest.subject.decoding.as_ref()?;
    let batches = manifest.batches;
    let speed = batches.rows as f64 / batches.seconds;
    if !speed.is_finite() || speed <= 0.0 {
        return None;
    }
    let machine = ["accelerators", "processor"].iter().find_map(|key| manifest.machine.get(*key));
    let legend = format!(
        "{}, n = {}: {speed:.3} chunks/s, {:.1} per batch, {}",
        run.label,
        chain.length.n,
        batches.rows as f64 / batches.batches as f64,
        machine.map_or("unknown machine", String::as_str),
    );
    let (look, length) = (Look::of(index), chain.length.estimate?);
    Some(Dot { label: None, legend: Some(legend), look, speed, length })
}

fn field(dots: &[Dot], up: (i32, i32)) -> Field {
    let speeds = || dots.iter().map(|dot| dot.speed);
    let slowest = speeds().fold(f64::INFINITY, f64::min);
    let fastest = speeds().fold(0.0, f64::max);
    let lowest = dots.iter().map(|dot| dot.length.low).fold(STAGES, f64::min);
    Field {
        across: Axis::across_chart((slowest / 1.5, fastest * 1.5)).logarithmic(),
        up: Axis::linear((start_below(lowest - 0.1, STAGES), STAGES), up),
    }
}

fn draw(canvas: &Canvas, field: &Field, dots: &[Dot]) -> Result<(), PlotError> {
    let marks: Vec<Point> = dots.iter().map(|dot| field.at(dot.speed, dot.length.value)).collect();
    for (dot, &at) in dots.iter().zip(&marks) {
        if dot.length.low < dot.length.high {
            let end = |value| (at.0, field.up.at(value));
            canvas.whiskers([end(dot.length.low), end(dot.length.high)], dot.look.ink)?;
        }
        canvas.mark(dot.look.shape, at, dot.look.ink)?;
        if let Some(label) = &dot.label {
            let position = label_position(label, at, &marks);
            canvas.text(label, position, Lettering::ink(12, Anchor::Middle))?;
        }
    }
    Ok(())
}

/// The center of a label next to its mark: the first position that covers no mark.
fn label_position(label: &str, (x, y): Point, marks: &[Point]) -> Point {
    let across = text_width(label, 12) / 2 + 10;
    let candidates = [(x, y - 17), (x, y + 17), (x + across + 2, y), (x - across - 2, y)];
    let free = |position: &Point| {
        marks
            .iter()
            .all(|mark| (mark.0 - position.0).abs() > across || (mark.1 - position.1).abs() > 15)
    };
    candidates.into_iter().find(free).unwrap_or(candidates[0])
}
