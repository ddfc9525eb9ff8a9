//! One decision written out, so that another implementation can decode the same.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::decode::NOISE_VERSION;
use super::policy::{UdVla, failed};
use crate::policy::{PolicyError, PolicyInput};

impl UdVla {
    /// Input, noise key and result of an input's decoding.
    ///
    /// Sequences are ids: `prompt`, `block` (before the first step) and `generated` (after the
    /// last); `decoding` and its settings are as in a run's subject; `image` is the number of
    /// block positions before the action part; `image_ids` and `action_ids` are the ids that each
    /// part may take, ascending.
    pub fn reference_case(&self, input: &PolicyInput) -> Result<Value, PolicyError> {
        let batch = std::slice::from_ref(input);
        let generated = self.generate(batch)?.remove(0);
        let prompt = self.encoder.encode(batch).map_err(|error| failed(&error))?.remove(0);
        let block = self.encoder.block();
        let subject = BTreeMap::from(self.spec.subject.clone());
        let setting = |name: &str| match subject.get(name) {
            Some(text) => text.parse::<u64>().map_or_else(|_| json!(text), Value::from),
            None => Value::Null,
        };
        Ok(json!({
            "attention": self.attention.name(),
            "decoding": setting("decoding"),
            "denoise_steps": setting("denoise_steps"),
            "action_steps": setting("action_steps"),
            "jacobi_stretch": setting("jacobi_stretch"),
            "noise": { "version": NOISE_VERSION, "seed": input.seed,
                       "episode": input.key.to_string(), "call": input.call },
            "parts": { "text": prompt.parts.text, "views": prompt.parts.images,
                       "future": prompt.parts.future, "actions": prompt.parts.actions },
            "prompt": prompt.ids,
            "block": block.ids,
            "image": block.image_positions,
            "image_ids": self.image_ids,
            "action_ids": self.actions.allowed_ids(),
            "mask_token_id": self.ids.mask_token_id,
            "eoa_token_id": self.ids.eoa_token_id,
            "generated": generated,
        }))
    }
}
