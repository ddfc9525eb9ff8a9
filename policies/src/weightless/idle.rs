//! `idle`: sends the do-nothing action.

use udvla_sims::observation::ActionChunk;

use super::kind::{ActionSpace, CHUNK, WeightlessKind};
use crate::policy::{Answer, Policy, PolicyError, PolicyInput, PolicySpec};

pub(super) const KIND: WeightlessKind = WeightlessKind {
    name: "idle",
    summary: "Sends the do-nothing action; must score 0",
    open: |spec, ActionSpace { idle, .. }| Box::new(Idle { spec, action: idle }),
};

struct Idle {
    spec: PolicySpec,
    action: Vec<f32>,
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
