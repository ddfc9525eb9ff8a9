//! What every way of generating a block works with.

use super::config::SpecialIds;
use super::sampling::Allowed;
use super::transformer::Transformer;

/// The language model with what it may fill in.
#[derive(Debug, Clone, Copy)]
pub struct Generator<'a> {
    /// The language model.
    pub model: &'a Transformer,
    /// Ids with a meaning.
    pub ids: &'a SpecialIds,
    /// What positions of views may become; for decoding from left to right their begin and end
    /// marks too, which are given otherwise.
    pub image: &'a Allowed,
    /// What action positions may become.
    pub action: &'a Allowed,
}

/// What of a prompt is computed once per block and not in every step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PrefixCache {
    /// The positions that see nothing of what a step can change: the text under attention
    /// `released`, the whole prompt under `hybrid` and `causal`. The same ids as without a cache.
    #[default]
    Exact,
    /// The whole prompt, run alone, under whatever attention. Under `released` the current views
    /// then see nothing of the block that is generated, which changes results.
    ///
    /// Source: the bytecode of a cached wrapper that the release left behind; its source is not
    /// published.
    Approximate,
}
