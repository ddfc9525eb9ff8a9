//! The language model: a Llama-shaped transformer whose attention masks are runs of queries.
//!
//! [`Transformer`] runs batches of sequences; [`mask`] has the four attention masks; [`training`]
//! has corruption and losses for training.

mod context;
mod layers;
pub mod mask;
mod packing;
mod self_attention;
pub mod training;
pub mod transfer;
mod transformer;

pub(super) use context::linear;
pub use context::products;
pub use layers::TensorLoader;
pub use packing::Packing;
pub use transformer::{Cache, HiddenStates, Sequence, Span, Transformer};
