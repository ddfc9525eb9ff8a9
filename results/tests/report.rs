//! The report as a whole: what it writes, and that only the directory's content matters.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use udvla_results::out::report::{ReportError, write_all};
use udvla_results::run::read::Run;

use crate::build;

fn small() -> Run {
    let mut run = build::libero_long(3);
    for (task, successes) in (0..).zip([50, 31, 0]) {
        build::task_counts(&mut run, "long", task, successes);
    }
    build::fail(&mut run, "long", 1, 49);
    run
}

/// Names and contents of all files that a report of these lines leaves.
fn report(run: &Run, lines: &[String]) -> Vec<(PathBuf, Vec<u8>)> {
    let dir = TempDir::new().unwrap();
    build::store(run, dir.path(), lines);
    let written = write_all(dir.path()).unwrap();
    let relative = |path: &Path| path.strip_prefix(dir.path()).unwrap().to_path_buf();
    written.paths.iter().map(|path| (relative(path), fs::read(path).unwrap())).collect()
}

#[test]
fn a_report_has_its_files_and_nothing_else() {
    let dir = TempDir::new().unwrap();
    build::store(&small(), dir.path(), &build::lines(&small()));
    let written = write_all(dir.path()).unwrap();
    let mut found: Vec<PathBuf> = ["tables", "plots"]
        .iter()
        .flat_map(|folder| fs::read_dir(dir.path().join(folder)).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect();
    let mut named = written.paths.clone();
    found.push(dir.path().join("report.html"));
    found.sort();
    named.sort();
    assert_eq!(found, named);
    // Three tables, four plots in two formats, and the page.
    assert_eq!(named.len(), 12);
    assert!(written.terminal.ends_with("149 of 150 episodes, 1 error, 1 retried\n"));
    let png = fs::read(dir.path().join("plots/success-by-task.png")).unwrap();
    assert!(png.starts_with(b"\x89PNG"));
}

#[test]
fn the_order_of_the_records_changes_no_byte() {
    let run = small();
    let expected = report(&run, &build::lines(&run));
    let lines: Vec<String> =
        run.records.values().map(|record| serde_json::to_string(record).unwrap()).collect();
    let backwards: Vec<_> = lines.iter().rev().cloned().collect();
    assert!(report(&run, &build::sealed(&backwards)) == expected);
    // A multiplier without a common factor with 150 visits every line once.
    let mixed: Vec<_> = (0..lines.len()).map(|i| lines[i * 77 % lines.len()].clone()).collect();
    assert!(report(&run, &build::sealed(&mixed)) == expected);
}

#[test]
fn a_report_replaces_the_one_before() {
    let dir = TempDir::new().unwrap();
    let run = small();
    build::store(&run, dir.path(), &build::lines(&run)[..100]);
    let partial = write_all(dir.path()).unwrap();
    build::store(&run, dir.path(), &build::lines(&run));
    let whole = write_all(dir.path()).unwrap();
    assert_eq!(partial.paths, whole.paths);
    assert!(partial.terminal.contains("50 missing"));
    let page = fs::read_to_string(&whole.paths[0]).unwrap();
    assert!(!page.contains("missing,"), "{page}");
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let dir = TempDir::new().unwrap();
    build::store(&small(), dir.path(), &[]);
    fs::write(dir.path().join("tables"), "in the way").unwrap();
    let error = write_all(dir.path()).unwrap_err();
    assert!(matches!(&error, ReportError::Write { path, .. } if path.ends_with("summary.md")));
}
