//! Messages of two policy servers' protocols, openpi's and vla-eval's: trees of values with
//! n-dimensional arrays, as msgpack.
//!
//! Client and server sides share this; nothing here opens a connection. [`openpi::encode`] and
//! [`openpi::decode`] convert a [`Value`], [`vla_eval::encode`] and [`vla_eval::decode`] a
//! [`vla_eval::Message`] around one. Bytes equal those of the Python packages (`openpi-client`
//! 0.1.2, `vla-eval` 0.8.0). Decoding takes memory in proportion to the bytes given and never
//! panics.

mod array;
mod codec;
mod error;
pub mod openpi;
mod value;
pub mod vla_eval;

pub use array::Array;
pub use error::FrameError;
pub use value::Value;
