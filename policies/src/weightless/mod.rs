//! Policies without weights: they test simulators, tables and the harness.
//!
//! To add one, write a file with its `KIND` and add that to [`POLICIES`].

mod expert;
mod idle;
mod kind;
mod random;

pub use kind::WeightlessKind;
use kind::{ActionSpace, CHUNK};
use udvla_sims::identity::{Setting, Subject};

use crate::policy::{Policy, PolicySpec};

/// All policies without weights.
pub const POLICIES: &[WeightlessKind] = &[expert::KIND, random::KIND, idle::KIND];

/// Opens the policy `name`; `None` for an unknown name.
///
/// `idle` is the protocol's do-nothing action, whose length is the action width. `signs` are the
/// indices of numbers that the simulator accepts as -1 or 1 only.
pub fn open(name: &str, idle: Vec<f32>, signs: Vec<usize>) -> Option<Box<dyn Policy>> {
    let kind = POLICIES.iter().find(|kind| kind.name == name)?;
    let spec = PolicySpec {
        name: name.into(),
        cameras: vec![],
        chunk: CHUNK,
        action_width: idle.len(),
        subject: Subject { policy: Some(name.into()), chunk: Some(CHUNK), ..Subject::default() },
        setting: Setting::default(),
    };
    Some((kind.open)(spec, ActionSpace { idle, signs }))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use udvla_sims::episode::EpisodeKey;
    use udvla_sims::observation::Observation;

    use super::*;
    use crate::policy::{Answer, Decision, PolicyInput};

    fn random(signs: Vec<usize>) -> Box<dyn Policy> {
        open("random", vec![0.0; 7], signs).unwrap()
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
        let mut policy = random(vec![]);
        let together = policy.infer(&[row(0, 0), row(1, 0), row(0, 1)]).unwrap();
        assert_eq!(policy.infer(&[row(1, 0)]).unwrap()[0], together[1]);
        assert_ne!(together[0], together[1]);
        assert_ne!(together[0], together[2]);
    }

    #[test]
    fn random_actions_fill_the_range_and_stay_in_it() {
        let Answer::Chunk(Decision { actions: chunk, .. }) =
            &random(vec![]).infer(&[row(0, 0)]).unwrap()[0]
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
            &random(vec![6]).infer(&[row(0, 0)]).unwrap()[0]
        else {
            panic!("random answers with chunks");
        };
        let signs: Vec<f32> = chunk.values.chunks_exact(7).map(|action| action[6]).collect();
        assert!(signs.contains(&1.0) && signs.contains(&-1.0), "{signs:?}");
        assert!(signs.iter().all(|sign| sign.abs() == 1.0), "{signs:?}");
    }

    #[test]
    fn idle_repeats_the_do_nothing_action() {
        let mut idle = open("idle", vec![0.0, 0.0, -1.0], vec![]).unwrap();
        let Answer::Chunk(Decision { actions: chunk, .. }) = &idle.infer(&[row(0, 0)]).unwrap()[0]
        else {
            panic!("idle answers with chunks");
        };
        assert_eq!(chunk.values, [0.0, 0.0, -1.0].repeat(10));
    }
}
