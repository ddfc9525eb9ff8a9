//! `random`: draws every number uniformly from [-1, 1), keyed by (seed, episode, call).

use sha2::{Digest, Sha256};
use udvla_sims::observation::ActionChunk;

use super::kind::{ActionSpace, CHUNK, WeightlessKind};
use crate::policy::{Answer, Policy, PolicyError, PolicyInput, PolicySpec};

pub(super) const KIND: WeightlessKind = WeightlessKind {
    name: "random",
    summary: "Draws actions uniformly from [-1, 1)",
    open: |spec, ActionSpace { signs, .. }| Box::new(Random { spec, signs }),
};

struct Random {
    spec: PolicySpec,
    signs: Vec<usize>,
}

impl Policy for Random {
    fn spec(&self) -> &PolicySpec {
        &self.spec
    }

    fn infer(&mut self, batch: &[PolicyInput]) -> Result<Vec<Answer>, PolicyError> {
        let width = self.spec.action_width;
        let answer = |input: &PolicyInput| {
            let number = |index: usize| match draw(input, index) {
                drawn if self.signs.contains(&(index % width)) => 1.0_f32.copysign(drawn),
                drawn => drawn,
            };
            let values = (0..usize::from(CHUNK) * width).map(number).collect();
            Answer::Chunk(ActionChunk { width, values }.into())
        };
        Ok(batch.iter().map(answer).collect())
    }
}

/// Number `index` of an input's noise: 24 bits of a SHA-256 of its key.
fn draw(input: &PolicyInput, index: usize) -> f32 {
    let key = format!("{}/{}/{}/{index}", input.seed, input.key, input.call);
    let digest = Sha256::digest(key.as_bytes());
    let bits = u32::from_le_bytes([digest[0], digest[1], digest[2], 0]);
    bits as f32 / (1 << 23) as f32 - 1.0
}
