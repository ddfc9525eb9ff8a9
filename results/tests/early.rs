//! Stopping early: what is counted, when it stops, and what is said of it afterwards.

use udvla_results::compare::early::{Watch, WatchError};
use udvla_results::compare::gate::{GateError, against_paper, whole};
use udvla_results::out::render::markdown;
use udvla_results::run::manifest::RunStatus;
use udvla_results::run::read::Run;

use crate::build;

/// A run of one suite in which every episode ends alike.
fn always(successes: u32) -> Run {
    let mut run = build::libero_long(10);
    build::spread(&mut run, "long", successes);
    run
}

/// Shows a run's records to a watch, in the order of their names, until it stops.
fn shown(run: &Run, mut watch: Watch) -> (usize, Watch) {
    let mut seen = 0;
    for record in run.records.values() {
        if watch.stop().is_none() {
            watch.observe(record);
            seen += 1;
        }
    }
    (seen, watch)
}

#[test]
fn a_policy_that_never_solves_anything_is_soon_below_the_paper() {
    let run = always(0);
    let watch = Watch::paper(&run.manifest, &build::paper()).unwrap();
    let mut ordered = watch.clone();
    let stop = watch.order().iter().find_map(|key| {
        ordered.observe(&run.records[key]);
        ordered.stop().cloned()
    });
    let stop = stop.expect("it stops");
    assert_eq!((stop.direction.as_str(), stop.against.as_str()), ("below", "the paper's Table 3"));
    assert!(stop.episodes < 10 && stop.evidence >= stop.threshold, "{stop:?}");
    // In another order it waits for the episodes that come first, and counts the same ones.
    let (seen, watch) = shown(&run, watch);
    assert!(seen >= stop.episodes as usize);
    assert_eq!(watch.stop(), Some(&stop));
}

#[test]
fn a_named_row_takes_the_place_of_the_papers_own() {
    let mut run = build::calvin_as_published();
    let paper = build::paper();
    let table = paper.table("calvin").unwrap();
    run.manifest.published = Some(table.published_row("Robo-Flamingo").unwrap());
    let (_, watch) = shown(&run, Watch::paper(&run.manifest, &paper).unwrap());
    let stop = watch.stop().expect("it is far above that row");
    assert_eq!(stop.direction, "above");
    assert!(stop.against.starts_with("`Robo-Flamingo` as published"), "{}", stop.against);
    let gate = against_paper(&run, &paper, 0.02).unwrap();
    assert!(gate.against.starts_with("`Robo-Flamingo` as published"), "{}", gate.against);
    assert_eq!(gate.decision.name(), "pass");
}

#[test]
fn the_papers_own_counts_never_stop_against_the_paper() {
    for run in
        [build::libero_as_published(), build::calvin_as_published(), build::simpler_as_published()]
    {
        let watch = Watch::paper(&run.manifest, &build::paper()).unwrap();
        assert_eq!(shown(&run, watch).1.stop(), None);
    }
}

#[test]
fn the_order_is_drawn_anew_for_every_run_and_kept_by_a_run() {
    let mut run = always(476);
    let order = |run: &Run| Watch::paper(&run.manifest, &build::paper()).unwrap().order().to_vec();
    let first = order(&run);
    assert_eq!(first, order(&run));
    run.manifest.id = Some("c0ffee00000000000000000000000002".into());
    let mut second = order(&run);
    assert_ne!(first, second);
    let mut sorted = first;
    sorted.sort();
    second.sort();
    assert_eq!(sorted, second);
}

#[test]
fn equal_runs_never_stop_and_a_worse_one_does() {
    let baseline = always(476);
    let watch = Watch::baseline(&baseline.manifest, &baseline).unwrap();
    assert_eq!(shown(&baseline, watch.clone()).1.stop(), None);
    let (_, watch) = shown(&always(380), watch);
    assert_eq!(watch.stop().unwrap().direction, "below");
}

#[test]
fn an_episode_that_could_not_be_run_holds_up_the_count() {
    let mut run = always(0);
    let watch = Watch::paper(&run.manifest, &build::paper()).unwrap();
    let first = watch.order()[0].clone();
    build::fail(&mut run, "long", first.task, first.trial);
    assert_eq!(shown(&run, watch).1.stop(), None);
}

#[test]
fn a_reference_must_have_the_protocol_and_every_episode() {
    let run = always(476);
    let mut other = run.clone();
    other.manifest.protocol.environment.set("control_hz", 10);
    other.manifest.protocol_fingerprint = other.manifest.protocol.fingerprint();
    let refused = Watch::baseline(&run.manifest, &other).unwrap_err();
    assert!(matches!(refused, WatchError::Protocol(fields) if fields.len() == 1));
    let mut fewer = run.clone();
    build::forget(&mut fewer, "long", 3, 7);
    let text = Watch::baseline(&run.manifest, &fewer).unwrap_err().to_string();
    assert_eq!(text, "the baseline lacks 1 of 500 episodes, long-task03-trial007 among them");
    let mut expert = run.clone();
    build::set_subject(&mut expert, "policy", "expert");
    let text = Watch::paper(&expert.manifest, &build::paper()).unwrap_err().to_string();
    assert!(text.contains("policy expert"), "{text}");
    let mut ordered = run;
    ordered.manifest.protocol.environment.set("reset_mode", "reference");
    let refused = Watch::paper(&ordered.manifest, &build::paper());
    assert!(matches!(refused, Err(WatchError::Order(_))));
}

#[test]
fn a_run_that_stopped_early_says_so_and_gets_neither_verdict_nor_gate() {
    let mut run = always(0);
    let watch = Watch::paper(&run.manifest, &build::paper()).unwrap();
    let stop = shown(&run, watch).1.stop().unwrap().clone();
    run.manifest.status = RunStatus::StoppedEarly;
    run.manifest.stopped_early = Some(stop.clone());
    let summary = build::summary(&run);
    let words =
        format!("stopped early, below the paper's Table 3 after {} episodes", stop.episodes);
    assert_eq!(summary.suites[0].paper.as_ref().unwrap().verdict.reason(), Some(words.as_str()));
    assert!(markdown(&summary).contains(&words), "{}", markdown(&summary));
    let error = whole(&run, "the run").unwrap_err();
    assert!(matches!(&error, GateError::Partial { why, .. } if why.contains("stopped early")));
}
