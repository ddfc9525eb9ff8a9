//! What the generated images show.

use serde::{Deserialize, Serialize};

use crate::names::names;

/// What the generated images show; a property of the weights.
///
/// Source: the rows of the paper's Table 6. The release has only models that predict the future;
/// current and null follow the paper's description.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// The scene after the chunk, as in the published models
    #[default]
    Future,
    /// The scene now, an ablation of the paper
    Current,
    /// No images: actions only, an ablation of the paper
    Null,
}

names!(Target { Future => "future", Current => "current", Null => "null" });

impl Target {
    /// Whether images are generated at all.
    pub fn has_images(self) -> bool {
        self != Self::Null
    }
}
