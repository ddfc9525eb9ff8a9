//! Why bytes are no message.

/// Why bytes are no message of the protocol. The texts complete "the message …".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages describe the fields")]
pub enum FrameError {
    /// Cut off.
    #[error("ends in the middle of a value, at byte {end}")]
    Cut { end: usize },
    /// More bytes than one value has.
    #[error("goes on after its value, at byte {end}")]
    Trailing { end: usize },
    /// Nested too deeply.
    #[error("nests values more than {limit} deep")]
    TooDeep { limit: usize },
    /// Too many values.
    #[error("has more than {limit} values outside of arrays")]
    TooMany { limit: usize },
    /// A value that the protocol does not have.
    #[error("has {what}, which the protocol does not have")]
    Unsupported { what: String },
    /// An array that contradicts itself.
    #[error("has an array that cannot be: {reason}")]
    Array { reason: String },
    /// A compressed image that cannot be read.
    #[error("has an image that cannot be read: {reason}")]
    Image { reason: String },
    /// Something around the payload is missing or wrong.
    #[error("is no vla-eval message: {reason}")]
    Envelope { reason: String },
}

impl FrameError {
    pub(super) fn array(reason: impl Into<String>) -> Self {
        Self::Array { reason: reason.into() }
    }

    pub(super) fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into() }
    }
}
