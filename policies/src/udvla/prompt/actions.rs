//! Generated action ids to an action chunk in the simulator's units.

use udvla_sims::observation::ActionChunk;

use super::sequence::{action_ids, allowed_action_ids};
use crate::normalize::NormStats;
use crate::policy::Remark;
use crate::tokens::FastTokenizer;
use crate::udvla::checkpoint::{Benchmark, Checkpoint, CheckpointError, ModelConfig, SpecialIds};

/// Decodes the action part of generated blocks for one benchmark.
pub struct ActionDecoder {
    benchmark: Benchmark,
    ids: SpecialIds,
    fast: FastTokenizer,
    stats: NormStats,
    allowed: Vec<i64>,
}

impl ActionDecoder {
    /// Opens the FAST tokenizer and the action ranges, and checks that they fit the model.
    ///
    /// # Errors
    /// Missing or invalid files; more action ids than the vocabulary has room for.
    pub fn open(
        checkpoint: &Checkpoint,
        benchmark: &Benchmark,
        config: &ModelConfig,
    ) -> Result<Self, CheckpointError> {
        let fast = checkpoint.fast(benchmark)?;
        let stats = checkpoint.stats(benchmark)?;
        let allowed = allowed_action_ids(&config.ids, fast.vocabulary());
        if allowed[0] < 0 {
            let file = checkpoint.manifest_file();
            let reason = format!(
                "{} action ids below {} do not fit a vocabulary of {}",
                fast.vocabulary(),
                config.ids.last_action_token_id,
                config.sizes.vocab_size
            );
            return Err(CheckpointError::Config { file, reason });
        }
        let (benchmark, ids) = (benchmark.clone(), config.ids.clone());
        Ok(Self { benchmark, ids, fast, stats, allowed })
    }

    /// Ids that action positions may take, ascending.
    pub fn allowed_ids(&self) -> &[i64] {
        &self.allowed
    }

    /// The action chunk of a generated block whose action part starts at `image_positions`.
    pub fn decode(&self, generated: &[i64], image_positions: usize) -> ActionChunk {
        let layout = &self.benchmark.layout;
        let (horizon, width) = (usize::from(layout.horizon), layout.action_width);
        let ids = action_ids(&self.ids, generated, image_positions);
        let mut values = self.fast.decode(&ids, horizon, width); // [horizon, width]
        for action in values.chunks_exact_mut(width) {
            self.stats.unnormalize(action);
            self.benchmark.rotation.apply(action);
            let gripper = action.last_mut().expect("the layout's action width is not 0");
            *gripper = self.benchmark.gripper.apply(*gripper);
        }
        ActionChunk { width, values: values.into_iter().map(|value| value as f32).collect() }
    }

    /// Anomalies of the action part of a generated block.
    pub fn remarks(&self, generated: &[i64], image_positions: usize) -> Vec<Remark> {
        let mut remarks = vec![];
        if !generated[image_positions + 1..].contains(&self.ids.eoa_token_id) {
            remarks.push(Remark {
                kind: "no-end-of-actions",
                text: "no end of actions: every slot was decoded".into(),
            });
        }
        let invalid = self.fast.invalid(&action_ids(&self.ids, generated, image_positions));
        if invalid > 0 {
            let text =
                format!("{invalid} action coefficients are no valid text and decode to extremes");
            remarks.push(Remark { kind: "invalid-action-text", text });
        }
        remarks
    }
}
