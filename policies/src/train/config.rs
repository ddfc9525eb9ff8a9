//! One file of settings for the whole training.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::tokens::{TokenError, read_json};
use crate::udvla::checkpoint::{Attention, Layout, Target};
use crate::vision::VisionConfig;

/// Settings of all three parts of a training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingConfig {
    /// Display name of the checkpoint.
    pub name: String,
    /// The checkpoint's benchmark.
    pub benchmark: String,
    /// Images, action slots and chunk size.
    pub layout: Layout,
    /// Attention mask.
    pub attention: Attention,
    /// What the generated images show.
    #[serde(default)]
    pub target: Target,
    /// Denoising steps of an evaluation that names no others.
    pub denoise_steps: u16,
    /// Temperature of the paper's sampler in such an evaluation; 0 is the most probable id.
    pub temperature: f64,
    /// Of this many episodes of a task, the last is kept for validation.
    pub validation_every: u16,
    #[expect(missing_docs, reason = "the types say what the fields are")]
    pub vision: VisionSettings,
    #[expect(missing_docs, reason = "the types say what the fields are")]
    pub actions: ActionSettings,
    #[expect(missing_docs, reason = "the types say what the fields are")]
    pub policy: PolicySettings,
}

/// How weights are updated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Optimizing {
    /// Learning rate after the warm-up.
    pub rate: f64,
    /// Learning rate of the last step; a cosine leads there.
    pub final_rate: f64,
    /// Steps in which the rate grows from zero.
    pub warmup: u64,
    /// AdamW's decay of matrices.
    pub weight_decay: f64,
    /// Largest norm of the gradient.
    pub clip: f64,
    /// Decay of the moving average of the weights, which is what a checkpoint holds.
    pub average: f64,
}

/// Training of the vision tokenizer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VisionSettings {
    /// Sizes; the codebook is a grid of `levels` values per dimension.
    pub sizes: VisionConfig,
    /// Values per dimension of a code, from -1 to 1.
    pub levels: i64,
    /// Training steps.
    pub steps: u64,
    /// Images per step.
    pub batch: usize,
    /// Weight of the difference between neighboring pixels' differences.
    pub edges: f64,
    /// Weight of the distance between latent vectors and their codes.
    pub commitment: f64,
    /// Weight of the difference between the latent vectors' covariance and the grid's: without it
    /// they stay near zero, where they use few codes.
    #[serde(default)]
    pub spread: f64,
    #[expect(missing_docs, reason = "the type says what the field is")]
    pub optimizing: Optimizing,
}

/// Fitting of action ranges and FAST.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActionSettings {
    /// Coefficient units per action unit.
    pub scale: f64,
    /// Number of pairs that FAST merges; without any, every coefficient has a slot of its own.
    pub merges: usize,
    /// Smallest half of an action dimension's range.
    pub smallest_range: f64,
}

/// Training of the policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicySettings {
    /// Width of the residual stream.
    pub hidden_size: i64,
    /// Width inside the feed-forward layers.
    pub intermediate_size: i64,
    /// Transformer layers.
    pub layers: i64,
    /// Query heads.
    pub heads: i64,
    /// Key and value heads.
    pub key_heads: i64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Stages, in order.
    pub stages: Vec<Stage>,
    /// Windows per step.
    pub batch: usize,
    /// Masked copies of each window's block, which share its prompt.
    pub copies: usize,
    /// How many of the copies show, for the actions that are known, those that the model itself
    /// predicts from the prompt, as decoding does after its first steps.
    #[serde(default)]
    pub own_copies: usize,
    /// Loss of the masked positions.
    pub loss: Loss,
    /// Standard deviation, in steps of a coefficient, by which the actions' targets are blurred, up
    /// to 10; 0 for the paper's single ids.
    #[serde(default)]
    pub action_blur: f64,
    /// Loss weight of a visual code.
    pub image_weight: f64,
    /// Loss weight of the chunk regressed from the prompt alone, while training jointly.
    pub regression_weight: f64,
    /// Variants of every image that is trained on, the first one as it is.
    pub variants: usize,
    /// Most pixels that a variant is shifted by, in either direction.
    pub shift: usize,
    /// Largest change of a variant's brightness, as a share.
    pub brightness: f64,
    /// How much more often a window is drawn whose chunk changes the gripper.
    pub gripper_windows: f64,
}

/// A stage of a policy's training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// What is learned.
    pub objective: Objective,
    /// Training steps.
    pub steps: u64,
    #[expect(missing_docs, reason = "the type says what the field is")]
    pub optimizing: Optimizing,
}

/// What a stage learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// The chunk, as numbers, from the prompt alone: the direct baseline, and a start for the others.
    Regression,
    /// Future images: stage (i) of the paper.
    Images,
    /// Actions behind the true future, of which nine in ten codes are shown: inverse dynamics.
    Actions,
    /// Future images and actions: stage (ii) of the paper.
    Joint,
}

/// Normalization of the loss of masked positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// Divided by the sum of weights, as in the released code.
    Released,
    /// Divided by the number of masked positions, as in the paper.
    Paper,
}

impl TrainingConfig {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// An unreadable file, an unknown or missing key, settings that contradict each other.
    pub fn open(path: &Path) -> Result<Self, TokenError> {
        let config: Self = read_json(path)?;
        match config.fault() {
            None => Ok(config),
            Some(what) => Err(TokenError::content(path, what)),
        }
    }

    /// Why the settings are unusable; `None` for valid ones.
    pub fn fault(&self) -> Option<String> {
        let sizes = &self.vision.sizes;
        let policy = &self.policy;
        if let Some(fault) = self.layout.fault() {
            return Some(format!("has an unusable layout: {fault}"));
        }
        if let Some(fault) = sizes.fault() {
            return Some(format!("has vision sizes whose file {fault}"));
        }
        let grid =
            u32::try_from(sizes.embed_dim).ok().and_then(|d| self.vision.levels.checked_pow(d));
        if self.vision.levels < 2 || grid != Some(sizes.codebook_size) {
            return Some(format!(
                "has {} codes, which is not {} values in {} dimensions",
                sizes.codebook_size, self.vision.levels, sizes.embed_dim
            ));
        }
        if self.vision.batch == 0 || policy.batch == 0 || policy.copies == 0 || policy.variants == 0
        {
            return Some("has a batch of nothing".into());
        }
        if policy.own_copies > policy.copies {
            return Some(format!(
                "shows its own actions in {} of {} copies",
                policy.own_copies, policy.copies
            ));
        }
        if !(0.0..=10.0).contains(&policy.action_blur) {
            return Some(format!("blurs actions by {}, not by 0 to 10 steps", policy.action_blur));
        }
        if policy.action_blur > 0.0 && self.actions.merges > 0 {
            return Some("blurs actions whose ids, with merges, have no order".into());
        }
        if policy.heads < 1 || policy.key_heads < 1 || policy.heads % policy.key_heads != 0 {
            return Some("has heads that its key heads do not divide".into());
        }
        if policy.hidden_size % (2 * policy.heads) != 0 {
            return Some("has a hidden size that is not an even number per head".into());
        }
        let is_apart = matches!(self.attention, Attention::Hybrid | Attention::Causal);
        let regresses = |stage: &Stage| match stage.objective {
            Objective::Regression => true,
            Objective::Images | Objective::Actions => false,
            Objective::Joint => policy.regression_weight > 0.0,
        };
        if !is_apart && policy.stages.iter().any(regresses) {
            return Some(format!(
                "regresses from the prompt alone, which under attention `{}` is not apart",
                self.attention
            ));
        }
        if self.validation_every < 2 {
            return Some("keeps every episode for validation".into());
        }
        None
    }
}
