//! Training of small UD-VLA policies, with the model, the tokenizers and the decoder of evaluations.
//!
//! | file | content |
//! |---|---|
//! | `config` | one file of settings for all three parts |
//! | `demonstrations` | what `udvla-eval collect` recorded |
//! | `parameters` | trained weights in one vector, AdamW, moving average, state on disk |
//! | `vision` | the vision tokenizer, with a fixed grid of codes |
//! | `actions` | action ranges, FAST and text vocabularies fitted to the demonstrations |
//! | `windows` | what a policy is trained on: an observation, its chunk, the observation after it |
//! | `policy`, `loss`, `network` | the policy: regression, future images (stage i), joint (stage ii) |
//! | `validation` | errors of decoded chunks, and whether actions use the future images |
//! | `probe` | whether the image codes say where the object is |

mod actions;
mod config;
mod demonstrations;
mod error;
mod loss;
mod network;
mod parameters;
mod policy;
mod probe;
mod spread;
#[cfg(test)]
mod tests;
mod validation;
mod vision;
mod windows;

pub use actions::{FittedActions, fit_actions, take_tokenizers};
pub use config::{
    ActionSettings, Loss, Objective, Optimizing, PolicySettings, Stage, TrainingConfig,
    VisionSettings,
};
pub use demonstrations::{Demonstrations, Episode, View};
pub use error::TrainError;
pub use policy::PolicyTrainer;
pub use probe::{Probe, probe};
pub use validation::{Arms, Validation};
pub use vision::VisionTrainer;
pub use windows::{Window, Windows};

/// A number of a training step by its name.
pub type Figures = Vec<(&'static str, f64)>;
