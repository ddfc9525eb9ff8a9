//! Decoding: how fast a chunk of actions is there, against how far the chains come.

use super::axis::{Axis, Field, Scales, labelled, start_below};
use super::canvas::{Anchor, Canvas, Lettering, Look, Point, text_width};
use super::heading::{Entry, Heading, MARGIN, Sample};
use super::{Named, PlotError};
use crate::paper::{Paper, VariantRow, VariantTable};
use crate::statistics::Estimate;

const WIDTH: i32 = 760;
const FIELD: (i32, i32) = (66, 732);
const HEIGHT: i32 = 340;

/// A way to decode.
struct Dot {
    /// What stands beside it.
    label: Option<String>,
    /// What the legend says of it.
    legend: Option<String>,
    look: Look,
    /// Chunks of actions per second.
    speed: f64,
    /// Average length; a published one has no interval.
    length: Estimate,
}

/// Published and measured points; `None` where no run tells speed and average length.
///
/// The speed of a run is the number of chunks over the seconds inside the policy, all phases and
/// all rows of a batch together; the published one is tokens per second of the decode loop over
/// the tokens of a chunk.
pub(super) fn decoding_speed(runs: &[Named], paper: &Paper) -> Result<Option<String>, PlotError> {
    let measured: Vec<Dot> = runs.iter().enumerate().filter_map(measured).collect();
    let table = paper.variants.iter().find(|table| table.tokens_per_chunk.is_some());
    let (Some(table), false) = (table, measured.is_empty()) else { return Ok(None) };
    let mut dots = published(table);
    dots.extend(measured);
    let legend = dots.iter().filter_map(|dot| {
        let sample = Sample::Mark(dot.look.shape, dot.look.ink);
        Some(Entry { sample, text: dot.legend.clone()? })
    });
    let mut caption = super::caption(runs);
    caption.lines.push(
        "measured: chunks over the seconds in the policy, every phase and row of a batch together, \
         with 95 % intervals of the length"
            .into(),
    );
    let title = format!("speed and average length, beside {}", table.source);
    let heading = Heading::new(&caption, &title, legend.collect());
    let top = heading.height(WIDTH) + Field::AROUND.0;
    let field = field(&dots, (top + HEIGHT, top));
    let mut svg = String::new();
    let canvas = Canvas::new(&mut svg, (WIDTH, top + HEIGHT + Field::AROUND.1 + MARGIN / 2))?;
    heading.draw(&canvas, WIDTH)?;
    let scales = Scales {
        across: labelled(&field.across.ticks(9)),
        up: labelled(&field.up.ticks(6)),
        below: "chunks of actions a second, logarithmic".into(),
        above: "average length".into(),
    };
    field.draw(&canvas, &scales)?;
    draw(&canvas, &field, &dots)?;
    canvas.finish()?;
    Ok(Some(svg))
}

/// The published points; the legend is with the first.
fn published(table: &VariantTable) -> Vec<Dot> {
    let Some(tokens) = table.tokens_per_chunk else { return Vec::new() };
    let with_speed =
        |row: &VariantRow| Some((row.method.clone(), row.length, row.tokens_per_second?));
    let rows: Vec<_> = table.rows.iter().filter_map(with_speed).collect();
    let printed: Vec<String> =
        rows.iter().map(|(method, _, speed)| format!("{method} {speed:.1}")).collect();
    let mut legend = Some(format!(
        "published: {} tokens a second, over {tokens} tokens a chunk",
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

fn measured((index, run): (usize, &Named)) -> Option<Dot> {
    let chain = run.summary.suites.iter().find_map(|suite| suite.chain.as_ref())?;
    let manifest = &run.run.manifest;
    // Policies without weights have no decoding whose speed could be told.
    manifest.subject.get("decoding")?;
    let batches = manifest.batches;
    let speed = batches.rows as f64 / batches.seconds;
    if !speed.is_finite() || speed <= 0.0 {
        return None;
    }
    let machine = ["accelerators", "processor"].iter().find_map(|key| manifest.machine.get(*key));
    let legend = format!(
        "{}: {speed:.3} chunks/s, {:.1} a batch, {}",
        run.label,
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
    let lowest = dots.iter().map(|dot| dot.length.low).fold(5.0, f64::min);
    Field {
        across: Axis::logarithmic((slowest / 1.5, fastest * 1.5), FIELD),
        up: Axis::linear((start_below(lowest - 0.1, 5.0), 5.0), up),
    }
}

fn draw(canvas: &Canvas, field: &Field, dots: &[Dot]) -> Result<(), PlotError> {
    let places: Vec<Point> = dots.iter().map(|dot| field.at(dot.speed, dot.length.value)).collect();
    for (dot, &at) in dots.iter().zip(&places) {
        if dot.length.low < dot.length.high {
            let end = |value| (at.0, field.up.at(value));
            canvas.whiskers([end(dot.length.low), end(dot.length.high)], dot.look.ink)?;
        }
        canvas.mark(dot.look.shape, at, dot.look.ink)?;
        if let Some(label) = &dot.label {
            canvas.text(label, place(label, at, &places), Lettering::ink(12, Anchor::Middle))?;
        }
    }
    Ok(())
}

/// Where the middle of a label stands beside its mark: the first place that covers no mark.
fn place(label: &str, (x, y): Point, marks: &[Point]) -> Point {
    let across = text_width(label, 12) / 2 + 10;
    let spots = [(x, y - 17), (x, y + 17), (x + across + 2, y), (x - across - 2, y)];
    let free = |spot: &Point| {
        marks.iter().all(|mark| (mark.0 - spot.0).abs() > across || (mark.1 - spot.1).abs() > 15)
    };
    spots.into_iter().find(free).unwrap_or(spots[0])
}
