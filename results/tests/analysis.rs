//! Comparisons, gates and audits.

use udvla_results::compare::audit::csv::read_csv;
use udvla_results::compare::audit::printed::of_paper;
use udvla_results::compare::audit::{audit, contrasts};
use udvla_results::compare::gate::{Baseline, GateError, against_baseline, against_paper};
use udvla_results::compare::pairs::{CompareError, compare};
use udvla_results::out::render::{audit_markdown, compare_markdown, gate_junit, gate_markdown};
use udvla_results::run::read::Run;

use crate::build;

fn long(successes: u32) -> Run {
    let mut run = build::libero_long(10);
    build::spread(&mut run, "long", successes);
    run
}

#[test]
fn a_comparison_counts_pairs_and_lists_every_flip() {
    let (a, b) = (long(476), long(458));
    let found = compare(&a, &b).unwrap();
    let part = &found.parts[0];
    assert_eq!((part.n, part.a, part.b), (500, 476, 458));
    assert_eq!(part.only_a - part.only_b, 18);
    assert_eq!(found.flips.len() as u32, part.only_a + part.only_b);
    assert!(part.difference.high < 0.0 && part.mcnemar < 0.01, "{part:?}");
    let page = compare_markdown(&found, ["a", "b"]);
    assert!(page.contains("## A did better: 18 episodes"), "{page}");
    assert!(found.differences.is_empty() && found.warnings.is_empty(), "{found:?}");
}

#[test]
fn errors_and_missing_episodes_have_no_partner_and_are_named() {
    let (mut a, mut b) = (long(476), long(476));
    build::fail(&mut a, "long", 1, 1);
    build::forget(&mut b, "long", 2, 2);
    let found = compare(&a, &b).unwrap();
    assert_eq!(found.parts[0].n, 498);
    assert_eq!(found.warnings.len(), 2, "{:?}", found.warnings);
    assert!(found.warnings[0].contains("1 errors") && found.warnings[1].contains("1 missing"));
}

#[test]
fn other_protocols_are_refused_with_their_fields() {
    let (a, mut b) = (long(476), long(476));
    b.manifest.protocol.environment.set("control_hz", 10);
    b.manifest.protocol_fingerprint = b.manifest.protocol.fingerprint();
    let error = compare(&a, &b).unwrap_err();
    let CompareError::Protocol { fields } = &error else { panic!("{error}") };
    assert_eq!(fields, &["protocol.control_hz (`20`, other `10`)"]);
    let mut nothing = long(476);
    nothing.records.clear();
    assert!(matches!(compare(&a, &nothing), Err(CompareError::NoPairs)));
}

#[test]
fn lengths_are_compared_in_stages() {
    let a = build::calvin_as_published();
    let mut b = a.clone();
    for record in b.records.values_mut().take(100) {
        record.stages_completed = record.stages_completed.saturating_sub(1);
    }
    let found = compare(&a, &b).unwrap();
    let length = found.parts[0].length.unwrap();
    assert!(length.high < 0.0 && (length.value + 0.192).abs() < 0.01, "{length:?}");
}

#[test]
fn a_gate_passes_fails_or_cannot_tell() {
    let baseline = long(476);
    let decision =
        |successes| against_baseline(&long(successes), &baseline, 0.02).unwrap().decision.name();
    assert_eq!(decision(476), "pass");
    assert_eq!(decision(490), "pass");
    assert_eq!(decision(470), "inconclusive");
    assert_eq!(decision(430), "fail");
    let text = Baseline::of(&baseline).to_text();
    let changed = text.replacen("\"stages_completed\":1", "\"stages_completed\":0", 1);
    assert!(matches!(Baseline::from_text(&changed), Err(GateError::Changed)));
    let stored = Baseline::from_text(&text).unwrap();
    assert_eq!(stored.run().unwrap(), baseline);
}

#[test]
fn a_suite_that_fails_alone_but_not_among_four_leaves_the_gate_open() {
    let mut baseline = build::libero_as_published();
    for suite in ["spatial", "object", "goal", "long"] {
        build::spread(&mut baseline, suite, 500);
    }
    let mut run = baseline.clone();
    let goal = |run: &udvla_results::run::read::Run| {
        let gate = against_baseline(run, &baseline, 0.02).unwrap();
        let check = gate.checks.iter().find(|check| check.name == "goal").unwrap();
        (check.difference.high < -0.02, check.decision.name(), gate.decision.name())
    };
    build::spread(&mut run, "goal", 483);
    assert_eq!(goal(&run), (true, "inconclusive", "pass"));
    build::spread(&mut run, "goal", 470);
    assert_eq!(goal(&run), (true, "fail", "fail"));
}

#[test]
fn a_suite_that_fails_by_itself_fails_the_gate() {
    let baseline = build::libero_as_published();
    let mut run = baseline.clone();
    build::spread(&mut run, "goal", 430);
    build::spread(&mut run, "spatial", 500);
    build::spread(&mut run, "object", 500);
    build::spread(&mut run, "long", 500);
    let gate = against_baseline(&run, &baseline, 0.02).unwrap();
    let decisions: Vec<_> =
        gate.checks.iter().map(|check| (check.name.as_str(), check.decision.name())).collect();
    assert_eq!(decisions[0], ("all", "pass"));
    assert!(decisions.contains(&("goal", "fail")), "{decisions:?}");
    assert_eq!(gate.decision.name(), "fail");
    let junit = gate_junit(&gate);
    assert!(junit.contains("tests=\"5\" failures=\"1\" errors=\"0\" skipped=\"0\""), "{junit}");
    assert!(gate_markdown(&gate).starts_with("# Gate: fail\n"));
}

#[test]
fn a_gate_refuses_what_is_not_whole() {
    let whole = long(476);
    let mut errors = long(476);
    build::fail(&mut errors, "long", 0, 0);
    let mut partial = long(476);
    build::forget(&mut partial, "long", 0, 0);
    for run in [&errors, &partial] {
        for result in [
            against_baseline(run, &whole, 0.02),
            against_baseline(&whole, run, 0.02),
            against_paper(run, &build::paper(), 0.02),
        ] {
            assert!(matches!(result, Err(GateError::Partial { .. })), "{result:?}");
        }
    }
    let mut fewer = build::libero_long(10);
    fewer.manifest.plan.iter_mut().for_each(|task| task.trials = 20);
    build::spread(&mut fewer, "long", 190);
    let result = against_baseline(&fewer, &whole, 0.02);
    assert!(matches!(result, Err(GateError::Episodes { both: 200, .. })), "{result:?}");
}

#[test]
fn the_papers_own_counts_pass_against_the_paper_with_enough_margin() {
    let paper = build::paper();
    let decide = |run: &Run, margin| against_paper(run, &paper, margin).unwrap().decision.name();
    assert_eq!(decide(&build::libero_as_published(), 0.02), "pass");
    assert_eq!(decide(&build::calvin_as_published(), 0.03), "pass");
    assert_eq!(decide(&build::simpler_as_published(), 0.02), "inconclusive");
    let mut expert = long(476);
    build::set_subject(&mut expert, "policy", "expert");
    let result = against_paper(&expert, &paper, 0.02);
    assert!(
        matches!(&result, Err(GateError::Withheld(why)) if why.contains("expert")),
        "{result:?}"
    );
}

#[test]
fn the_audit_finds_what_is_wrong_with_the_papers_tables() {
    let tables = of_paper(&build::paper());
    let findings: Vec<String> = tables
        .iter()
        .flat_map(audit)
        .map(|found| format!("{} {} {}: {}", found.table, found.row, found.kind, found.text))
        .collect();
    for wanted in [
        "Table 4 UD-VLA printed twice: printed as 76.0 and as 75.0",
        "Table 4 UD-VLA truncated: 91.6 is 22/24 = 91.6667 truncated, not rounded",
        "Table 3 CoT-VLA average: the cells average 83.925, printed is 81.1",
        "Table 2 ReconVLA average: the cells sum to 4.215, printed is 4.23",
        "Table 2 MCIL no count: 0.373, 0.027 are not k/500",
        "Table 2 RT-1 no count: 0.617, 0.323, 0.227 are not k/500",
        "Table 2 GR-1 no count: 0.949, 0.789, 0.731 are not k/500",
        "Table 2 ReconVLA no count: 0.845, 0.785, 0.705 are not k/500",
        "Table 2 UP-VLA no count: 0.921, 0.879 are not k/500",
        "Table 7 JD3P ratio: 219.3 / 50.2 = 4.37, printed is 4.3",
    ] {
        assert!(findings.iter().any(|found| found.starts_with(wanted)), "{wanted}\n{findings:#?}");
    }
    // Nothing else is wrong with UD-VLA's own rows.
    let own = findings.iter().filter(|found| found.contains("UD-VLA")).count();
    assert_eq!(own, 2, "{findings:#?}");
}

#[test]
fn the_best_row_is_held_against_every_other_one() {
    let tables = of_paper(&build::paper());
    let found = contrasts(&tables[1]);
    let of = |other: &str, column: &str| {
        found.iter().find(|c| c.other == other && c.column == column).unwrap()
    };
    assert!(found.iter().all(|contrast| contrast.best == "UD-VLA"));
    assert!(of("F1", "average").within_noise());
    assert!(!of("Octo", "average").within_noise());
}

#[test]
fn a_csv_file_says_what_its_columns_are() {
    let text = "method,n,a,b,mean,plain:rate\n\
                one,50,90.0,80.0,85.0,10.0\n\
                two,50,91.0,83.0,87.5,25.0\n";
    let tables = read_csv("file", text).unwrap();
    let kinds: Vec<String> =
        audit(&tables[0]).iter().map(|found| format!("{} {}", found.row, found.kind)).collect();
    assert_eq!(kinds, ["two no count", "two average"]);
    let (page, count) = audit_markdown(&tables);
    assert!(count == 2 && page.contains("# Audit: 2 findings"), "{page}");
}

#[test]
fn a_file_that_is_no_table_is_refused_with_the_place() {
    for (text, words) in [
        ("a,b\n1,2\n", "no column `method`"),
        ("method,a\nx,y\n", "line 2, column `a`: `y` is not a valid number"),
        ("method,a,a\nx,1,2\n", "two columns are named `a`"),
        ("method,a\n", "no rows"),
        ("method,a\nx,1,2\n", "not csv"),
        ("method,a\nx,NaN\n", "is not a valid number"),
        ("method,n,a\nx,24.5,50.0\n", "column `n`: `24.5`"),
        ("method,n,a\nx,0,50.0\n", "column `n`: `0`"),
        ("method,n,a\nx,5000000000,50.0\n", "column `n`: `5000000000`"),
    ] {
        let error = read_csv("file", text).unwrap_err().to_string();
        assert!(error.contains(words), "{text}: {error}");
    }
}

#[test]
fn no_numbers_make_an_audit_panic() {
    let numbers = ["0", "-1", "0.0", "100", "1e300", "-0.5", "101.0", "0.000000001", "", "99.9x"];
    for a in numbers {
        for b in numbers {
            let text = format!(
                "method,n,a,b,mean,plain:p\n\
                 one,24,{a},{b},{a},{b}\ntwo,1,{b},{a},{b},{a}\nthree,,{b},{b},{b},{b}\n"
            );
            let (page, _) = audit_markdown(&read_csv("file", &text).unwrap());
            assert!(!page.contains("NaN"), "{text}{page}");
        }
    }
}
