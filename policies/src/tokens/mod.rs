//! Text and actions as token ids.
//!
//! [`TextTokenizer`] encodes instructions; [`FastTokenizer`] encodes and decodes action chunks.
//! Both read the files of a checkpoint and are independent of the model.

mod bytes;
mod error;
mod fast;
#[cfg(feature = "torch")]
mod fit;
mod merge;
mod python_json;
mod synthetic;
mod text;

pub use error::TokenError;
pub use fast::FastTokenizer;
#[cfg(feature = "torch")]
pub use fit::{FastFit, fit_fast, fit_ranks};
pub use synthetic::{synthetic_json, synthetic_ranks};
pub use text::TextTokenizer;

pub(crate) use error::{read_json, read_value};
#[cfg(feature = "torch")]
pub(crate) use python_json::{Fault, parse};
