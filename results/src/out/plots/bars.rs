//! Trials on a real robot as bars: every task of every suite, the runs side by side, with intervals.

use super::axis::{Axis, in_percent};
use super::canvas::{Anchor, Canvas, FAINT, GRID, INK, Lettering, Look, text_width};
use super::heading::{Entry, Heading, MARGIN, Sample};
use super::labels::{LabelledRun, caption};
use super::plot::PlotError;
use crate::run::benchmarks::suite_title;
use crate::statistics::Rate;
use crate::tables::format::{percent, wrap};

/// The benchmark that is drawn so.
const BENCHMARK: &str = "real";
/// Width of a bar, space between bars, between tasks and between suites.
const BAR: i32 = 34;
const BAR_GAP: i32 = 6;
const TASK_GAP: i32 = 30;
const SUITE_GAP: i32 = 50;
/// Least width of a task, for its name.
const TASK: i32 = 116;
/// Left of the axis, and its height.
const LEFT: i32 = MARGIN + 50;
const HEIGHT: i32 = 240;
/// Above the axis: the suite's name and the number over a bar of 100 %.
const HEAD: i32 = 46;
/// Below it: counts, then the lines of the task's name.
const COUNTS: i32 = 22;
const LINE: i32 = 15;
const LINES: i32 = 3;
const FOOT: i32 = COUNTS + LINE * LINES + 12;

/// The bars; `None` for runs in simulators.
pub(super) fn bars(runs: &[LabelledRun]) -> Result<Option<String>, PlotError> {
    let Some(first) = runs.first().filter(|run| run.summary.benchmark == BENCHMARK) else {
        return Ok(None);
    };
    let task = (runs.len() as i32 * (BAR + BAR_GAP) - BAR_GAP).max(TASK) + TASK_GAP;
    let tasks: i32 = first.summary.suites.iter().map(|suite| suite.tasks.len() as i32).sum();
    let suites = first.summary.suites.len() as i32;
    let width = (LEFT + tasks * task + (suites - 1) * SUITE_GAP + MARGIN).max(560);
    let mut caption = caption(runs);
    caption.lines.push("whiskers: 95 % Wilson intervals; below a bar: successes of trials".into());
    let legend = (0..).zip(runs).map(|(index, run)| Entry {
        sample: Sample::Bar(Look::of(index).ink),
        text: run.label.clone(),
    });
    let heading = Heading::new(&caption, "success by task", legend.collect());
    let svg = heading.page(width, HEAD + HEIGHT + FOOT, |canvas, top| {
        let axis = Axis::linear((0.0, 1.0), (top + HEAD + HEIGHT, top + HEAD));
        draw_scale(canvas, &axis, width)?;
        let mut x = LEFT + TASK_GAP / 2;
        for suite in &first.summary.suites {
            let title = suite_title(BENCHMARK, &suite.name);
            canvas.text(&title, (x, top + 12), Lettering::ink(14, Anchor::Left))?;
            for planned in &suite.tasks {
                let middle = x + (task - TASK_GAP) / 2;
                draw_task_name(canvas, &planned.instruction, (middle, axis.pixels.0), task)?;
                draw_task(canvas, runs, (&suite.name, planned.task), (&axis, middle))?;
                x += task;
            }
            x += SUITE_GAP;
        }
        Ok(())
    })?;
    Ok(Some(svg))
}

fn draw_scale(canvas: &Canvas, axis: &Axis, width: i32) -> Result<(), PlotError> {
    for (value, label) in in_percent(&axis.ticks(5)) {
        let y = axis.at(value);
        canvas.line(
            [(LEFT, y), (width - MARGIN, y)],
            if value == 0.0 { FAINT } else { GRID },
            1,
        )?;
        canvas.text(&label, (LEFT - 8, y), Lettering::faint(11, Anchor::Right))?;
    }
    let above = (MARGIN, axis.pixels.1 - 16);
    canvas.text("success, %", above, Lettering::faint(11, Anchor::Left))
}

fn draw_task_name(
    canvas: &Canvas,
    name: &str,
    (middle, bottom): (i32, i32),
    width: i32,
) -> Result<(), PlotError> {
    let characters = (width - TASK_GAP / 2) / text_width("n", 12);
    let lines = wrap(name, usize::try_from(characters).unwrap_or(1));
    for (index, line) in (0..LINES).zip(&lines) {
        let at = (middle, bottom + COUNTS + 10 + LINE * index);
        canvas.text(line, at, Lettering::ink(12, Anchor::Middle))?;
    }
    Ok(())
}

/// The bars of a task, one per run.
fn draw_task(
    canvas: &Canvas,
    runs: &[LabelledRun],
    (suite, task): (&str, u16),
    (axis, middle): (&Axis, i32),
) -> Result<(), PlotError> {
    let all = runs.len() as i32 * (BAR + BAR_GAP) - BAR_GAP;
    for (index, run) in (0..).zip(runs) {
        let left = middle - all / 2 + index * (BAR + BAR_GAP);
        if let Some(rate) = rate_of(run, suite, task) {
            draw_bar(canvas, rate, Look::of(index as usize), (axis, left))?;
        }
    }
    Ok(())
}

fn rate_of(run: &LabelledRun, suite: &str, task: u16) -> Option<Rate> {
    let suite = run.summary.suites.iter().find(|other| other.name == suite)?;
    suite.tasks.iter().find(|other| other.task == task).map(|task| task.rate)
}

fn draw_bar(
    canvas: &Canvas,
    rate: Rate,
    look: Look,
    (axis, left): (&Axis, i32),
) -> Result<(), PlotError> {
    let (x, bottom) = (left + BAR / 2, axis.pixels.0);
    let count = format!("{}/{}", rate.successes, rate.n);
    canvas.text(&count, (x, bottom + 12), Lettering::faint(11, Anchor::Middle))?;
    let Some(estimate) = rate.estimate else { return Ok(()) };
    canvas.bar([(left, axis.at(estimate.value)), (left + BAR, bottom)], look.ink)?;
    canvas.whiskers([(x, axis.at(estimate.low)), (x, axis.at(estimate.high))], INK)?;
    let above = (x, axis.at(estimate.high) - 10);
    canvas.text(&percent(Some(estimate.value)), above, Lettering::ink(12, Anchor::Middle))
}
