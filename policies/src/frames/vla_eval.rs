//! vla-eval's messages: a typed envelope with a number around a map.

use super::codec::{self, Dialect};
use super::{FrameError, Value};

/// Version of the protocol, announced in both directions of the greeting.
pub const PROTOCOL_VERSION: i64 = 1;

/// What a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the protocol's own names")]
pub enum Kind {
    Hello,
    Observation,
    Action,
    EpisodeStart,
    EpisodeEnd,
    Error,
}

impl Kind {
    const ALL: [Self; 6] = [
        Self::Hello,
        Self::Observation,
        Self::Action,
        Self::EpisodeStart,
        Self::EpisodeEnd,
        Self::Error,
    ];

    /// The word on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::Observation => "observation",
            Self::Action => "action",
            Self::EpisodeStart => "episode_start",
            Self::EpisodeEnd => "episode_end",
            Self::Error => "error",
        }
    }
}

/// A message.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// What it is about.
    pub kind: Kind,
    /// Its content, a map.
    pub payload: Value,
    /// Number of the request; an answer repeats it.
    pub seq: i64,
    /// Unix time, seconds.
    pub timestamp: f64,
}

/// The bytes of a message. Images are written as plain arrays.
pub fn encode(message: &Message) -> Vec<u8> {
    let Message { kind, payload, seq, timestamp } = message;
    let mut bytes = vec![0x84];
    let mut write = |value: &Value| codec::write(value, Dialect::VlaEval, &mut bytes);
    write(&"type".into());
    write(&kind.name().into());
    write(&"payload".into());
    write(payload);
    write(&"seq".into());
    write(&Value::Int(*seq));
    write(&"timestamp".into());
    write(&Value::Float(*timestamp));
    bytes
}

/// A message from its bytes. PNG and raw images become arrays `[h, w, channels]` of bytes.
///
/// # Errors
/// [`FrameError`] for anything but one whole message with all four fields.
pub fn decode(bytes: &[u8]) -> Result<Message, FrameError> {
    let value = codec::read(bytes, Dialect::VlaEval)?;
    let error = |reason: String| FrameError::Envelope { reason };
    let Value::Map(mut fields) = value else { return Err(error(format!("it is {value}"))) };
    let mut take = |name: &str| {
        let position = fields.iter().position(|(key, _)| key == name);
        let position = position.ok_or_else(|| error(format!("`{name}` is missing")))?;
        Ok(fields.swap_remove(position).1)
    };
    let (kind, payload, seq, timestamp) =
        (take("type")?, take("payload")?, take("seq")?, take("timestamp")?);
    let known = Kind::ALL.into_iter().find(|known| kind.as_text() == Some(known.name()));
    if !matches!(payload, Value::Map(_)) {
        return Err(error(format!("`payload` is {payload}, not a map")));
    }
    Ok(Message {
        kind: known.ok_or_else(|| error(format!("`type` is {kind}")))?,
        payload,
        seq: seq.as_int().ok_or_else(|| error(format!("`seq` is {seq}")))?,
        timestamp: timestamp
            .as_number()
            .ok_or_else(|| error(format!("`timestamp` is {timestamp}")))?,
    })
}
