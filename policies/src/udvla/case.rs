//! One decision written out, so that another implementation can decode the same.

use serde_json::{Value, json};

use super::noise::NOISE_VERSION;
use super::policy::UdVla;
use crate::policy::{PolicyError, PolicyInput};

impl UdVla {
    /// What a row's decoding starts from, what keys its noise, and the ids that come out.
    ///
    /// Sequences are ids: `prompt`, `block` (before its first step) and `generated` (behind the
    /// last); `image` is the number of block positions before the action part; `image_ids` and
    /// `action_ids` are what each part may become, ascending.
    ///
    /// # Errors
    /// As [`Policy::infer`](crate::policy::Policy::infer).
    pub fn case(&self, row: &PolicyInput) -> Result<Value, PolicyError> {
        let mut generated = vec![];
        self.infer_watched(std::slice::from_ref(row), &mut |_, step| {
            generated.clone_from(&step.sampled);
        })?;
        let prompts = self.translator.prompts(std::slice::from_ref(row));
        let prompt = prompts.map_err(|error| PolicyError::Model(error.to_string()))?.remove(0);
        let (block, ids) = (self.translator.block(), &self.translator.ids);
        Ok(json!({
            "attention": self.attention.name(),
            "denoise_steps": self.steps,
            "noise": { "version": NOISE_VERSION, "seed": row.seed, "episode": row.key.to_string(),
                       "call": row.call },
            "parts": { "text": prompt.parts.text, "views": prompt.parts.views,
                       "future": prompt.parts.future, "actions": prompt.parts.actions },
            "prompt": prompt.ids,
            "block": block.ids,
            "image": block.image,
            "image_ids": self.translator.image_ids,
            "action_ids": self.translator.action_ids,
            "mask_token_id": ids.mask_token_id,
            "eoa_token_id": ids.eoa_token_id,
            "generated": generated,
        }))
    }
}
