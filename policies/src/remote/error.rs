//! What can go wrong with a policy server.

use std::io;

use tungstenite::Error as WebSocketError;
use tungstenite::error::ProtocolError;

use crate::frames::FrameError;

/// Why a server gave no usable answer.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages describe the fields")]
pub enum ServerError {
    /// It cannot be reached, or the connection ended or was too slow: another attempt may help.
    #[error("the policy server at {address} {what}")]
    Lost { address: String, what: String },
    /// It answered what cannot be used; asking again would give the same.
    #[error("the policy server at {address} {what}")]
    Answer { address: String, what: String },
}

/// What happened on a connection, without the address.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Another attempt may help.
    #[error("{0}")]
    Lost(String),
    /// Another attempt would give the same.
    #[error("{0}")]
    Answer(String),
}

impl Fault {
    pub(super) fn at(self, address: &str) -> ServerError {
        let address = address.to_owned();
        match self {
            Self::Lost(what) => ServerError::Lost { address, what },
            Self::Answer(what) => ServerError::Answer { address, what },
        }
    }
}

impl From<FrameError> for Fault {
    fn from(error: FrameError) -> Self {
        Self::Answer(format!("sent a message that {error}"))
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                Self::Lost("did not answer in time".into())
            }
            io::ErrorKind::ConnectionRefused => Self::Lost("refuses connections".into()),
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof => Self::Lost("closed the connection".into()),
            _ => Self::Lost(format!("cannot be reached: {error}")),
        }
    }
}

impl From<WebSocketError> for Fault {
    fn from(error: WebSocketError) -> Self {
        match error {
            WebSocketError::Io(error) => error.into(),
            WebSocketError::ConnectionClosed
            | WebSocketError::AlreadyClosed
            | WebSocketError::Protocol(
                ProtocolError::ResetWithoutClosingHandshake | ProtocolError::HandshakeIncomplete,
            ) => Self::Lost("closed the connection".into()),
            WebSocketError::Http(response) => {
                let status = response.status();
                let hint = match status.as_u16() {
                    401 | 403 => "; its key goes into the variable UDVLA_SERVER_KEY",
                    _ => "",
                };
                // A proxy answers 502 to 504 while its server is away.
                let what = format!("answered the WebSocket request with HTTP {status}{hint}");
                if status.is_server_error() { Self::Lost(what) } else { Self::Answer(what) }
            }
            WebSocketError::Capacity(error) => Self::Answer(format!(
                "sent a message that is too large: {error} (`--max-message` sets the limit)"
            )),
            other => Self::Answer(format!("broke the WebSocket protocol: {other}")),
        }
    }
}
