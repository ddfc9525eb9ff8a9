//! The numbers of a run for spreadsheets and scripts.

use ::csv::{Error, Terminator, WriterBuilder};

use crate::statistics::{Estimate, Length, Rate};
use crate::summary::{Chain, Summary};
use crate::verdict::Comparison;

/// One line per suite, and one named `average` where there are several; shares of 1, empty
/// where there is no number.
///
/// # Errors
/// If the text cannot be written, which memory running out could do.
pub fn summary_csv(summary: &Summary) -> Result<String, Error> {
    let stages = summary.suites.iter().map(|suite| suite.stages).max().unwrap_or(1);
    let chains = if stages > 1 { stages } else { 0 };
    let mut rows = vec![summary_header(chains)];
    for suite in &summary.suites {
        let mut row = vec![suite.name.clone()];
        row.extend([suite.counts.asked, suite.counts.missing].map(|n| n.to_string()));
        row.extend(rate(suite.rate, suite.rate.estimate));
        row.push(number(suite.steps));
        row.extend(paper(suite.paper.as_ref()));
        row.extend(comparable(summary));
        row.push(successes(suite.other_rule.map(|other| other.1)));
        row.extend(chain(suite.chain.as_ref(), chains));
        rows.push(row);
    }
    if let Some(average) = &summary.average {
        let mut row = vec!["average".to_owned()];
        row.extend([average.counts.asked, average.counts.missing].map(|n| n.to_string()));
        row.extend(rate(average.rate, average.estimate));
        row.push(String::new());
        row.extend(paper(average.paper.as_ref()));
        row.extend(comparable(summary));
        row.push(successes(None));
        row.extend(chain(None, chains));
        rows.push(row);
    }
    write(&rows)
}

/// One line per task; shares of 1, empty where there is no number.
///
/// # Errors
/// As [`summary_csv`].
pub fn tasks_csv(summary: &Summary) -> Result<String, Error> {
    let header = "suite,task,instruction,asked,missing,n,errors,successes,rate,low,high,\
                  mean_steps_of_successes,mean_calls,average_length,average_length_low,\
                  average_length_high,paper,successes_other_rule";
    let mut rows: Vec<Vec<String>> = vec![header.split(',').map(str::to_owned).collect()];
    for suite in &summary.suites {
        for task in &suite.tasks {
            let mut row = vec![suite.name.clone(), task.task.to_string(), task.instruction.clone()];
            row.extend([task.counts.asked, task.counts.missing].map(|n| n.to_string()));
            row.extend(rate(task.rate, task.rate.estimate));
            row.extend([number(task.steps), number(task.calls)]);
            row.extend(length(task.length));
            row.push(number(task.paper));
            row.push(successes(task.other_rule));
            rows.push(row);
        }
    }
    write(&rows)
}

/// One line per kind of sub-task; shares of 1, empty where there is no number. `None` where the
/// run has no chains of sub-tasks.
///
/// # Errors
/// As [`summary_csv`].
pub fn subtasks_csv(summary: &Summary) -> Result<Option<String>, Error> {
    let header = "suite,subtask,n,errors,successes,rate,low,high,not_reached";
    let mut rows: Vec<Vec<String>> = vec![header.split(',').map(str::to_owned).collect()];
    for suite in &summary.suites {
        for subtask in suite.chain.iter().flat_map(|chain| &chain.subtasks) {
            let mut row = vec![suite.name.clone(), subtask.name.clone()];
            row.extend(rate(subtask.rate, subtask.rate.estimate));
            row.push(subtask.not_reached.to_string());
            rows.push(row);
        }
    }
    (rows.len() > 1).then(|| write(&rows)).transpose()
}

fn summary_header(chains: u16) -> Vec<String> {
    let header = "suite,asked,missing,n,errors,successes,rate,low,high,mean_steps_of_successes,\
                  paper,paper_low,paper_high,paper_n,difference,difference_low,difference_high,\
                  verdict,reason,comparable,successes_other_rule";
    let mut header: Vec<String> = header.split(',').map(str::to_owned).collect();
    if chains > 0 {
        header.extend(
            ["average_length", "average_length_low", "average_length_high"].map(Into::into),
        );
    }
    for k in 1..=chains {
        header.extend(["", "_low", "_high"].map(|end| format!("in_a_row_{k}{end}")));
    }
    header
}

fn rate(rate: Rate, estimate: Option<Estimate>) -> Vec<String> {
    let counts = [rate.n, rate.errors, rate.successes].map(|n| n.to_string());
    counts.into_iter().chain(numbers(estimate)).collect()
}

fn successes(rate: Option<Rate>) -> String {
    rate.map_or(String::new(), |rate| rate.successes.to_string())
}

fn length(length: Length) -> [String; 3] {
    numbers(length.estimate)
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

fn paper(paper: Option<&Comparison>) -> Vec<String> {
    let published = paper.map(|paper| &paper.published);
    let mut cells = numbers(published.map(|published| published.estimate)).to_vec();
    cells.push(published.map_or(String::new(), |published| published.n.to_string()));
    cells.extend(numbers(paper.and_then(|paper| paper.difference)));
    cells.push(paper.map_or(String::new(), |paper| paper.verdict.words().into()));
    cells.push(paper.and_then(|paper| paper.verdict.reason()).unwrap_or_default().into());
    cells
}

fn comparable(summary: &Summary) -> [String; 1] {
    [summary.incomparable.as_ref().map_or("yes".into(), |why| format!("no: {why}"))]
}

fn numbers(estimate: Option<Estimate>) -> [String; 3] {
    [
        number(estimate.map(|e| e.value)),
        number(estimate.map(|e| e.low)),
        number(estimate.map(|e| e.high)),
    ]
}

fn number(value: Option<f64>) -> String {
    // Adding 0 to what rounds to -0.0 takes its sign away.
    value.map_or(String::new(), |value| format!("{:.6}", (value * 1e6).round() / 1e6 + 0.0))
}

fn write(rows: &[Vec<String>]) -> Result<String, Error> {
    let mut writer =
        WriterBuilder::new().terminator(Terminator::Any(b'\n')).from_writer(Vec::new());
    for row in rows {
        writer.write_record(row)?;
    }
    let bytes = writer.into_inner().map_err(|e| Error::from(e.into_error()))?;
    Ok(String::from_utf8(bytes).expect("text was written"))
}
