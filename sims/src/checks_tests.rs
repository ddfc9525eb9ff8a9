//! Replies that can be, and those that cannot.

use super::*;
use crate::observation::Camera;
use crate::protocol::Protocol;
use crate::wire::{VideoRequest, to_bytes};

const DIGEST: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn spec() -> SimSpec {
    SimSpec {
        cameras: vec![Camera { name: "static".into(), height: 1, width: 2 }],
        state: vec!["x".into()],
        action: vec!["x".into(), "y".into()],
        control_hz: 20.0,
    }
}

fn config(protocol: Protocol) -> OpenConfig {
    OpenConfig {
        protocol,
        suites: vec![],
        images: true,
        last_look: false,
        video: false,
        scratch: String::new(),
        options: Default::default(),
    }
}

/// Checks of an episode of LIBERO (520 steps, 1 stage) or of CALVIN (360 steps, 5 stages).
fn checks(suite: &str) -> Checks {
    let protocol = if suite == "abcd-d" { Protocol::calvin() } else { Protocol::libero() };
    let key = EpisodeKey { suite: suite.into(), task: 0, trial: 0 };
    Checks::new(&config(protocol), &spec(), &key).unwrap()
}

/// As [`checks`], after a reset and `steps` steps of zeros in stage 0; 10 more are asked for.
fn playing(suite: &str, steps: u32) -> Checks {
    let mut checks = checks(suite);
    reset(&mut checks).unwrap();
    if steps > 0 {
        checks.asked(&Request::Script { steps: u16::try_from(steps).unwrap() }, &[]);
        observed(&mut checks, 0, steps).unwrap();
    }
    checks.asked(&Request::Play { width: 2 }, &to_bytes(&[0.0; 20]));
    checks
}

fn reset(checks: &mut Checks) -> Result<(), SimError> {
    let key = EpisodeKey { suite: "long".into(), task: 0, trial: 0 };
    checks.asked(&Request::Reset { key, video: None }, &[]);
    observed(checks, 0, 0)
}

fn observed(checks: &mut Checks, stage: u16, steps: u32) -> Result<(), SimError> {
    observed_with(checks, stage, steps, vec![(1, 2)], 0.5)
}

fn observed_with(
    checks: &mut Checks,
    stage: u16,
    steps: u32,
    images: Vec<(u32, u32)>,
    state: f32,
) -> Result<(), SimError> {
    let body = [vec![9; 6 * images.len()], to_bytes(&[state])].concat();
    let reply = Reply::Observed { stage, steps, instruction: "open".into(), images };
    checks.observed(&reply, &body).map(drop)
}

fn end(stages_completed: u16, steps: u32, truncated: bool) -> Reply {
    Reply::Finished {
        stages_completed,
        steps,
        truncated,
        final_state_sha256: DIGEST.into(),
        video: false,
        notes: Notes::new(),
        images: vec![],
    }
}

/// The end of an episode whose actions were all zeros.
fn finished(checks: &mut Checks, reply: &Reply) -> Result<End, SimError> {
    let Reply::Finished { steps, .. } = reply else { unreachable!() };
    checks.finished(reply, &to_bytes(&vec![0.0; 2 * *steps as usize]))
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, SimError>, words: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), "wire");
    assert!(error.to_string().contains(words), "`{words}` is not in: {error}");
}

#[test]
fn what_a_sound_worker_reports_passes() {
    for steps in [1, 5, 10] {
        observed(&mut playing("long", 20), 0, 20 + steps).unwrap();
        finished(&mut playing("long", 20), &end(1, 20 + steps, false)).unwrap();
    }
    finished(&mut playing("long", 510), &end(0, 520, true)).unwrap();
    let mut chain = playing("abcd-d", 350);
    observed(&mut chain, 1, 360).unwrap();
    chain.asked(&Request::Script { steps: 360 }, &[]);
    finished(&mut chain, &end(1, 720, true)).unwrap();
}

#[test]
fn the_last_stage_may_become_incomplete_again_and_no_other_one() {
    let mut checks = playing("long", 0);
    for (steps, stage) in [(10, 1), (20, 0)] {
        observed(&mut checks, stage, steps).unwrap();
        checks.asked(&Request::Script { steps: 10 }, &[]);
    }
    let mut chain = playing("abcd-d", 0);
    observed(&mut chain, 3, 10).unwrap();
    chain.asked(&Request::Script { steps: 10 }, &[]);
    refused(observed(&mut chain, 2, 20), "with 2 stages completed, expected are 3 to 5");
}

#[test]
fn steps_and_stages_out_of_range_are_refused() {
    refused(observed(&mut playing("long", 20), 0, 20), "after 20 control steps");
    refused(observed(&mut playing("long", 20), 0, 19), "expected are 21 to 30");
    refused(observed(&mut playing("long", 20), 0, 31), "expected are 21 to 30");
    refused(observed(&mut playing("long", 515), 0, 521), "expected are 516 to 520");
    refused(observed(&mut playing("abcd-d", 355), 0, 361), "expected are 356 to 360");
    refused(observed(&mut playing("long", 20), 2, 30), "with 2 stages completed");
    refused(finished(&mut playing("long", 20), &end(99, 30, false)), "with 99 stages");
    let mut checks = checks("long");
    refused(observed(&mut checks, 1, 0), "with 1 stages completed, expected are 0");
}

#[test]
fn an_end_must_have_a_reason() {
    refused(finished(&mut playing("long", 20), &end(0, 30, false)), "ended before its step limit");
    refused(finished(&mut playing("long", 20), &end(1, 30, true)), "ended at its step limit");
    refused(finished(&mut playing("long", 20), &end(0, 30, true)), "520 steps was reached in 30");
    let mut checks = checks("long");
    reset(&mut checks).unwrap();
    refused(finished(&mut checks, &end(1, 0, false)), "over before its first step");
}

#[test]
fn an_observation_has_the_images_that_were_announced_and_finite_numbers() {
    let observe = |images, state| observed_with(&mut checks("long"), 0, 0, images, state);
    refused(observe(vec![], 0.0), "with 0 images of sizes none, expected are 1 x 2");
    refused(observe(vec![(2, 1)], 0.0), "sizes 2 x 1");
    refused(observe(vec![(u32::MAX, u32::MAX)], 0.0), "sizes 4294967295 x");
    for state in [f32::NAN, f32::INFINITY] {
        refused(observe(vec![(1, 2)], state), "with a state that contains");
    }
}

#[test]
fn executed_actions_are_those_that_were_sent() {
    let mut checks = playing("long", 2);
    let executed =
        |checks: &mut Checks, values: &[f32]| checks.finished(&end(1, 3, false), &to_bytes(values));
    refused(executed(&mut checks, &[0.0, 0.0, 0.0, 0.0, 0.0, 0.5]), "step 3 executed another");
    let mut checks = playing("long", 2);
    refused(executed(&mut checks, &[0.0, f32::NAN, 0.0, 0.0, 0.0, 0.0]), "NaN in step 1");
    // The script's own actions are known to the worker alone.
    let mut checks = playing("long", 2);
    executed(&mut checks, &[0.3, 0.4, 0.5, 0.6, 0.0, 0.0]).unwrap();
}

#[test]
fn digest_notes_and_video_of_an_end_are_checked() {
    let change = |change: fn(&mut Reply)| {
        let mut reply = end(1, 30, false);
        change(&mut reply);
        finished(&mut playing("long", 20), &reply)
    };
    let wrong = change(|reply| {
        if let Reply::Finished { final_state_sha256, .. } = reply {
            *final_state_sha256 = DIGEST.to_uppercase();
        }
    });
    refused(wrong, "no SHA-256");
    let wrong = change(|reply| {
        if let Reply::Finished { notes, .. } = reply {
            notes.insert("words".into(), "text".into());
        }
    });
    refused(wrong, "a note `words`");
    let wrong = change(|reply| {
        if let Reply::Finished { video, .. } = reply {
            *video = true;
        }
    });
    refused(wrong, "video that was not asked for");
    let key = EpisodeKey { suite: "long".into(), task: 0, trial: 0 };
    let video = VideoRequest { path: "x.mp4".into(), every: 2, failures_only: false };
    let mut checks = checks("long");
    checks.asked(&Request::Reset { key, video: Some(video) }, &[]);
    observed(&mut checks, 0, 0).unwrap();
    checks.asked(&Request::Script { steps: 9 }, &[]);
    let mut reply = end(1, 9, false);
    if let Reply::Finished { video, .. } = &mut reply {
        *video = true;
    }
    finished(&mut checks, &reply).unwrap();
}

#[test]
fn a_simulator_that_cannot_be_is_refused() {
    check_spec(&spec()).unwrap();
    let change = |change: fn(&mut SimSpec)| {
        let mut spec = spec();
        change(&mut spec);
        check_spec(&spec)
    };
    refused(change(|spec| spec.action.clear()), "an action has no numbers");
    refused(change(|spec| spec.cameras[0].width = 0), "`static` has 1 x 0 pixels");
    refused(change(|spec| spec.cameras[0].width = u32::MAX), "4294967295 pixels");
    refused(change(|spec| spec.control_hz = 0.0), "controlled 0 times");
}

/// What the expert wanted and what was executed in the 2 steps that [`demonstrated`] asks for.
const WANTED: [f32; 4] = [0.25, -1.0, 0.75, 1.0];
const DONE: [f32; 4] = [0.75, -1.0, 1.0, 1.0];

/// The reply to 2 steps with offsets, `done` executed, with an end if it is given.
fn demonstrated(done: [f32; 4], state: f32, end: Option<DemonstrationEnd>) -> Result<(), SimError> {
    let mut protocol = Protocol::libero();
    protocol.environment.set("action_signs", vec![1]);
    let key = EpisodeKey { suite: "long".into(), task: 0, trial: 0 };
    let mut checks = Checks::new(&config(protocol), &spec(), &key).unwrap();
    reset(&mut checks)?;
    let offsets = to_bytes(&[0.5, 0.5, 0.5, -0.5]);
    checks.asked(&Request::Demonstrate { steps: 2, width: 2 }, &offsets);
    let numbers = [WANTED.as_slice(), &done, &[state], &[1.0, 2.0, 3.0]].concat();
    let body = [to_bytes(&numbers), vec![9; 6]].concat();
    let stage = u16::from(end.as_ref().is_some_and(|end| !end.truncated));
    let images = vec![(1, 2)];
    let reply = Reply::Demonstrated {
        stage,
        steps: 2,
        instruction: "open".into(),
        end: end.clone(),
        target: true,
        images,
    };
    let (parsed, found) = checks.demonstrated(&reply, &body)?;
    assert_eq!((parsed.labels, parsed.executed, found), (WANTED.to_vec(), done.to_vec(), end));
    Ok(())
}

#[test]
fn a_demonstration_executes_what_the_expert_wants_plus_the_offset_and_never_changes_a_sign() {
    let ended = |truncated, digest: &str| {
        Some(DemonstrationEnd { truncated, final_state_sha256: digest.into() })
    };
    demonstrated(DONE, 0.5, None).unwrap();
    demonstrated(DONE, 0.5, ended(false, DIGEST)).unwrap();
    refused(demonstrated([0.75, -1.0, 0.75, 1.0], 0.5, None), "step 2 executed another action");
    refused(demonstrated([0.75, -0.5, 1.0, 1.0], 0.5, None), "step 1 executed another action");
    refused(demonstrated(DONE, f32::NAN, None), "with a state that contains NaN");
    refused(demonstrated(DONE, 0.5, ended(true, DIGEST)), "520 steps was reached in 2");
    refused(demonstrated(DONE, 0.5, ended(false, "abc")), "no SHA-256");
}

#[test]
fn without_steps_a_demonstration_is_the_current_observation() {
    let mut checks = playing("long", 20);
    observed(&mut checks, 0, 30).unwrap();
    checks.asked(&Request::Demonstrate { steps: 0, width: 2 }, &[]);
    let reply = |steps| Reply::Demonstrated {
        stage: 0,
        steps,
        instruction: "open".into(),
        end: None,
        target: false,
        images: vec![(1, 2)],
    };
    let body = [to_bytes(&[0.5]), vec![9; 6]].concat();
    let (parsed, _) = checks.demonstrated(&reply(30), &body).unwrap();
    assert_eq!((parsed.state, parsed.target, parsed.images.len()), (vec![0.5], None, 1));
    refused(checks.demonstrated(&reply(31), &body).map(drop), "after 31 control steps");
}
