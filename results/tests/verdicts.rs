//! When a run says something about the paper's numbers, and what is said of its size.

use udvla_results::out::render::terminal;
use udvla_results::paper::Paper;
use udvla_results::run::manifest::{Manifest, PublishedRow};
use udvla_results::run::read::Run;
use udvla_results::tables::summary::Summary;
use udvla_results::tables::verdict::{Verdict, incomparable};
use udvla_sims::protocol::Protocol;
use udvla_sims::sequences::Sequences;

use crate::build;

/// Why the first suite of a run gets no verdict.
fn reason(run: &Run) -> Option<String> {
    let summary = Summary::new(run, &Paper::bundled());
    let paper = summary.suites[0].paper.as_ref().unwrap();
    paper.verdict.reason().map(str::to_owned)
}

/// The tables of a terminal without line breaks.
fn unwrapped(summary: &Summary) -> String {
    terminal(summary).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// CALVIN as published, in the harness's own protocol.
fn calvin() -> Run {
    let mut run = build::calvin_as_published();
    run.manifest.protocol = Protocol::calvin();
    run.manifest.protocol_fingerprint = run.manifest.protocol.fingerprint();
    build::set_setting(&mut run, "renderer", "EGL on NVIDIA A100");
    run
}

#[test]
fn the_papers_fingerprints_are_those_of_the_protocols_that_follow_it() {
    let paper = Paper::bundled();
    let fingerprints = |benchmark| paper.table(benchmark).unwrap().fingerprints.clone();
    let mut authors = Protocol::calvin();
    Sequences::udvla_2026_01().put_into(&mut authors);
    let calvin = [Protocol::calvin().fingerprint(), authors.fingerprint()];
    assert_eq!(fingerprints("calvin"), calvin);
    assert_eq!(fingerprints("libero"), [Protocol::libero().fingerprint()]);
    assert_eq!(fingerprints("simpler"), [Protocol::simpler().fingerprint()]);
}

#[test]
fn another_policy_is_compared_with_the_row_that_the_user_names_and_else_with_none() {
    let mut run = calvin();
    run.manifest.subject.policy = Some("mine".into());
    assert_eq!(reason(&run).as_deref(), Some("policy mine"));
    let paper = Paper::bundled();
    let table = paper.table("calvin").unwrap();
    let named = |run: &Run, row: PublishedRow| {
        let run = Run {
            manifest: Manifest { published: Some(row), ..run.manifest.clone() },
            ..run.clone()
        };
        let summary = Summary::new(&run, &paper);
        (summary.suites[0].paper.clone().unwrap(), unwrapped(&summary))
    };
    let own = table.published_row("UD-VLA").unwrap();
    let row = PublishedRow { method: "Mine".into(), source: "our blog".into(), ..own };
    let (comparison, text) = named(&run, row);
    assert_eq!(comparison.verdict, Verdict::Agrees);
    assert_eq!(comparison.published.source, "our blog");
    assert!(text.contains("compared with `Mine` as published (our blog, n = 500)"), "{text}");
    let (weaker, _) = named(&run, table.published_row("Robo-Flamingo").unwrap());
    assert_eq!(weaker.verdict, Verdict::Above);
}

#[test]
fn a_row_that_is_no_count_cannot_be_compared_with() {
    let paper = Paper::bundled();
    let table = paper.table("libero").unwrap();
    let row = |values: Vec<f64>| PublishedRow {
        method: "Mine".into(),
        benchmark: "libero".into(),
        values,
        average: 90.0,
        n: 500,
        source: "x".into(),
    };
    assert_eq!(table.check(&row(vec![90.0, 91.2, 88.8, 90.2])), Ok(()));
    let off = table.check(&row(vec![90.0, 91.25, 88.8, 90.3])).unwrap_err();
    assert_eq!(off, "91.25 is no count out of 500");
    let few = table.check(&row(vec![90.0])).unwrap_err();
    assert!(few.contains("differ, 1 and 4"), "{few}");
    assert!(table.published_row("nobody").unwrap_err().contains("has no row `nobody`"));
}

#[test]
fn a_reset_mode_that_leaves_the_protocols_name_ends_the_verdict() {
    assert_eq!(reason(&calvin()), None);
    let mut other = calvin();
    other.manifest.protocol.environment.set("reset_mode", "reference");
    other.manifest.protocol_fingerprint = other.manifest.protocol.fingerprint();
    let words = "protocol calvin-abcd-d with a different reset_mode";
    assert_eq!(reason(&other).as_deref(), Some(words));
}

#[test]
fn another_renderer_than_the_papers_ends_the_verdict() {
    for (renderer, begins) in [
        ("TinyRenderer of pybullet 3.2.7", "rendered by TinyRenderer; "),
        ("EGL on llvmpipe (LLVM 15.0.6, 256 bits)", "rendered by llvmpipe; "),
    ] {
        let mut run = calvin();
        build::set_setting(&mut run, "renderer", renderer);
        assert!(reason(&run).is_some_and(|reason| reason.starts_with(begins)), "{renderer}");
    }
}

#[test]
fn another_version_of_the_simulator_makes_a_run_incomparable() {
    let mut run = build::libero_as_published();
    assert_eq!(incomparable(&run.manifest), None);
    build::set_setting(&mut run, "mujoco", "3.2.3");
    assert_eq!(incomparable(&run.manifest), None);
    build::set_setting(&mut run, "mujoco", "3.6.0");
    assert_eq!(incomparable(&run.manifest).as_deref(), Some("mujoco 3.6.0, locked 3.2.3"));
    let page = terminal(&build::summary(&run));
    assert!(page.contains("! mujoco 3.6.0, locked 3.2.3, not comparable"), "{page}");
}

#[test]
fn verdicts_of_four_suites_are_corrected_and_say_so() {
    let mut run = build::libero_as_published();
    // 12 successes fewer: alone the interval of the difference does not contain 0.
    build::spread(&mut run, "object", 482);
    let summary = build::summary(&run);
    let paper = summary.suites[1].paper.as_ref().unwrap();
    assert!(paper.difference.unwrap().high < 0.0, "{paper:?}");
    assert_eq!(paper.verdict, Verdict::CannotTell, "{paper:?}");
    let page = unwrapped(&summary);
    assert!(page.contains("p = 0.065 by Holm over 4 suites"), "{page}");
    build::spread(&mut run, "object", 460);
    let summary = build::summary(&run);
    assert_eq!(summary.suites[1].paper.as_ref().unwrap().verdict, Verdict::Below);
}

#[test]
fn every_table_names_the_smallest_difference_that_it_could_show() {
    let long = build::libero_long_counts(&[48, 47, 48, 47, 48, 47, 48, 47, 48, 48]);
    let page = unwrapped(&build::summary(&long));
    let words = "smallest significant difference to another run of 500 episodes: 3.2 points below, 2.4 points above (5 %)";
    assert!(page.contains(words), "{page}");
    let four = unwrapped(&build::summary(&build::libero_as_published()));
    assert!(
        four.contains("another run of 2000 episodes: 1.3 points below, 1.1 points above"),
        "{four}"
    );
    let mut fake = build::libero_long_counts(&[30]);
    build::set_setting(&mut fake, "simulator", "fake");
    let page = terminal(&build::summary(&fake));
    assert!(page.contains("difference to another run of 50 episodes"), "{page}");
    let chains = terminal(&build::summary(&build::calvin_as_published()));
    assert!(
        chains.contains("smallest significant difference to another run of 500 sequences: 0.1"),
        "{chains}"
    );
}

#[test]
fn a_control_is_named_and_gets_no_verdict() {
    let mut run = build::libero_as_published();
    build::set_subject(&mut run, "instruction", "scrambled");
    let summary = build::summary(&run);
    for suite in &summary.suites {
        let verdict = &suite.paper.as_ref().unwrap().verdict;
        assert_eq!(verdict.reason(), Some("a control: instruction scrambled"));
    }
    let page = unwrapped(&summary);
    assert!(page.contains("! a control, instruction scrambled"), "{page}");
}
