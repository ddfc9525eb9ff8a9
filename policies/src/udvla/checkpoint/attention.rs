//! The attention mask that a model was trained with.

use serde::{Deserialize, Serialize};

use crate::names::names;

/// Which positions of a sequence attend to one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum Attention {
    /// The released code's mask: causal text, then one bidirectional block
    Released,
    /// The paper's mask: causal text; current images, future images and actions bidirectional
    /// within each, causal across
    Hybrid,
    /// The released code's ablation: each image bidirectional, from the third block on one block
    ReleasedBidirectional,
    /// Every position attends to itself and earlier positions
    Causal,
}

names!(Attention {
    Released => "released",
    Hybrid => "hybrid",
    ReleasedBidirectional => "released-bidirectional",
    Causal => "causal",
});
