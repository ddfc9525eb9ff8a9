//! Chains of sub-tasks: which sub-task each stage was, and rollouts pooled over parts of a run.

use udvla_results::out::render::{markdown, subtasks_csv, terminal};
use udvla_results::run::damage::Damage;
use udvla_results::run::merge::read_runs;
use udvla_results::run::read::Run;
use udvla_results::tables::paper_tables::paper_tables;
use udvla_sims::protocol::Protocol;
use udvla_sims::sequences::chains;

use crate::build;

/// (solved, tries, not reached, errors) of a sub-task.
fn counts(run: &Run, name: &str) -> (u32, u32, u32, u32) {
    let summary = build::summary(run);
    let subtasks = &summary.suites[0].chain.as_ref().unwrap().subtasks;
    let found = subtasks.iter().find(|subtask| subtask.name == name).unwrap();
    (found.rate.successes, found.rate.n, found.not_reached, found.rate.errors)
}

#[test]
fn every_stage_of_a_chain_counts_for_its_sub_task() {
    let chain = &chains(&Protocol::calvin().suites[0])[0];
    for completed in 0..=5 {
        let run = build::calvin_of_lengths(&[completed]);
        for (stage, name) in (0..).zip(chain) {
            let expected = match stage {
                stage if stage < completed => (1, 1, 0, 0),
                stage if stage == completed => (0, 1, 0, 0),
                _ => (0, 0, 1, 0),
            };
            assert_eq!(counts(&run, name), expected, "{name} of {completed}");
        }
    }
}

#[test]
fn what_all_sub_tasks_solved_is_the_sum_of_the_lengths() {
    let lengths: Vec<u16> = (0..500).map(|trial| trial * 7 % 6).collect();
    let summary = build::summary(&build::calvin_of_lengths(&lengths));
    let subtasks = &summary.suites[0].chain.as_ref().unwrap().subtasks;
    assert_eq!(subtasks.len(), 34);
    let solved: u32 = subtasks.iter().map(|subtask| subtask.rate.successes).sum();
    assert_eq!(solved, lengths.iter().map(|&length| u32::from(length)).sum::<u32>());
    let failed: u32 = subtasks.iter().map(|one| one.rate.n - one.rate.successes).sum();
    assert_eq!(failed as usize, lengths.iter().filter(|&&length| length < 5).count());
    let everything: u32 = subtasks.iter().map(|one| one.rate.n + one.not_reached).sum();
    assert_eq!(everything, 2500);
}

#[test]
fn a_chain_that_could_not_run_is_no_failure_of_its_sub_tasks() {
    let mut run = build::calvin_of_lengths(&[5]);
    build::fail(&mut run, "abcd-d", 0, 0);
    for name in &chains(&run.manifest.protocol.suites[0])[0] {
        assert_eq!(counts(&run, name), (0, 0, 0, 1), "{name}");
    }
}

#[test]
fn pages_and_csv_show_the_sub_tasks_of_the_chains() {
    let run = build::calvin_of_lengths(&[1, 5]);
    let summary = build::summary(&run);
    let page = markdown(&summary);
    let (whole, parts) = (page.find("| in a row").unwrap(), page.find("| sub-task").unwrap());
    assert!(whole < parts, "{page}");
    let text = terminal(&summary);
    assert!(text.find("sub-task").unwrap() < text.find("in a row").unwrap(), "{text}");
    assert!(text.contains("rotate_blue_block_right"), "{text}");
    let csv = subtasks_csv(&summary).unwrap().unwrap();
    let line = csv.lines().find(|line| line.contains("rotate_blue_block_right,")).unwrap();
    assert_eq!(line, "abcd-d,rotate_blue_block_right,1,0,1,1.000000,0.206549,1.000000,0");
    assert_eq!(subtasks_csv(&build::summary(&build::libero())).unwrap(), None);
    let tables = paper_tables(&build::paper(), &[run], &[]);
    let last = tables.last().unwrap();
    assert_eq!(last.source, "By sub-task");
    assert!(last.rows.iter().any(|row| row.method == "rotate_blue_block_right"));
}

#[test]
fn parts_of_unequal_size_are_pooled_by_rollouts() {
    let lengths: Vec<u16> = (0..500).map(|trial| if trial < 62 { 0 } else { 5 }).collect();
    let whole = build::calvin_of_lengths(&lengths);
    let folder = tempfile::tempdir().unwrap();
    // A part of the 62 chains that failed, and one of the 438 that did not.
    let directories = [("a", 0..62), ("b", 62..500)].map(|(name, trials)| {
        let mut part = whole.clone();
        part.records.retain(|key, _| trials.contains(&key.trial));
        let directory = folder.path().join(name);
        std::fs::create_dir(&directory).unwrap();
        build::store(&part, &directory, &build::lines(&part));
        directory
    });
    let merged = read_runs(&directories, Damage::Refuse).unwrap();
    let summary = build::summary(&merged[0]);
    let chain = summary.suites[0].chain.as_ref().unwrap();
    assert_eq!((chain.length.n, summary.counts.missing), (500, 0));
    let length = chain.length.estimate.unwrap().value;
    assert!((length - 438.0 * 5.0 / 500.0).abs() < 1e-12, "{length}; the mean of means is 2.5");
    assert_eq!(summary, build::summary(&whole));
}
