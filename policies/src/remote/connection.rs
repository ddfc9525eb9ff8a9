//! A WebSocket to a server, with a deadline for every exchange.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::HandshakeError;
use tungstenite::http::HeaderValue;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::stream::MaybeTlsStream;
use tungstenite::{Message, WebSocket};

use super::Address;
use super::error::Fault;

/// Longest time for opening a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// What a server sent.
pub enum Received {
    /// A binary message.
    Bytes(Vec<u8>),
    /// A text message.
    Text(String),
}

/// An open WebSocket.
pub struct Connection {
    socket: WebSocket<MaybeTlsStream<Timed>>,
    deadline: Deadline,
}

/// When the current exchange has to be over; shared with the stream inside the socket.
type Deadline = Arc<Mutex<Instant>>;

impl Connection {
    /// Connects; `key` goes into the header that openpi's client uses, `max_message` is in bytes.
    ///
    /// # Errors
    /// [`Fault`] when nobody answers there within 10 seconds, or not as a WebSocket.
    pub fn open(address: &Address, key: Option<&str>, max_message: usize) -> Result<Self, Fault> {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            // An error means that there is one already.
            let _ = rustls::crypto::ring::default_provider().install_default();
        });
        let deadline = Arc::new(Mutex::new(Instant::now() + CONNECT));
        let stream = connect(address)?;
        stream.set_nodelay(true)?;
        let stream = Timed { stream, deadline: Arc::clone(&deadline) };
        let mut request = address.to_string().into_client_request()?;
        if let Some(key) = key {
            let value = HeaderValue::from_str(&format!("Api-Key {key}"));
            let value = value.map_err(|_| Fault::Answer("needs a key of plain text".into()))?;
            request.headers_mut().insert("Authorization", value);
        }
        let config = WebSocketConfig::default()
            .max_message_size(Some(max_message))
            .max_frame_size(Some(max_message));
        let opened = tungstenite::client_tls_with_config(request, stream, Some(config), None);
        let (socket, _) = opened.map_err(|error| match error {
            HandshakeError::Failure(error) => Fault::from(error),
            HandshakeError::Interrupted(_) => Fault::Lost("did not answer in time".into()),
        })?;
        Ok(Self { socket, deadline })
    }

    /// Sends a binary message.
    ///
    /// # Errors
    /// [`Fault`] when the connection ends, or does not take all of it in time.
    pub fn send(&mut self, bytes: Vec<u8>, timeout: Duration) -> Result<(), Fault> {
        self.set_deadline(timeout);
        Ok(self.socket.send(Message::binary(bytes))?)
    }

    /// The next message.
    ///
    /// # Errors
    /// [`Fault`] when the connection ends, or the message is not here in time, too large, or none.
    pub fn receive(&mut self, timeout: Duration) -> Result<Received, Fault> {
        self.set_deadline(timeout);
        loop {
            match self.socket.read()? {
                Message::Binary(bytes) => return Ok(Received::Bytes(bytes.into())),
                Message::Text(text) => return Ok(Received::Text(text.to_string())),
                Message::Close(Some(frame)) => {
                    let code = u16::from(frame.code);
                    let reason = match frame.reason.as_str() {
                        "" => String::new(),
                        reason => format!(": {reason}"),
                    };
                    return Err(Fault::Lost(format!(
                        "closed the connection (code {code}{reason})"
                    )));
                }
                Message::Close(None) => return Err(Fault::Lost("closed the connection".into())),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }

    /// The next message, or `None` when there is none in time.
    pub(super) fn receive_within(&mut self, wait: Duration) -> Result<Option<Received>, Fault> {
        self.set_deadline(wait);
        match self.socket.read() {
            Ok(Message::Binary(bytes)) => Ok(Some(Received::Bytes(bytes.into()))),
            Ok(Message::Text(text)) => Ok(Some(Received::Text(text.to_string()))),
            Ok(_) => Ok(None),
            Err(tungstenite::Error::Io(error)) if is_timeout(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn set_deadline(&self, timeout: Duration) {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + timeout;
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn connect(address: &Address) -> Result<TcpStream, Fault> {
    let unknown = |error: io::Error| {
        Fault::Lost(format!("has a host that cannot be found, `{}`: {error}", address.host()))
    };
    let resolved = (address.host(), address.port()).to_socket_addrs().map_err(unknown)?;
    let mut last = Fault::Lost("has no network address".into());
    for socket in resolved {
        match TcpStream::connect_timeout(&socket, CONNECT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error.into(),
        }
    }
    Err(last)
}

/// A stream whose every call ends at the deadline, however slowly bytes arrive.
struct Timed {
    stream: TcpStream,
    deadline: Deadline,
}

impl Timed {
    fn remaining(&self) -> io::Result<Duration> {
        let deadline = *self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        let remaining = deadline.saturating_duration_since(Instant::now());
        if remaining.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(remaining) }
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.remaining()?))?;
        self.stream.read(buffer)
    }
}

impl Write for Timed {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.remaining()?))?;
        self.stream.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
