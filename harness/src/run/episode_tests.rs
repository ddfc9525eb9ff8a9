//! Episodes on a scripted simulator.

use std::collections::VecDeque;

use udvla_policies::Decision;
use udvla_sims::episode::{EpisodeKey, Notes};
use udvla_sims::observation::{ActionChunk, Camera};
use udvla_sims::protocol::Protocol;
use udvla_sims::wire::{Cause, OpenConfig};

use super::*;
use crate::plan::{Controls, InstructionControl, ObservationControl};

/// Gives the replies it was made with and keeps the requests.
struct Script {
    replies: VecDeque<Result<(Reply, Vec<u8>), SimError>>,
    requests: Vec<(Request, Vec<u8>)>,
}

impl Script {
    fn new(replies: Vec<Result<(Reply, Vec<u8>), SimError>>) -> Self {
        Self { replies: replies.into(), requests: vec![] }
    }
}

impl Simulator for Script {
    fn ask(&mut self, request: &Request, body: &[u8]) -> Result<(Reply, Vec<u8>), SimError> {
        self.requests.push((request.clone(), body.to_vec()));
        self.replies.pop_front().expect("a reply for every request")
    }
}

fn observed(steps: u32) -> Result<(Reply, Vec<u8>), SimError> {
    let instruction = "open the drawer".into();
    let reply = Reply::Observed { stage: 0, steps, instruction, images: vec![(1, 2)] };
    Ok((reply, [vec![9; 6], wire::to_bytes(&[steps as f32])].concat()))
}

fn finished(steps: u32) -> Result<(Reply, Vec<u8>), SimError> {
    let reply = Reply::Finished {
        stages_completed: 1,
        steps,
        truncated: false,
        final_state_sha256: "f00d".repeat(16),
        video: false,
        notes: Notes::new(),
        images: vec![],
    };
    // The actions of the test below, and those of the script.
    let sent = [1.0, 2.0, 3.0, 4.0].into_iter().chain(std::iter::repeat(0.5));
    let actions: Vec<f32> = sent.take(2 * steps as usize).collect();
    Ok((reply, wire::to_bytes(&actions)))
}

fn spec() -> SimSpec {
    SimSpec {
        cameras: vec![Camera { name: "static".into(), height: 1, width: 2 }],
        state: vec!["steps".into()],
        action: vec!["x".into(), "gripper".into()],
        control_hz: 20.0,
    }
}

fn key() -> EpisodeKey {
    EpisodeKey { suite: "long".into(), task: 3, trial: 1 }
}

/// Plays an episode on `script` with a policy that gives `answers`.
fn play(
    script: &mut Script,
    answers: Vec<Answer>,
    inputs: &mut Vec<PolicyInput>,
) -> Result<Played, Interruption> {
    play_with(Controls::default(), script, answers, inputs)
}

/// The same with controls.
fn play_with(
    controls: Controls,
    script: &mut Script,
    answers: Vec<Answer>,
    inputs: &mut Vec<PolicyInput>,
) -> Result<Played, Interruption> {
    let (protocol, key, spec) = (Protocol::libero(), key(), spec());
    let identity = EpisodeIdentity::new(&protocol, &key, 7).unwrap();
    let mut answers = answers.into_iter();
    let config = OpenConfig {
        protocol: protocol.clone(),
        suites: vec![],
        images: true,
        last_look: false,
        video: false,
        scratch: String::new(),
        options: Default::default(),
    };
    let checks = Checks::new(&config, &spec, &key).unwrap();
    let controls = EpisodeControls::new(&controls, &protocol, &key, 7);
    Episode::new(identity, &spec, checks).with_controls(controls).play(script, &mut |input| {
        inputs.push(input);
        answers.next().ok_or(Interruption::Stopped)
    })
}

fn chunk(values: &[f32]) -> Answer {
    Answer::Chunk(Decision::from(ActionChunk { width: 2, values: values.to_vec() }))
}

#[test]
fn an_episode_alternates_between_policy_and_simulator_until_it_is_finished() {
    let mut script = Script::new(vec![observed(0), observed(2), finished(5)]);
    let mut inputs = vec![];
    let answers = vec![chunk(&[1.0, 2.0, 3.0, 4.0]), Answer::Script { steps: 3 }];
    let played = play(&mut script, answers, &mut inputs).unwrap();
    let asked: Vec<_> =
        inputs.iter().map(|input| (input.call, input.seed, input.observation.state[0])).collect();
    assert_eq!(asked, [(0, 7, 0.0), (1, 7, 2.0)]);
    assert_eq!(
        script.requests,
        [
            (Request::Reset { key: key(), video: None }, vec![]),
            (Request::Play { width: 2 }, wire::to_bytes(&[1.0, 2.0, 3.0, 4.0])),
            (Request::Script { steps: 3 }, vec![]),
        ]
    );
    let record = &played.record;
    assert_eq!((record.key(), record.success(), record.stages), (key(), Some(true), 1));
    assert_eq!((record.steps, record.calls, record.seed), (5, 2, 7));
    assert_eq!(record.video, None);
    let first = observed(0).unwrap().1;
    assert_eq!(
        record.first_observation_sha256,
        Some(body::observation_sha256(&first, "open the drawer"))
    );
    assert_eq!((played.actions.len(), played.width), (10, 2));
}

#[test]
fn a_failure_in_any_state_ends_the_episode_without_a_record() {
    let broken = || {
        let (message, traceback) = ("broken".into(), String::new());
        Err(SimError::Raised { cause: Cause::Simulator, message, traceback })
    };
    for replies in [vec![broken()], vec![observed(0), broken()]] {
        let ended = play(&mut Script::new(replies), vec![chunk(&[0.0; 2])], &mut vec![]);
        assert!(matches!(ended, Err(Interruption::Simulator(SimError::Raised { .. }))));
    }
    let ended = play(&mut Script::new(vec![observed(0)]), vec![], &mut vec![]);
    assert!(matches!(ended, Err(Interruption::Stopped)));
}

#[test]
fn a_reply_out_of_turn_or_of_the_wrong_length_is_a_wire_error() {
    let ready = || {
        Ok((
            Reply::Ready { wire: wire::WIRE_VERSION, spec: spec(), setting: Default::default() },
            vec![],
        ))
    };
    let short = observed(0).map(|(reply, body)| (reply, body[1..].to_vec()));
    let cut = finished(3).map(|(reply, body)| (reply, body[4..].to_vec()));
    let at_once = finished(0);
    for replies in [vec![ready()], vec![short], vec![observed(0), cut], vec![at_once]] {
        let answers = vec![chunk(&[1.0, 2.0, 3.0, 4.0, 0.5, 0.5])];
        let ended = play(&mut Script::new(replies), answers, &mut vec![]);
        assert!(matches!(ended, Err(Interruption::Simulator(SimError::Wire(_)))), "{ended:?}");
    }
}

#[test]
fn a_frozen_observation_is_the_first_one_at_every_call() {
    let controls = Controls {
        instruction: Some(InstructionControl::Task(2)),
        observation: Some(ObservationControl::Frozen),
    };
    let mut script = Script::new(vec![observed(0), observed(2), finished(5)]);
    let mut inputs = vec![];
    let answers = vec![chunk(&[1.0, 2.0, 3.0, 4.0]), Answer::Script { steps: 3 }];
    let played = play_with(controls, &mut script, answers, &mut inputs).unwrap();
    let protocol = Protocol::libero();
    let text = &protocol.suite("long").unwrap().tasks[2];
    for input in &inputs {
        assert_eq!(input.observation.state, [0.0]);
        assert_eq!(&*input.observation.instruction, text);
    }
    assert_eq!(inputs.len(), 2);
    assert_eq!(played.timeline.instructions.len(), 1);
    assert_eq!(&played.timeline.instructions[0].text, text);
}

#[test]
fn another_trial_is_looked_at_before_the_episode_begins() {
    let observation = Some(ObservationControl::OtherTrial);
    let controls = Controls { observation, ..Controls::default() };
    // The next trial's start is told apart by its state.
    let elsewhere =
        observed(0).map(|(reply, _)| (reply, [vec![9; 6], wire::to_bytes(&[0.75])].concat()));
    let mut script = Script::new(vec![elsewhere, observed(0), observed(2), finished(5)]);
    let mut inputs = vec![];
    let answers = vec![chunk(&[1.0, 2.0, 3.0, 4.0]), Answer::Script { steps: 3 }];
    let played = play_with(controls, &mut script, answers, &mut inputs).unwrap();
    let resets = script.requests.iter().filter_map(|(request, _)| match request {
        Request::Reset { key, .. } => Some(key.trial),
        _ => None,
    });
    assert_eq!(resets.collect::<Vec<_>>(), [2, 1]);
    assert!(inputs.iter().all(|input| input.observation.state == [0.75]), "{inputs:?}");
    // The record still identifies the episode's own start.
    let first = observed(0).unwrap().1;
    let own = body::observation_sha256(&first, "open the drawer");
    assert_eq!(played.record.first_observation_sha256, Some(own));
}
