//! Text and actions as token ids.
//!
//! [`TextTokenizer`] turns an instruction into the model's ids; [`FastTokenizer`] turns action
//! ids into numbers and back. Both read the files that come with a checkpoint and know nothing
//! of the model.

mod bytes;
mod error;
mod fast;
mod merge;
mod synthetic;
mod text;

pub use error::TokenError;
pub use fast::FastTokenizer;
pub use synthetic::{synthetic_json, synthetic_ranks};
pub use text::TextTokenizer;

pub(crate) use error::read_json;
