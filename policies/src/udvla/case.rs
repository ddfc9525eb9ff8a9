//! One decision written out, so that another implementation can decode the same.

use serde_json::{Value, json};

use super::decoding::Decoding;
use super::jd3p::Request;
use super::noise::{KeyedNoise, NOISE_VERSION};
use super::policy::{UdVla, failed, noise_of};
use crate::policy::{PolicyError, PolicyInput};

impl UdVla {
    /// What a row's decoding starts from, what keys its noise, and the ids that come out.
    ///
    /// Sequences are ids: `prompt`, `block` (before its first step) and `generated` (behind the
    /// last); `decoding` and its settings are as in a run's subject; `image` is the number of
    /// block positions before the action part; `image_ids` and `action_ids` are what each part
    /// may become, ascending.
    ///
    /// # Errors
    /// As [`Policy::infer`](crate::policy::Policy::infer).
    pub fn case(&self, row: &PolicyInput) -> Result<Value, PolicyError> {
        let generated = self.generated(std::slice::from_ref(row))?.remove(0);
        let prompts = self.translator.prompts(std::slice::from_ref(row));
        let prompt = prompts.map_err(|error| PolicyError::Model(error.to_string()))?.remove(0);
        let (block, ids) = (self.translator.block(), &self.translator.ids);
        let image_ids = self.translator.viewable(self.decoding.is_sequential());
        let mut case = json!({
            "attention": self.attention.name(),
            "noise": { "version": NOISE_VERSION, "seed": row.seed, "episode": row.key.to_string(),
                       "call": row.call },
            "parts": { "text": prompt.parts.text, "views": prompt.parts.views,
                       "future": prompt.parts.future, "actions": prompt.parts.actions },
            "prompt": prompt.ids,
            "block": block.ids,
            "image": block.image,
            "image_ids": image_ids,
            "action_ids": self.translator.action_ids,
            "mask_token_id": ids.mask_token_id,
            "eoa_token_id": ids.eoa_token_id,
            "generated": generated,
        });
        let settings = ["decoding", "denoise_steps", "action_steps", "jacobi_stretch"];
        for (key, value) in settings.map(|key| (key, self.spec.subject.get(key))) {
            case[key] = match value.map(|text| (text.parse::<u64>(), text)) {
                Some((Ok(number), _)) => number.into(),
                Some((Err(_), text)) => text.as_str().into(),
                None => Value::Null,
            };
        }
        Ok(case)
    }

    /// The ids of each row's block; from left to right they end with the end of actions.
    ///
    /// # Errors
    /// As [`Policy::infer`](crate::policy::Policy::infer).
    pub fn generated(&self, batch: &[PolicyInput]) -> Result<Vec<Vec<i64>>, PolicyError> {
        batch.iter().try_for_each(|row| self.translator.check(row))?;
        tch::no_grad(|| {
            let prompts = self.translator.prompts(batch).map_err(|error| failed(&error))?;
            let block = self.translator.block();
            let noises: Vec<KeyedNoise> = batch.iter().map(noise_of).collect();
            let requests = prompts.iter().zip(&noises);
            let requests = requests.map(|(prompt, noise)| Request { prompt, block: &block, noise });
            let (requests, parts) = (requests.collect::<Vec<_>>(), self.parts());
            let decoded = match self.decoding {
                Decoding::Jd3p { .. } => parts.decode_batch(&requests, &mut |_, _| {}),
                Decoding::Independent { .. }
                | Decoding::Autoregressive
                | Decoding::Jacobi { .. } => {
                    self.one_by_one(&parts, &requests, &mut |_, _| {}).map(|(ids, _)| ids)
                }
            };
            decoded.map_err(|error| failed(&error))
        })
    }
}
