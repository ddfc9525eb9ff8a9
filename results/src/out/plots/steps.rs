//! Control steps of the successful episodes, task by task.

use super::axis::{Axis, labelled};
use super::canvas::{Anchor, Canvas, GRID, INK, Lettering, RUN};
use super::heading::{Entry, Heading, MARGIN, Sample};
use super::labels::{LabelledRun, caption};
use super::plot::PlotError;
use crate::run::benchmarks::suite_title;
use crate::run::record::EpisodeRecord;
use crate::tables::format::{NONE, shorten};
use crate::tables::summary::{SuiteSummary, TaskSummary};

/// Right end of a task's index, and left end of its name.
const INDEX_END: i32 = 36;
const NAME: i32 = 44;
const LABEL_WIDTH: usize = 54;
/// Ends of the axis, and right ends of the columns next to it.
const AXIS: (i32, i32) = (392, 812);
const MEDIAN_END: i32 = 870;
const COUNT_END: i32 = 934;
const WIDTH: i32 = COUNT_END + MARGIN;
const ROW: i32 = 26;
const TITLE: i32 = 34;
const FOOT: i32 = 46;

/// Steps of the successful episodes of one task, in order.
struct Row {
    index: Option<u16>,
    label: String,
    steps: Vec<u32>,
    ran: u32,
}

/// A rug with a box per task; `None` where nothing was solved.
pub(super) fn steps_to_success(run: &LabelledRun) -> Result<Option<String>, PlotError> {
    let panels: Vec<(&SuiteSummary, Vec<Row>)> =
        run.summary.suites.iter().map(|suite| (suite, rows(run, suite))).collect();
    // Trials on a robot that were judged only have no steps.
    let all_zero = |row: &Row| row.steps.iter().all(|steps| *steps == 0);
    if panels.iter().flat_map(|panel| &panel.1).all(all_zero) {
        return Ok(None);
    }
    let legend = [
        (Sample::Tick(INK), "a solved episode"),
        (Sample::Median(RUN), "their median in the middle half of them"),
    ];
    let legend = legend.map(|(sample, text)| Entry { sample, text: text.into() });
    let caption = caption(std::slice::from_ref(run));
    let heading = Heading::new(&caption, "control steps to success", legend.into());
    let height = |rows: &[Row]| TITLE + ROW * rows.len() as i32 + FOOT;
    let panels_height: i32 = panels.iter().map(|panel| height(&panel.1)).sum();
    let svg = heading.page(WIDTH, panels_height + MARGIN / 2, |canvas, top| {
        let mut y = top;
        for (suite, rows) in &panels {
            draw_panel(canvas, &run.summary.benchmark, (suite, rows), (limit(run, suite), y))?;
            y += height(rows);
        }
        Ok(())
    })?;
    Ok(Some(svg))
}

/// The step limit of an episode of the suite, all stages together.
fn limit(run: &LabelledRun, suite: &SuiteSummary) -> f64 {
    let protocol = run.run.manifest.protocol.suite(&suite.name);
    protocol
        .map_or(1.0, |protocol| f64::from(protocol.max_steps) * f64::from(protocol.stages.max(1)))
}

fn rows(run: &LabelledRun, suite: &SuiteSummary) -> Vec<Row> {
    suite.tasks.iter().map(|task| row(run, suite, task)).collect()
}

fn row(run: &LabelledRun, suite: &SuiteSummary, task: &TaskSummary) -> Row {
    let of_task = |record: &&EpisodeRecord| record.suite == suite.name && record.task == task.task;
    let solved = run.run.records.values().filter(of_task);
    let mut steps: Vec<u32> =
        solved.filter(|record| record.success() == Some(true)).map(|record| record.steps).collect();
    steps.sort_unstable();
    let index = (suite.tasks.len() > 1).then_some(task.task);
    Row { index, label: task.instruction.clone(), steps, ran: task.rate.n }
}

fn draw_panel(
    canvas: &Canvas,
    benchmark: &str,
    (suite, rows): (&SuiteSummary, &[Row]),
    (limit, top): (f64, i32),
) -> Result<(), PlotError> {
    let axis = Axis::linear((0.0, limit), AXIS);
    let title = format!(
        "{}: {} of {} episodes solved",
        suite_title(benchmark, &suite.name),
        suite.rate.successes,
        suite.rate.n
    );
    canvas.text(&title, (MARGIN, top + 14), Lettering::ink(14, Anchor::Left))?;
    let right = Lettering::faint(12, Anchor::Right);
    canvas.text("median", (MEDIAN_END, top + 14), right)?;
    canvas.text("solved", (COUNT_END, top + 14), right)?;
    let head = top + TITLE;
    let end = head + ROW * rows.len() as i32;
    axis.draw_across(canvas, (head, end), &labelled(&axis.ticks(6)))?;
    let below = "control steps, up to the protocol's limit";
    let middle = ((AXIS.0 + AXIS.1) / 2, end + 31);
    canvas.text(below, middle, Lettering::ink(12, Anchor::Middle))?;
    for (number, row) in (0..).zip(rows) {
        draw_row(canvas, row, &axis, head + ROW * number + ROW / 2)?;
    }
    Ok(())
}

fn draw_row(canvas: &Canvas, row: &Row, axis: &Axis, y: i32) -> Result<(), PlotError> {
    let (left, right) = (Lettering::ink(12, Anchor::Left), Lettering::ink(12, Anchor::Right));
    if let Some(index) = row.index {
        canvas.text(&index.to_string(), (INDEX_END, y), right)?;
    }
    canvas.text(&shorten(&row.label, LABEL_WIDTH), (NAME, y), left)?;
    canvas.text(&format!("{}/{}", row.steps.len(), row.ran), (COUNT_END, y), right)?;
    let median = quantile(&row.steps, 0.5);
    let text = median.map_or(NONE.into(), |median| format!("{median:.0}"));
    canvas.text(&text, (MEDIAN_END, y), right)?;
    canvas.line([(axis.pixels.0, y), (axis.pixels.1, y)], GRID, 1)?;
    let x = |steps: Option<f64>| steps.map(|steps| axis.at(steps));
    let ends = (x(quantile(&row.steps, 0.25)), x(quantile(&row.steps, 0.75)));
    if let (Some(first), Some(third)) = ends {
        canvas.band([(first, y - 9), (third, y + 9)], RUN)?;
        canvas.outline([(first, y - 9), (third, y + 9)], RUN)?;
    }
    for &steps in &row.steps {
        let x = axis.at(f64::from(steps));
        canvas.line([(x, y - 4), (x, y + 4)], INK, 1)?;
    }
    x(median).map_or(Ok(()), |x| canvas.line([(x, y - 10), (x, y + 10)], RUN, 4))
}

/// A quantile of sorted numbers, interpolated between neighbours; `None` without any.
///
/// Source: Hyndman and Fan 1996, type 7, the default of numpy and R.
fn quantile(sorted: &[u32], share: f64) -> Option<f64> {
    let at = share * (sorted.len().checked_sub(1)?) as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    Some(f64::from(below) + (f64::from(above) - f64::from(below)) * at.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_numpys() {
        let steps = [10, 20, 40, 80];
        assert_eq!(quantile(&steps, 0.25), Some(17.5));
        assert_eq!(quantile(&steps, 0.5), Some(30.0));
        assert_eq!(quantile(&steps, 0.75), Some(50.0));
        assert_eq!(quantile(&[7], 0.75), Some(7.0));
        assert_eq!(quantile(&[], 0.5), None);
    }
}
