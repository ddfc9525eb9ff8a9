//! `reader`: lets the worker's script act where the instruction is the episode's own, word for word;
//! idles otherwise. It shows that a control of the instruction reaches the policy.

use udvla_sims::instructions::Instructions;
use udvla_sims::observation::ActionChunk;

use super::kind::{ActionSpace, CHUNK, WeightlessKind};
use crate::policy::{Answer, Policy, PolicyError, PolicyInput, PolicySpec};

pub(super) const KIND: WeightlessKind = WeightlessKind {
    name: "reader",
    summary: "Acts as `expert` where the instruction is the episode's own, else as `idle`",
    open: |spec, ActionSpace { idle, protocol, .. }| {
        Box::new(Reader { spec, idle, instructions: Instructions::new(&protocol) })
    },
};

struct Reader {
    spec: PolicySpec,
    idle: Vec<f32>,
    instructions: Instructions,
}

impl Policy for Reader {
    fn spec(&self) -> &PolicySpec {
        &self.spec
    }

    fn infer(&mut self, batch: &[PolicyInput]) -> Result<Vec<Answer>, PolicyError> {
        let answer = |PolicyInput { key, observation, .. }: &PolicyInput| {
            let own = self.instructions.of_episode(key, observation.stage);
            if own == Some(&*observation.instruction) {
                return Answer::Script { steps: CHUNK };
            }
            let values = self.idle.repeat(usize::from(CHUNK));
            Answer::Chunk(ActionChunk { width: self.idle.len(), values }.into())
        };
        Ok(batch.iter().map(answer).collect())
    }
}
