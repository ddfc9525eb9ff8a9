//! The paper's tables with our rows, and what may be counted together.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;
use udvla_results::out::render::{
    paper_csv, paper_json, paper_latex, paper_latex_document, paper_markdown,
};
use udvla_results::run::damage::Damage;
use udvla_results::run::merge::{MergeError, read_runs};
use udvla_results::run::read::Run;
use udvla_results::tables::model::{Row, RowKind, Table};
use udvla_results::tables::paper_tables::{measured_only, paper_tables, tables_of};
use udvla_results::tables::summary::Summary;

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
    let fragment = paper_latex(&tables);
    assert!(fragment.starts_with("% needs") && !fragment.contains("document"), "{fragment}");
    assert!(fragment.contains("\\caption{Table 3, LIBERO"), "{fragment}");
    let latex = paper_latex_document(&tables);
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
        let merged = read_runs(&directories, Damage::Refuse).unwrap();
        assert_eq!(merged.len(), 1);
        assert_eq!(paper_json(&tables(&merged)), expected);
    }
}

#[test]
fn benchmarks_stay_apart() {
    let (_one, libero) = split(&build::libero_as_published(), 1);
    let (_other, calvin) = split(&build::calvin_as_published(), 1);
    let merged = read_runs(&[libero, calvin].concat(), Damage::Refuse).unwrap();
    let names: Vec<&str> = merged.iter().map(|run| &*run.manifest.protocol.benchmark).collect();
    assert_eq!(names, ["libero", "calvin"], "in the order of the directories");
}

#[test]
fn doubled_episodes_are_refused_by_name() {
    let (_folder, directories) = split(&build::libero_as_published(), 2);
    let twice = [directories[0].clone(), directories[0].clone()];
    let error = read_runs(&twice, Damage::Refuse).unwrap_err();
    assert!(matches!(&error, MergeError::Doubled { key, .. } if key.suite == "goal"), "{error}");
}

#[test]
fn other_subjects_settings_and_protocols_are_rows_of_their_own() {
    let whole = build::libero_as_published();
    let (_folder, directories) = split(&whole, 2);
    let changes: [fn(&mut Run); 3] = [
        |run| build::set_subject(run, "checkpoint", "sha256:ffff"),
        |run| build::set_setting(run, "renderer", "x"),
        |run| run.manifest.protocol.suites[3].max_steps = 600,
    ];
    for (change, name) in changes.into_iter().zip(["udvla ffff", "renderer x", "other"]) {
        let mut other = whole.clone();
        change(&mut other);
        other.manifest.run = "other".into();
        other.manifest.protocol_fingerprint = other.manifest.protocol.fingerprint();
        let (_one, more) = split(&other, 1);
        let runs = read_runs(&[&more[..], &directories[..]].concat(), Damage::Refuse).unwrap();
        assert_eq!(runs.len(), 2);
        let tables = measured_only(tables(&runs));
        let rows: Vec<&Row> =
            tables[0].rows.iter().filter(|row| row.kind == RowKind::Whole).collect();
        assert!(rows[0].method.ends_with(name), "{name}: {}", rows[0].method);
        assert_ne!(rows[0].method, rows[1].method);
        assert_eq!(rows.iter().map(|row| row.n.as_str()).collect::<Vec<_>>(), ["n = 2000"; 2]);
    }
}

#[test]
fn rows_have_the_users_names_and_only_measured_tables_are_kept() {
    let paper = build::paper();
    let runs = [build::libero_as_published(), build::libero_long(10)];
    let summaries = ["ours", "theirs"].into_iter().zip(&runs);
    let summaries: Vec<Summary> =
        summaries.map(|(name, run)| Summary::new(run, &paper).named(Some(name.into()))).collect();
    let tables = measured_only(tables_of(&paper, &summaries, &[]));
    assert_eq!(tables.iter().map(|table| &*table.source).collect::<Vec<_>>(), ["Table 3"]);
    let names = tables[0].rows.iter().filter(|row| row.kind == RowKind::Whole);
    assert_eq!(names.map(|row| &*row.method).collect::<Vec<_>>(), ["ours", "theirs"]);
    assert!(tables[0].notes.iter().any(|note| note.starts_with("theirs: protocol")));
}

#[test]
fn a_part_of_a_suite_has_no_cell_in_the_papers_table() {
    let mut run = build::libero_as_published();
    run.manifest.plan.retain(|task| task.suite != "goal" || task.task < 3);
    run.records.retain(|key, _| key.suite != "goal" || key.task < 3);
    let table = &measured_only(tables(&[run]))[0];
    let row = measured(table);
    assert_eq!(
        row.cells.iter().map(Option::is_some).collect::<Vec<_>>(),
        [true, true, false, true, false]
    );
    assert!(
        table.notes.iter().any(|note| note.starts_with("goal, only tasks 0, 1 and 2 of 10, so"))
    );
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
