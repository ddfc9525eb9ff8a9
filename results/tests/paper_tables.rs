//! The paper's tables with our rows, and what may be counted together.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;
use udvla_results::out::render::{paper_csv, paper_json, paper_latex, paper_markdown};
use udvla_results::run::damage::Damage;
use udvla_results::run::merge::{MergeError, read_all};
use udvla_results::run::read::Run;
use udvla_results::tables::model::{Row, RowKind, Table};
use udvla_results::tables::paper_tables::paper_tables;

use crate::build;

fn tables(runs: &[Run]) -> Vec<Table> {
    paper_tables(&build::paper(), runs, &[])
}

/// The row of a table about runs.
fn measured(table: &Table) -> &Row {
    table.rows.last().unwrap()
}

/// What stands in the last column: number and interval.
fn last(row: &Row) -> (String, String) {
    let cell = row.cells.last().unwrap().as_ref().unwrap();
    (cell.printed.clone(), cell.interval.clone().unwrap())
}

#[test]
fn the_papers_counts_print_the_papers_averages_and_intervals() {
    let runs =
        [build::calvin_as_published(), build::libero_as_published(), build::simpler_as_published()];
    let tables = tables(&runs);
    let texts = |text: &str, interval: &str| (text.to_owned(), interval.to_owned());
    assert_eq!(last(measured(&tables[2])), texts("96.1", "[95.2, 96.9]"));
    assert_eq!(last(measured(&tables[3])), texts("76.0", "[66.6, 83.5]"));
    let calvin = measured(&tables[1]).cells.last().unwrap().clone().unwrap();
    assert_eq!(calvin.printed, "4.64");
    let (low, high) = (calvin.low.unwrap(), calvin.high.unwrap());
    assert!((low - 4.55).abs() < 0.02 && (high - 4.72).abs() < 0.02, "[{low}, {high}]");
    for table in &tables[1..4] {
        let published = table.rows.iter().find(|row| row.method == "UD-VLA").unwrap();
        // The same counts give the same intervals, whoever measured them.
        assert_eq!(last(published), last(measured(table)), "{}", table.source);
    }
    let verdicts = tables[1..4].iter().map(|table| measured(table).verdict.clone().unwrap());
    assert_eq!(verdicts.collect::<Vec<_>>(), ["✓ agrees", "✓ agrees", "? cannot tell"]);
}

#[test]
fn the_report_and_the_tables_agree_on_the_average() {
    let run = build::libero_as_published();
    let average = build::summary(&run).average.unwrap().estimate.unwrap();
    let cell = measured(&tables(&[run])[2]).cells.last().unwrap().clone().unwrap();
    assert_eq!((cell.low, cell.high), (Some(average.low), Some(average.high)));
}

#[test]
fn what_was_not_measured_says_so_and_no_cell_is_blank() {
    let tables = tables(&[]);
    assert_eq!(tables.len(), 7);
    for table in &tables[1..] {
        assert!(table.rows.iter().any(|row| row.kind == RowKind::NotMeasured), "{}", table.source);
    }
    let page = paper_markdown("paper", &tables);
    for line in page.lines().filter(|line| line.starts_with("| ")) {
        assert!(
            line.split('|').skip(1).all(|cell| !cell.trim().is_empty() || cell.is_empty()),
            "{line}"
        );
    }
    assert!(page.contains("not measured"), "{page}");
}

#[test]
fn an_average_needs_every_suite() {
    let mut run = build::libero_long(10);
    build::spread(&mut run, "long", 476);
    let row = measured(&tables(&[run])[2]).clone();
    assert_eq!(
        row.cells.iter().map(Option::is_some).collect::<Vec<_>>(),
        [false, false, false, true, false]
    );
    assert_eq!(row.verdict, None);
}

#[test]
fn errors_stand_beside_n_with_the_bound_that_counts_them_as_failures() {
    let mut run = build::libero_as_published();
    for trial in 0..2 {
        build::fail(&mut run, "long", 9, trial);
    }
    let tables = tables(&[run]);
    assert_eq!(measured(&tables[2]).n, "n = 1998 of 2000, 2 errors");
    let notes = tables[2].notes.join("\n");
    for bound in [
        "long: with errors counted as failures: 474/500 = 94.8",
        "all suites: with errors counted as failures: 1920/2000 = 96.0",
    ] {
        assert!(notes.contains(bound), "{bound}: {notes}");
    }
    assert!(measured(&tables[2]).verdict.as_ref().unwrap().contains("no verdict"));
}

#[test]
fn chains_have_a_bound_with_errors_as_failures_too() {
    let mut run = build::calvin_as_published();
    build::fail(&mut run, "abcd-d", 0, 499);
    build::fail(&mut run, "abcd-d", 0, 498);
    let tables = tables(&[run]);
    assert_eq!(measured(&tables[1]).n, "n = 498 of 500, 2 errors");
    // Two chains of five less: (2320 - 10) / 500.
    let notes = tables[1].notes.join("\n");
    assert!(notes.contains("counted as failures the average length is 4.62"), "{notes}");
}

#[test]
fn models_by_components_come_first_with_every_cell() {
    let table = &tables(&[])[0];
    assert_eq!((table.source.as_str(), table.rows.len()), ("Table 1", 9));
    let cells = |row: &Row| -> Vec<String> {
        row.cells.iter().map(|cell| cell.as_ref().unwrap().printed.clone()).collect()
    };
    let last = cells(table.rows.last().unwrap());
    assert_eq!(last[1..], ["Diff-disc", "no", "Diff-disc", "no", "IBA", "Diff"]);
    let page = paper_markdown("paper", std::slice::from_ref(table));
    assert!(page.contains("next-token prediction") && !page.contains("| n "), "{page}");
}

#[test]
fn a_variant_gets_its_own_row() {
    let mut run = build::calvin_as_published();
    build::set_subject(&mut run, "decoding", "ar");
    let tables = paper_tables(&build::paper(), &[], &[run]);
    let rows = &tables[6].rows;
    assert_eq!((rows[1].kind, rows[1].method.contains("AR")), (RowKind::Whole, true));
    assert!(rows[3..].iter().all(|row| row.kind != RowKind::Whole));
    assert_eq!(measured(&tables[1]).kind, RowKind::NotMeasured);
}

#[test]
fn every_target_of_the_subject_has_its_row() {
    for (index, target) in ["null", "current", "future"].into_iter().enumerate() {
        let mut run = build::calvin_as_published();
        build::set_subject(&mut run, "target", target);
        let tables = paper_tables(&build::paper(), &[], &[run]);
        assert_eq!(tables[5].rows[2 * index + 1].kind, RowKind::Whole, "{target}");
    }
}

#[test]
fn latex_has_as_many_ends_as_begins_and_csv_and_json_can_be_read() {
    let tables = tables(&[build::libero_as_published()]);
    let latex = paper_latex(&tables);
    assert_eq!(latex.matches("\\begin{").count(), latex.matches("\\end{").count());
    for wanted in [
        "\\setcounter{table}{2}\n\\begin{table}\n\\caption{LIBERO (n: episodes of a suite)}",
        "\\shortstack[r]{96.2\\\\{\\scriptsize {[}94.1, 97.6{]} 481/500}}",
        "\\usepackage{booktabs}",
    ] {
        assert!(latex.contains(wanted), "{wanted}\n{latex}");
    }
    // Braces pair up, and every row has as many cells as its table has columns.
    let plain = latex.replace("\\\\", "");
    let braces =
        |open: char| plain.matches(open).count() - plain.matches(&format!("\\{open}")).count();
    assert_eq!(braces('{'), braces('}'));
    let mut width = 0;
    for line in latex.lines() {
        if let Some(spec) = line.strip_prefix("\\begin{tabular}{") {
            width = spec.trim_end_matches('}').len();
        } else if line.ends_with(" \\\\") {
            let cells = line.matches(" & ").count() + 1;
            assert_eq!(cells, width, "{line}");
        }
    }
    let columns = latex.lines().filter(|line| line.ends_with(" \\\\"));
    for line in columns {
        assert!(!line.contains('→') && !line.contains('✓'), "{line}");
    }
    let csv = paper_csv(&tables).unwrap();
    let lines = csv::Reader::from_reader(csv.as_bytes()).records().map(Result::unwrap).count();
    assert!(lines > 150, "{lines}");
    let json: serde_json::Value = serde_json::from_str(&paper_json(&tables)).unwrap();
    assert_eq!(json[2]["rows"][11]["cells"][3]["successes"], 476);
}

/// Run directories, each with the records that `wanted` picks.
fn split(run: &Run, parts: usize) -> (TempDir, Vec<PathBuf>) {
    let folder = TempDir::new().unwrap();
    let directories = (0..parts).map(|part| {
        let mut some = run.clone();
        let mut index = 0;
        some.records.retain(|_, _| {
            index += 1;
            index % parts == part
        });
        let directory = folder.path().join(format!("part-{part}"));
        fs::create_dir(&directory).unwrap();
        build::store(&some, &directory, &build::lines(&some));
        directory
    });
    let directories = directories.collect();
    (folder, directories)
}

#[test]
fn parts_of_a_run_give_the_bytes_of_the_whole_in_any_order() {
    let whole = build::libero_as_published();
    let expected = paper_json(&tables(std::slice::from_ref(&whole)));
    let (_folder, mut directories) = split(&whole, 3);
    for _ in 0..3 {
        directories.rotate_left(1);
        let merged = read_all(&directories, Damage::Refuse).unwrap();
        assert_eq!(merged.len(), 1);
        assert_eq!(paper_json(&tables(&merged)), expected);
    }
}

#[test]
fn benchmarks_stay_apart() {
    let (_one, libero) = split(&build::libero_as_published(), 1);
    let (_other, calvin) = split(&build::calvin_as_published(), 1);
    let merged = read_all(&[libero, calvin].concat(), Damage::Refuse).unwrap();
    let names: Vec<&str> = merged.iter().map(|run| &*run.manifest.protocol.benchmark).collect();
    assert_eq!(names, ["calvin", "libero"]);
}

#[test]
fn doubled_episodes_and_other_runs_are_refused_by_name() {
    let (_folder, directories) = split(&build::libero_as_published(), 2);
    let twice = [directories[0].clone(), directories[0].clone()];
    let error = read_all(&twice, Damage::Refuse).unwrap_err();
    assert!(matches!(&error, MergeError::Doubled { key, .. } if key.suite == "goal"), "{error}");
    let refused = |change: &dyn Fn(&mut Run)| {
        let mut other = build::libero_as_published();
        other.records.clear();
        change(&mut other);
        other.manifest.protocol_fingerprint = other.manifest.protocol.fingerprint();
        let folder = TempDir::new().unwrap();
        build::store(&other, folder.path(), &[]);
        read_all(&[directories[0].clone(), folder.path().into()], Damage::Refuse)
            .unwrap_err()
            .to_string()
    };
    let subject = refused(&|run| {
        build::set_subject(run, "checkpoint", "sha256:ffff");
    });
    assert!(subject.contains("subject.checkpoint") && subject.contains("sha256:ffff"), "{subject}");
    let setting = refused(&|run| build::set_setting(run, "renderer", "x"));
    assert!(setting.contains("setting.renderer"), "{setting}");
    let protocol = refused(&|run| run.manifest.protocol.suites[3].max_steps = 600);
    assert!(protocol.contains("protocol.suites.long.max_steps"), "{protocol}");
}

#[test]
fn runs_without_episodes_or_tasks_have_rows_without_numbers() {
    let mut empty = build::calvin_as_published();
    empty.records.clear();
    let mut idle = empty.clone();
    idle.manifest.plan.clear();
    build::set_subject(&mut idle, "decoding", "id");
    for run in [empty, idle] {
        let tables = tables(&[run]);
        assert!(measured(&tables[1]).cells.iter().all(Option::is_none));
        assert!(!paper_markdown("paper", &tables).contains("NaN"));
    }
}
