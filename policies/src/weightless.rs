//! Policies without weights: they prove a simulator, a table and the harness.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use udvla_sims::observation::ActionChunk;

use crate::policy::{Answer, Policy, PolicyError, PolicyInput, PolicySpec};

/// Control steps per call of the weightless policies: as many as the released model executes.
const CHUNK: u16 = 10;

fn spec(name: &str, action_width: usize) -> PolicySpec {
    PolicySpec {
        name: name.into(),
        cameras: vec![],
        chunk: CHUNK,
        action_width,
        subject: BTreeMap::from([
            ("policy".into(), name.into()),
            ("chunk".into(), CHUNK.to_string()),
        ]),
        setting: BTreeMap::new(),
    }
}

/// Sends the protocol's do-nothing action. It must score 0: a success is a defect of the
/// benchmark.
#[derive(Debug)]
pub struct Idle {
    spec: PolicySpec,
    action: Vec<f32>,
}

impl Idle {
    /// `action` is the protocol's do-nothing action.
    pub fn new(action: Vec<f32>) -> Self {
        Self { spec: spec("idle", action.len()), action }
    }
}

impl Policy for Idle {
    fn spec(&self) -> &PolicySpec {
        &self.spec
    }

    fn infer(&mut self, batch: &[PolicyInput]) -> Result<Vec<Answer>, PolicyError> {
        let chunk = ActionChunk {
            width: self.action.len(),
            values: self.action.repeat(usize::from(CHUNK)),
        };
        Ok(vec![Answer::Chunk(chunk.into()); batch.len()])
    }
}

/// Draws every number of every action uniformly from [-1, 1), keyed by (seed, episode, call).
#[derive(Debug)]
pub struct Random {
    spec: PolicySpec,
    signs: Vec<usize>,
}

impl Random {
    /// `action_width` numbers per control step; those at `signs` are -1 or 1, for simulators
    /// that take nothing else there.
    pub fn new(action_width: usize, signs: Vec<usize>) -> Self {
        Self { spec: spec("random", action_width), signs }
    }
}

impl Policy for Random {
    fn spec(&self) -> &PolicySpec {
        &self.spec
    }

    fn infer(&mut self, batch: &[PolicyInput]) -> Result<Vec<Answer>, PolicyError> {
        let width = self.spec.action_width;
        let answer = |row: &PolicyInput| {
            let number = |index: usize| match draw(row, index) {
                drawn if self.signs.contains(&(index % width)) => 1.0_f32.copysign(drawn),
                drawn => drawn,
            };
            let values = (0..usize::from(CHUNK) * width).map(number).collect();
            Answer::Chunk(ActionChunk { width, values }.into())
        };
        Ok(batch.iter().map(answer).collect())
    }
}

/// Number `index` of a row's noise: 24 bits of a SHA-256 over everything that names it.
fn draw(row: &PolicyInput, index: usize) -> f32 {
    let name = format!("{}/{}/{}/{index}", row.seed, row.key, row.call);
    let digest = Sha256::digest(name.as_bytes());
    let bits = u32::from_le_bytes([digest[0], digest[1], digest[2], 0]);
    bits as f32 / (1 << 23) as f32 - 1.0
}

/// Lets the worker's script play: the simulator's own privileged solution.
#[derive(Debug)]
pub struct Expert {
    spec: PolicySpec,
}

impl Expert {
    /// `action_width` numbers per control step.
    pub fn new(action_width: usize) -> Self {
        Self { spec: spec("expert", action_width) }
    }
}

impl Policy for Expert {
    fn spec(&self) -> &PolicySpec {
        &self.spec
    }

    fn infer(&mut self, batch: &[PolicyInput]) -> Result<Vec<Answer>, PolicyError> {
        Ok(vec![Answer::Script { steps: CHUNK }; batch.len()])
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use udvla_sims::episode::EpisodeKey;
    use udvla_sims::observation::Observation;

    use super::*;
    use crate::policy::Decision;

    fn row(trial: u16, call: u32) -> PolicyInput {
        PolicyInput {
            key: EpisodeKey { suite: "long".into(), task: 3, trial },
            call,
            seed: 0,
            observation: Observation {
                images: vec![],
                state: vec![],
                instruction: Arc::from("put the moka pot on the stove"),
                stage: 0,
            },
        }
    }

    #[test]
    fn a_random_row_does_not_depend_on_its_neighbours() {
        let mut policy = Random::new(7, vec![]);
        let together = policy.infer(&[row(0, 0), row(1, 0), row(0, 1)]).unwrap();
        assert_eq!(policy.infer(&[row(1, 0)]).unwrap()[0], together[1]);
        assert_ne!(together[0], together[1]);
        assert_ne!(together[0], together[2]);
    }

    #[test]
    fn random_actions_fill_the_range_and_stay_in_it() {
        let Answer::Chunk(Decision { actions: chunk, .. }) =
            &Random::new(7, vec![]).infer(&[row(0, 0)]).unwrap()[0]
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
            &Random::new(7, vec![6]).infer(&[row(0, 0)]).unwrap()[0]
        else {
            panic!("random answers with chunks");
        };
        let signs: Vec<f32> = chunk.values.chunks_exact(7).map(|action| action[6]).collect();
        assert!(signs.contains(&1.0) && signs.contains(&-1.0), "{signs:?}");
        assert!(signs.iter().all(|sign| sign.abs() == 1.0), "{signs:?}");
    }

    #[test]
    fn idle_repeats_the_do_nothing_action() {
        let mut idle = Idle::new(vec![0.0, 0.0, -1.0]);
        let Answer::Chunk(Decision { actions: chunk, .. }) = &idle.infer(&[row(0, 0)]).unwrap()[0]
        else {
            panic!("idle answers with chunks");
        };
        assert_eq!(chunk.values, [0.0, 0.0, -1.0].repeat(10));
    }
}
