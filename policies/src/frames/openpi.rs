//! openpi's messages: one value, without an envelope.

use super::codec::{self, Dialect};
use super::{FrameError, Value};

/// The bytes of a message.
pub fn encode(value: &Value) -> Vec<u8> {
    let mut bytes = vec![];
    codec::write(value, Dialect::OpenPi, &mut bytes);
    bytes
}

/// The value of a message. NumPy scalars become integers, floats or truth values.
///
/// # Errors
/// [`FrameError`] for anything but one whole message.
pub fn decode(bytes: &[u8]) -> Result<Value, FrameError> {
    codec::read(bytes, Dialect::OpenPi)
}
