//! Policies without weights: they test simulators, tables and the harness.
//!
//! To add one, write a file with its `KIND` and add that to [`POLICIES`].

mod expert;
mod idle;
mod kind;
mod random;
mod reader;

pub use kind::WeightlessKind;
use kind::{ActionSpace, CHUNK};
use udvla_sims::identity::{Setting, Subject};
use udvla_sims::protocol::Protocol;

use crate::policy::{Policy, PolicySpec};

/// All policies without weights.
pub const POLICIES: &[WeightlessKind] = &[expert::KIND, reader::KIND, random::KIND, idle::KIND];

/// Opens the policy `name` for a protocol; `None` for an unknown name.
///
/// # Errors
/// When the protocol's idle action or action signs are not of the form that
/// [`udvla_sims::protocol::Environment`] states.
pub fn open(name: &str, protocol: &Protocol) -> Result<Option<Box<dyn Policy>>, serde_json::Error> {
    let Some(kind) = POLICIES.iter().find(|kind| kind.name == name) else { return Ok(None) };
    let idle = protocol.environment.idle_action()?;
    let signs = protocol.environment.action_signs()?;
    let spec = PolicySpec {
        name: name.into(),
        cameras: vec![],
        chunk: CHUNK,
        action_width: idle.len(),
        subject: Subject { policy: Some(name.into()), chunk: Some(CHUNK), ..Subject::default() },
        setting: Setting::default(),
    };
    Ok(Some((kind.open)(spec, ActionSpace { idle, signs, protocol: protocol.clone() })))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use udvla_sims::episode::EpisodeKey;
    use udvla_sims::observation::Observation;

    use super::*;
    use crate::policy::{Answer, Decision, PolicyInput};

    /// LIBERO with these idle action and signs.
    fn protocol(idle: &[f32], signs: &[usize]) -> Protocol {
        let mut protocol = Protocol::libero();
        protocol.environment.set("idle_action", idle.to_vec());
        protocol.environment.set("action_signs", signs.to_vec());
        protocol
    }

    fn random(signs: &[usize]) -> Box<dyn Policy> {
        open("random", &protocol(&[0.0; 7], signs)).unwrap().unwrap()
    }

    fn row(trial: u16, call: u32) -> PolicyInput {
        PolicyInput {
            key: EpisodeKey { suite: "long".into(), task: 3, trial },
            call,
            seed: 0,
            seat: 0,
            observation: Observation {
                images: vec![],
                state: vec![],
                instruction: Arc::from("put the moka pot on the stove"),
                stage: 0,
            },
        }
    }

    #[test]
    fn a_random_row_does_not_depend_on_its_neighbors() {
        let mut policy = random(&[]);
        let together = policy.infer(&[row(0, 0), row(1, 0), row(0, 1)]).unwrap();
        assert_eq!(policy.infer(&[row(1, 0)]).unwrap()[0], together[1]);
        assert_ne!(together[0], together[1]);
        assert_ne!(together[0], together[2]);
    }

    #[test]
    fn random_actions_fill_the_range_and_stay_in_it() {
        let Answer::Chunk(Decision { actions: chunk, .. }) =
            &random(&[]).infer(&[row(0, 0)]).unwrap()[0]
        else {
            panic!("random answers with chunks");
        };
        assert_eq!((chunk.steps(), chunk.width), (10, 7));
        assert!(chunk.values.iter().all(|value| (-1.0..1.0).contains(value)));
        assert!(chunk.values.iter().any(|value| *value < -0.5));
        assert!(chunk.values.iter().any(|value| *value > 0.5));
    }

    #[test]
    fn random_signs_are_both_signs_and_nothing_else() {
        let Answer::Chunk(Decision { actions: chunk, .. }) =
            &random(&[6]).infer(&[row(0, 0)]).unwrap()[0]
        else {
            panic!("random answers with chunks");
        };
        let signs: Vec<f32> = chunk.values.chunks_exact(7).map(|action| action[6]).collect();
        assert!(signs.contains(&1.0) && signs.contains(&-1.0), "{signs:?}");
        assert!(signs.iter().all(|sign| sign.abs() == 1.0), "{signs:?}");
    }

    #[test]
    fn idle_repeats_the_do_nothing_action() {
        let mut idle = open("idle", &protocol(&[0.0, 0.0, -1.0], &[])).unwrap().unwrap();
        let Answer::Chunk(Decision { actions: chunk, .. }) = &idle.infer(&[row(0, 0)]).unwrap()[0]
        else {
            panic!("idle answers with chunks");
        };
        assert_eq!(chunk.values, [0.0, 0.0, -1.0].repeat(10));
    }

    #[test]
    fn reader_acts_only_on_the_words_of_the_episodes_own_instruction() {
        let protocol = Protocol::libero();
        let mut reader = open("reader", &protocol).unwrap().unwrap();
        let mut read = |text: &str| {
            let mut input = row(0, 0);
            input.observation.instruction = Arc::from(text);
            matches!(reader.infer(&[input]).unwrap()[0], Answer::Script { .. })
        };
        let tasks = &protocol.suite("long").unwrap().tasks;
        assert!(read(&tasks[3]));
        let reversed: Vec<&str> = tasks[3].split(' ').rev().collect();
        for other in [&tasks[2], "", &reversed.join(" ")] {
            assert!(!read(other), "{other}");
        }
    }
}
