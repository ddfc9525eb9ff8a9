//! Everything that is ever done with a run directory, for inputs that nobody wrote. The property
//! tests and the fuzz target both call it.

use std::path::Path;

use udvla_results::compare::audit::csv::read_csv;
use udvla_results::compare::early::Watch;
use udvla_results::compare::gate::{Baseline, against_baseline, against_paper};
use udvla_results::compare::imports::Outcomes;
use udvla_results::compare::pairs::compare;
use udvla_results::compare::rates::compare_rates;
use udvla_results::out::exports::{episodes_csv, lerobot_json, vla_eval_json};
use udvla_results::out::html::{compare_page, run_page};
use udvla_results::out::plots::{of_comparison, of_run, of_runs};
use udvla_results::out::render::{
    compare_markdown, markdown, paper_latex, paper_markdown, summary_csv, tasks_csv, terminal,
};
use udvla_results::paper::Paper;
use udvla_results::run::damage::Damage;
use udvla_results::run::read::Run;
use udvla_results::tables::paper_tables::paper_tables;
use udvla_results::tables::summary::Summary;

/// Reads the two files of a run directory and makes all that can be made of them, where they can
/// be read at all. Whether they are undamaged.
pub fn run_directory(manifest: &[u8], records: &[u8]) -> bool {
    let read = |damage| Run::from_bytes_with(Path::new("run"), manifest, records, damage);
    let _ = read(Damage::Accept).map(|run| all_of(&run));
    match read(Damage::Refuse) {
        Ok(_) => true,
        Err(error) => {
            // One clear message, with its cause.
            assert!(!error.to_string().is_empty());
            let _ = (error.hint(), std::error::Error::source(&error).map(ToString::to_string));
            false
        }
    }
}

/// Reads a text as every kind of file that users hand over.
pub fn text(text: &str) {
    let _ = Outcomes::from_json(text).map(|outcomes| compare_rates(&outcomes, &outcomes));
    let _ = read_csv("file", text);
    let _ = serde_json::from_str::<Baseline>(text).map(Baseline::run);
}

fn all_of(run: &Run) {
    let paper = Paper::bundled();
    let summary = Summary::new(run, &paper);
    let pages = [markdown(&summary), terminal(&summary)];
    assert!(pages.iter().all(|page| !page.contains("NaN")), "{pages:?}");
    summary_csv(&summary).expect("csv is written to memory");
    tasks_csv(&summary).expect("csv is written to memory");
    let tables = paper_tables(&paper, std::slice::from_ref(run), &[]);
    paper_markdown("paper", &tables);
    paper_latex(&tables);
    let plots = of_run(run, &paper).expect("plots are drawn in memory");
    let page = run_page(run, &summary, &plots, &paper);
    assert!(plots.iter().all(|plot| !plot.svg.contains("NaN")) && !page.contains(">NaN"));
    of_runs(&[run.clone(), run.clone()], &paper).expect("plots are drawn in memory");
    if let Ok(found) = compare(run, run) {
        compare_markdown(&found, ["a", "b"]);
        compare_page(&found, ["a", "b"], &of_comparison(&found).expect("it is drawn in memory"));
    }
    let _ = (against_baseline(run, run, 0.02), against_paper(run, &paper, 0.02));
    episodes_csv(run).expect("csv is written to memory");
    for file in [lerobot_json(run), vla_eval_json(run)].into_iter().flatten() {
        Outcomes::from_json(&file).expect("what was exported can be imported");
    }
    for watch in [Watch::paper(&run.manifest, &paper), Watch::baseline(&run.manifest, run)] {
        let Ok(mut watch) = watch else { continue };
        run.records.values().for_each(|record| watch.observe(record));
    }
}
