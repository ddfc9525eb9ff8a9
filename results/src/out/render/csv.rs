//! The numbers of a run for spreadsheets and scripts: shares of 1, empty where there is none.

use ::csv::Error;

use crate::out::csv::{add_notes, csv_text, header};
use crate::statistics::{Estimate, Rate};
use crate::tables::summary::{Chain, Summary};
use crate::tables::verdict::PaperComparison;

/// One line per suite, and one named `average` where there are several.
///
/// # Errors
/// If the text cannot be written.
pub fn summary_csv(summary: &Summary) -> Result<String, Error> {
    let stages = summary.suites.iter().map(|suite| suite.stages).max().unwrap_or(1);
    let chains = if stages > 1 { stages } else { 0 };
    let comparable = summary.incomparable.as_ref().map_or("yes".into(), |why| format!("no: {why}"));
    let mut rows = vec![summary_header(chains)];
    for suite in &summary.suites {
        let mut row = vec![suite.name.clone()];
        row.extend([suite.counts.asked, suite.counts.missing].map(|n| n.to_string()));
        row.extend(rate(suite.rate, suite.rate.estimate));
        row.push(number(suite.steps));
        row.extend(paper(suite.paper.as_ref(), suite.partial.as_deref()));
        row.push(comparable.clone());
        row.push(successes(suite.other_rule.map(|(_, rate)| rate)));
        row.extend(chain(suite.chain.as_ref(), chains));
        rows.push(row);
    }
    if let Some(average) = &summary.average {
        let mut row = vec!["average".to_owned()];
        row.extend([average.counts.asked, average.counts.missing].map(|n| n.to_string()));
        row.extend(rate(average.rate, average.estimate));
        row.push(String::new());
        row.extend(paper(average.paper.as_ref(), average.partial.as_deref()));
        row.push(comparable);
        row.push(successes(None));
        row.extend(chain(None, chains));
        rows.push(row);
    }
    add_notes(&mut rows, &summary.notes);
    csv_text(rows)
}

/// One line per task.
///
/// # Errors
/// If the text cannot be written.
pub fn tasks_csv(summary: &Summary) -> Result<String, Error> {
    let mut rows = vec![header(
        "suite,task,instruction,asked,missing,n,errors,successes,rate,low,high,\
         mean_steps_of_successes,mean_calls,average_length,average_length_low,\
         average_length_high,paper,successes_other_rule",
    )];
    for suite in &summary.suites {
        for task in &suite.tasks {
            let mut row = vec![suite.name.clone(), task.task.to_string(), task.instruction.clone()];
            row.extend([task.counts.asked, task.counts.missing].map(|n| n.to_string()));
            row.extend(rate(task.rate, task.rate.estimate));
            row.extend([number(task.steps), number(task.calls)]);
            row.extend(numbers(task.length.estimate));
            row.extend([number(task.paper), successes(task.other_rule)]);
            rows.push(row);
        }
    }
    add_notes(&mut rows, &summary.notes);
    csv_text(rows)
}

/// One line per kind of sub-task; `None` where the run has no chains of sub-tasks.
///
/// # Errors
/// If the text cannot be written.
pub fn subtasks_csv(summary: &Summary) -> Result<Option<String>, Error> {
    let mut rows = vec![header("suite,subtask,n,errors,successes,rate,low,high,not_reached")];
    for suite in &summary.suites {
        for subtask in suite.chain.iter().flat_map(|chain| &chain.subtasks) {
            let mut row = vec![suite.name.clone(), subtask.name.clone()];
            row.extend(rate(subtask.rate, subtask.rate.estimate));
            row.push(subtask.not_reached.to_string());
            rows.push(row);
        }
    }
    add_notes(&mut rows, &summary.notes);
    (rows.len() > 1).then(|| csv_text(rows)).transpose()
}

fn summary_header(chains: u16) -> Vec<String> {
    let mut names = header(
        "suite,asked,missing,n,errors,successes,rate,low,high,mean_steps_of_successes,\
         paper,paper_low,paper_high,paper_n,difference,difference_low,difference_high,\
         verdict,reason,comparable,successes_other_rule",
    );
    if chains > 0 {
        names.extend(header("average_length,average_length_low,average_length_high"));
    }
    for k in 1..=chains {
        names.extend(["", "_low", "_high"].map(|end| format!("in_a_row_{k}{end}")));
    }
    names
}

fn rate(rate: Rate, estimate: Option<Estimate>) -> Vec<String> {
    let counts = [rate.n, rate.errors, rate.successes].map(|n| n.to_string());
    counts.into_iter().chain(numbers(estimate)).collect()
}

fn successes(rate: Option<Rate>) -> String {
    rate.map_or(String::new(), |rate| rate.successes.to_string())
}

fn chain(chain: Option<&Chain>, chains: u16) -> Vec<String> {
    if chains == 0 {
        return Vec::new();
    }
    let mut cells = numbers(chain.and_then(|chain| chain.length.estimate)).to_vec();
    for k in 0..usize::from(chains) {
        let rate = chain.and_then(|chain| chain.in_a_row.get(k));
        cells.extend(numbers(rate.and_then(|rate| rate.estimate)));
    }
    cells
}

/// The cells from `paper` to `reason`, which may also be why the paper's number is left out.
fn paper(paper: Option<&PaperComparison>, partial: Option<&str>) -> Vec<String> {
    let published = paper.map(|paper| &paper.published);
    let mut cells = numbers(published.map(|published| published.estimate)).to_vec();
    cells.push(published.map_or(String::new(), |published| published.n.to_string()));
    cells.extend(numbers(paper.and_then(|paper| paper.difference)));
    cells.push(paper.map_or(String::new(), |paper| paper.verdict.name().into()));
    let reason = paper.and_then(|paper| paper.verdict.reason());
    cells.push(reason.or(partial).unwrap_or_default().into());
    cells
}

fn numbers(estimate: Option<Estimate>) -> [String; 3] {
    let ends: [fn(Estimate) -> f64; 3] = [|e| e.value, |e| e.low, |e| e.high];
    ends.map(|end| number(estimate.map(end)))
}

fn number(value: Option<f64>) -> String {
    // Adding 0 turns -0.0 into 0.0.
    value.map_or(String::new(), |value| format!("{:.6}", (value * 1e6).round() / 1e6 + 0.0))
}
