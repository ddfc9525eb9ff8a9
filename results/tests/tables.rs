//! The tables: the paper's counts print the paper's numbers, and nothing is hidden.

use udvla_results::out::render::{markdown, summary_csv, tasks_csv, terminal};
use udvla_results::run::manifest::RunStatus;
use udvla_results::run::read::Run;
use udvla_results::tables::verdict::Verdict;

use crate::build;

/// One column of a CSV text.
fn column(text: &str, name: &str) -> Vec<String> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let index = reader.headers().unwrap().iter().position(|header| header == name).unwrap();
    reader.records().map(|record| record.unwrap()[index].to_owned()).collect()
}

fn long_as_published() -> Run {
    let mut run = build::libero_long(10);
    build::spread(&mut run, "long", 476);
    run
}

fn verdict(run: &Run) -> Verdict {
    build::summary(run).suites[0].paper.as_ref().unwrap().verdict.clone()
}

#[test]
fn the_papers_libero_counts_print_the_papers_numbers() {
    let summary = build::summary(&build::libero_as_published());
    let page = markdown(&summary);
    for row in [
        "| spatial     |     481/500 |     96.2 |     [94.1, 97.6] |",
        "| object      |     494/500 |     98.8 |     [97.4, 99.4] |",
        "| goal        |     471/500 |     94.2 |     [91.8, 95.9] |",
        "| long        |     476/500 |     95.2 |     [93.0, 96.8] |",
        "| **average** |**1922/2000**| **96.1** | **[95.2, 96.9]** |",
    ] {
        let squeeze = |text: &str| text.replace(' ', "");
        assert!(squeeze(&page).contains(&squeeze(row)), "{row}\n{page}");
    }
    let csv = summary_csv(&summary).unwrap();
    assert_eq!(column(&csv, "suite"), ["spatial", "object", "goal", "long", "average"]);
    assert_eq!(column(&csv, "rate"), ["0.962000", "0.988000", "0.942000", "0.952000", "0.961000"]);
    assert_eq!(column(&csv, "paper"), column(&csv, "rate"));
    assert_eq!(column(&csv, "verdict"), ["agrees"; 5]);
    assert_eq!(column(&tasks_csv(&summary).unwrap(), "task").len(), 40);
}

#[test]
fn a_suite_looks_like_this_in_a_terminal() {
    let mut run = long_as_published();
    build::fail(&mut run, "long", 3, 49);
    build::forget(&mut run, "long", 8, 49);
    let expected = "\
protocol libero v1 (4bdfa967)
policy udvla · checkpoint 91c0aa17 · decoding jd3p · dtype bf16
assets package · renderer egl
! n = 498 of 500, 1 error, 1 missing

LIBERO long, n = 498 of 500, 1 error, 1 missing
";
    let text = terminal(&build::summary(&run));
    assert!(text.starts_with(expected), "{text}");
    assert!(text.contains("no verdict: 1 error\n"), "{text}");
    assert!(text.ends_with("498 of 500 episodes, 1 error, 1 missing, 1 retried\n"), "{text}");
}

#[test]
fn no_line_of_the_terminal_is_wider_than_100() {
    let mut strange = build::run("a".repeat(150).as_str(), "toy", &[("b", 1, 7, vec!["c"; 9])]);
    strange.manifest.subject.other.insert("note".into(), "d ".repeat(99));
    let mut troubled = build::libero_as_published();
    for trial in 0..20 {
        build::fail(&mut troubled, "spatial", 4, trial);
        build::forget(&mut troubled, "long", 6, trial);
    }
    let mut simpler = build::simpler_as_published();
    build::note_any_step(&mut simpler, |_| true);
    let runs = [troubled, strange, build::calvin_as_published(), simpler];
    for run in runs {
        for line in terminal(&build::summary(&run)).lines() {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }
}

#[test]
fn every_line_of_a_markdown_table_has_the_same_width() {
    for run in [build::libero_as_published(), build::calvin_as_published()] {
        let page = markdown(&build::summary(&run));
        let mut width = None;
        for line in page.lines() {
            let now = line.starts_with('|').then(|| line.chars().count());
            assert!(width.is_none() || now.is_none() || width == now, "{page}");
            width = now;
        }
    }
}

#[test]
fn calvin_prints_the_papers_row_and_average_length() {
    let summary = build::summary(&build::calvin_as_published());
    let text = terminal(&summary);
    for row in [
        "this run     0.992  0.968  0.936  0.904  0.840            4.64",
        "paper        0.992  0.968  0.936  0.904  0.840            4.64  ✓ agrees",
    ] {
        assert!(text.contains(row), "{text}");
    }
    let csv = summary_csv(&summary).unwrap();
    assert_eq!(column(&csv, "average_length"), ["4.640000"]);
    assert_eq!(column(&csv, "in_a_row_5"), ["0.840000"]);
}

#[test]
fn simpler_is_too_small_to_tell_but_shows_the_paper() {
    let summary = build::summary(&build::simpler_as_published());
    assert_eq!(verdict(&build::simpler_as_published()), Verdict::CannotTell);
    let papers = column(&tasks_csv(&summary).unwrap(), "paper");
    assert_eq!(papers, ["0.833333", "0.625000", "0.666667", "0.916667"]);
}

#[test]
fn the_rule_of_any_step_stands_beside_the_protocols() {
    let mut run = build::simpler_as_published();
    let none = column(&tasks_csv(&build::summary(&run)).unwrap(), "successes_other_rule");
    assert_eq!(none, ["", "", "", ""], "records without notes tell nothing");
    build::note_any_step(&mut run, |record| record.stages_completed == 1 || record.trial == 23);
    let summary = build::summary(&run);
    let any = column(&tasks_csv(&summary).unwrap(), "successes_other_rule");
    assert_eq!(any, ["21", "16", "17", "23"]);
    assert_eq!(column(&summary_csv(&summary).unwrap(), "successes_other_rule"), ["77"]);
    assert_eq!(column(&summary_csv(&summary).unwrap(), "successes"), ["73"]);
    let text = terminal(&summary);
    assert!(text.contains("at any step") && text.contains("77/96"), "{text}");
    let mut own = run.clone();
    own.manifest.protocol.name += "-own";
    own.manifest.protocol.environment.set("success", "any-step");
    let text = terminal(&build::summary(&own));
    assert!(text.contains("at the last step") && text.contains("success any-step"), "{text}");
    let (first, record) = run.records.iter().next().unwrap();
    let mut record = record.clone();
    record.notes.clear();
    run.records.insert(first.clone(), record);
    assert_eq!(build::summary(&run).suites[0].other_rule, None, "one record does not tell");
}

#[test]
fn repeats_of_the_same_initial_states_are_named() {
    let mut run = build::simpler_as_published();
    for planned in &mut run.manifest.plan {
        planned.trials = 72;
    }
    let text = terminal(&build::summary(&run));
    assert!(text.contains("3 repeats of the same 24 initial states"), "{text}");
}

#[test]
fn a_run_that_says_nothing_about_the_paper_gets_the_reason() {
    assert_eq!(verdict(&long_as_published()), Verdict::Agrees);
    let withheld = |change: &dyn Fn(&mut Run)| {
        let mut run = long_as_published();
        change(&mut run);
        let reason = verdict(&run).reason().expect("there is no verdict").to_owned();
        let page = markdown(&build::summary(&run));
        assert!(page.contains(&format!("no verdict: {reason}")), "{page}");
        reason
    };
    let set = |key: &'static str, value: &'static str| {
        move |run: &mut Run| build::set_setting(run, key, value)
    };
    assert_eq!(withheld(&set("simulator", "fake")), "fake simulator");
    assert_eq!(withheld(&set("comparable", "no: stand-in assets")), "stand-in assets");
    assert_eq!(withheld(&set("comparable", "no")), "marked so by the simulator");
    assert_eq!(withheld(&|run| build::set_subject(run, "policy", "expert")), "policy expert");
    let cached = |run: &mut Run| {
        build::set_subject(run, "approximate", "prefix cache");
    };
    assert_eq!(withheld(&cached), "approximate prefix cache");
    assert_eq!(
        withheld(&|run| run.manifest.protocol.name = "libero-short".into()),
        "protocol libero-short is not the paper's"
    );
    assert_eq!(withheld(&|run| build::fail(run, "long", 0, 0)), "1 error");
    assert_eq!(withheld(&|run| build::forget(run, "long", 0, 0)), "1 missing");
    let fewer = |run: &mut Run| {
        run.manifest.plan.iter_mut().for_each(|task| task.trials = 45);
        run.records.retain(|key, _| key.trial < 45);
    };
    assert_eq!(withheld(&fewer), "450 of 500 episodes");
}

#[test]
fn some_tasks_of_a_suite_are_not_set_beside_the_papers_suite() {
    let mut run = build::libero_as_published();
    let some = |suite: &str, task: u16| suite != "goal" || [0, 4, 8].contains(&task);
    run.manifest.plan.retain(|planned| some(&planned.suite, planned.task));
    run.records.retain(|key, _| some(&key.suite, key.task));
    let summary = build::summary(&run);
    let goal = summary.suites.iter().find(|suite| suite.name == "goal").unwrap();
    assert_eq!(
        (goal.partial.as_deref(), &goal.paper),
        (Some("only tasks 0, 4 and 8 of 10"), &None)
    );
    assert_eq!(summary.average.as_ref().unwrap().paper, None);
    let text = terminal(&summary);
    let (_, of_goal) = text.split_once("LIBERO goal").unwrap();
    let (of_goal, rest) = of_goal.split_once("LIBERO long").unwrap();
    assert!(
        !of_goal.contains("94.2") && of_goal.contains("so the paper's number is left out"),
        "{of_goal}"
    );
    assert!(rest.contains("paper") && !rest.contains("96.1"), "{rest}");
}

#[test]
fn the_average_needs_all_of_the_papers_suites() {
    let mut run = build::libero_as_published();
    run.manifest.plan.retain(|task| task.suite != "goal");
    run.records.retain(|key, _| key.suite != "goal");
    let average = build::summary(&run).average.unwrap();
    assert_eq!(average.paper, None);
    assert_eq!(average.partial.as_deref(), Some("not the paper's 4 suites"));

    let mut run = build::libero_as_published();
    build::fail(&mut run, "goal", 2, 2);
    let average = build::summary(&run).average.unwrap();
    assert_eq!(average.paper.unwrap().verdict.reason(), Some("goal: 1 error"));
}

#[test]
fn a_caption_warns_of_what_cannot_be_compared() {
    for (key, value, words) in [
        ("comparable", "no: stand-in assets", "stand-in assets, not comparable"),
        ("simulator", "fake", "fake simulator, not comparable"),
    ] {
        let mut run = long_as_published();
        build::set_setting(&mut run, key, value);
        run.manifest.status = RunStatus::Interrupted;
        let summary = build::summary(&run);
        assert!(terminal(&summary).contains(&format!("! {words}\n")));
        assert!(markdown(&summary).contains(&format!("**{words}**")));
        assert!(markdown(&summary).contains("**the run was interrupted**"));
        assert_eq!(column(&summary_csv(&summary).unwrap(), "verdict"), ["no verdict"]);
    }
}

#[test]
fn a_run_without_episodes_has_tables_without_numbers() {
    for run in [build::libero(), build::run("toy", "toy", &[("a", 3, 5, vec!["b"])])] {
        let summary = build::summary(&run);
        for text in [terminal(&summary), markdown(&summary)] {
            assert!(!text.contains("NaN") && text.contains('–'), "{text}");
        }
        assert!(column(&summary_csv(&summary).unwrap(), "rate").iter().all(String::is_empty));
        assert!(column(&tasks_csv(&summary).unwrap(), "n").iter().all(|n| n == "0"));
    }
}

#[test]
fn errors_are_neither_successes_nor_failures() {
    let mut run = build::libero_long(1);
    build::task_counts(&mut run, "long", 0, 48);
    build::fail(&mut run, "long", 0, 0);
    build::fail(&mut run, "long", 0, 49);
    let csv = tasks_csv(&build::summary(&run)).unwrap();
    let cells = ["asked", "n", "errors", "successes", "missing"].map(|name| column(&csv, name));
    assert_eq!(cells.concat(), ["50", "48", "2", "47", "0"]);
}
