//! One client, from its first byte to its line in the log.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use tungstenite::protocol::frame::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};
use udvla_policies::{Answer, PolicyInput};
use udvla_results::out::printable::printable_line;
use udvla_results::tables::format::plural;

use super::http::{self, Begun};
use super::openpi::OpenPi;
use super::session::{Asked, Fault, Served, Session, Step};
use super::shared::{Phase, Shared};
use super::timed::Timed;
use super::vla_eval::VlaEval;
use crate::clients::Protocol;
use crate::run::batcher::Question;

/// How often a client that waits for its answer is listened to, for pings and for its end.
const GLANCE: Duration = Duration::from_secs(1);
/// Silence after which no batch waits for a client any more.
const PAUSE: Duration = Duration::from_secs(5);

/// How long a client may take to read why the server ends the connection.
const FAREWELL: Duration = Duration::from_secs(2);

/// Why a connection ended. The texts complete "the connection ended: …".
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the client closed it")]
    Closed,
    #[error("the client was gone")]
    Gone,
    #[error("no message came for {0} s")]
    Idle(u64),
    #[error("the server stops")]
    Stopping,
    #[error("the policy failed")]
    PolicyFailed,
    #[error("a message was refused: {0}")]
    Refused(String),
    #[error("a message was refused: {0}")]
    TooLong(String),
    #[error("{0}")]
    Broken(String),
}

/// A client's place among those that are allowed; given back also by a panic.
struct Place<'a>(&'a Shared);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// A client that speaks WebSocket.
struct Client<'a> {
    socket: WebSocket<Timed>,
    session: Box<dyn Session>,
    shared: &'a Shared,
    peer: SocketAddr,
    /// A message that came while another was being answered.
    early: Option<Message>,
    /// When its last message came.
    last: Instant,
    is_busy: bool,
    requests: u32,
    chunks: u32,
}

/// Serves a client until one side ends it.
pub fn serve(stream: TcpStream, peer: SocketAddr, shared: &Shared) {
    let begun = Timed::new(stream, shared.options.message_timeout).and_then(|mut stream| {
        let enter = || shared.enter().then(|| Place(shared));
        let begun = http::begin(&mut stream, shared.options.token.as_ref(), enter)?;
        Ok((begun, stream))
    });
    match begun {
        Ok((Begun::Upgraded(read, _place), stream)) => {
            let mut client = Client::new(stream, read, peer, shared);
            let end = client.converse();
            client.finish(&end);
        }
        Ok((Begun::Answered(status, path), mut stream)) => {
            // Probes ask every few seconds.
            if status != 200 {
                shared.log(&format!("{peer}: {status} for `{}`", shortened(&path)));
            }
            stream.linger(FAREWELL);
        }
        Err(error) => shared.log(&format!("{peer}: {error}")),
    }
}

impl<'a> Client<'a> {
    fn new(mut stream: Timed, read: Vec<u8>, peer: SocketAddr, shared: &'a Shared) -> Self {
        stream.message_ended();
        let limit = Some(shared.options.max_message);
        let config = WebSocketConfig::default().max_message_size(limit).max_frame_size(limit);
        let socket = WebSocket::from_partially_read(stream, read, Role::Server, Some(config));
        let session = session_of(shared.options.protocol, &shared.served);
        let (early, last) = (None, Instant::now());
        Self { socket, session, shared, peer, early, last, is_busy: false, requests: 0, chunks: 0 }
    }

    /// Answers messages until there is a reason to end.
    fn converse(&mut self) -> End {
        self.shared.statistics().connections += 1;
        self.shared.log(&format!("{}: connected", self.peer));
        if let Some(greeting) = self.session.greeting()
            && let Err(end) = self.send(Message::binary(greeting))
        {
            return end;
        }
        loop {
            let turn = self.next().and_then(|message| self.take(&message));
            if let Err(end) = turn {
                return end;
            }
        }
    }

    /// The next message; looks after the clock and the server meanwhile.
    fn next(&mut self) -> Result<Message, End> {
        if let Some(message) = self.early.take() {
            return Ok(message);
        }
        loop {
            if self.shared.phase() >= Phase::Draining && !self.session.is_in_episode()
                || self.shared.phase() == Phase::Stopping
            {
                return Err(End::Stopping);
            }
            if let Some(message) = self.read()? {
                self.last = Instant::now();
                return Ok(message);
            }
            let silence = self.last.elapsed();
            if silence > PAUSE {
                self.set_busy(false);
            }
            if silence > self.shared.options.idle_timeout {
                return Err(End::Idle(self.shared.options.idle_timeout.as_secs()));
            }
        }
    }

    /// A message of the client, if one is there within the stream's patience.
    fn read(&mut self) -> Result<Option<Message>, End> {
        match self.socket.read() {
            Ok(message) => {
                self.socket.get_mut().message_ended();
                match message {
                    Message::Close(_) => {
                        // The library's answer; the client may be gone by now.
                        let _ = self.socket.flush();
                        Err(End::Closed)
                    }
                    Message::Binary(_) | Message::Text(_) => Ok(Some(message)),
                    // Pongs to pings are sent by the library.
                    Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {
                        self.socket.flush().map_err(|error| broken(&error))?;
                        Ok(None)
                    }
                }
            }
            Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
            Err(error @ Error::Capacity(_)) => {
                let flag = "the server's limit is set with `--max-message`";
                Err(End::TooLong(format!("{error}; {flag}")))
            }
            Err(error) => Err(broken(&error)),
        }
    }

    /// Answers a message.
    fn take(&mut self, message: &Message) -> Result<(), End> {
        let begun = Instant::now();
        let step = match message {
            Message::Binary(bytes) => self.session.receive(bytes),
            _ => Err(Fault::fatal("messages are binary, this one is text")),
        };
        match step {
            Ok(Step::Nothing) => {
                if !self.session.is_in_episode() {
                    self.set_busy(false);
                }
            }
            Ok(Step::Hello(answer, words)) => {
                self.shared.log(&format!("{}: {}", self.peer, shortened(&words)));
                self.send(Message::binary(answer))?;
            }
            Ok(Step::Known(answer)) => self.reply(answer)?,
            Ok(Step::Ask(asked)) => {
                let answer = self.ask(*asked)?;
                let Answer::Chunk(decision) = answer else { return Err(End::PolicyFailed) };
                let time = begun.elapsed();
                self.chunks += 1;
                self.shared.statistics().chunk(time);
                let answer = self.session.answer(&decision.actions, time);
                self.reply(answer)?;
            }
            Err(fault) => {
                self.shared.statistics().faults += 1;
                self.send(self.session.report(&fault))?;
                if fault.ends {
                    return Err(End::Refused(fault.text));
                }
                self.shared.log(&format!("{}: {}", self.peer, shortened(&fault.text)));
            }
        }
        Ok(())
    }

    /// The policy's answer; the client is listened to meanwhile.
    fn ask(&mut self, asked: Asked) -> Result<Answer, End> {
        let Asked { key, call, observation } = asked;
        let input = PolicyInput { key, call, seed: self.shared.options.seed, seat: 0, observation };
        let (reply, answer) = sync_channel(1);
        self.set_busy(true);
        let question = Question { input, reply };
        self.shared.questions.send(question).map_err(|_| End::PolicyFailed)?;
        loop {
            match answer.recv_timeout(GLANCE) {
                Ok(answer) => return Ok(answer),
                Err(RecvTimeoutError::Disconnected) => return Err(End::PolicyFailed),
                Err(RecvTimeoutError::Timeout) => self.glance()?,
            }
        }
    }

    /// Answers pings and notices the client's end, without waiting.
    fn glance(&mut self) -> Result<(), End> {
        if self.shared.phase() == Phase::Stopping {
            return Err(End::Stopping);
        }
        if self.early.is_none() {
            let patience = Duration::from_millis(1);
            let usual = self.socket.get_mut().set_patience(patience);
            self.early = self.read()?;
            self.socket.get_mut().set_patience(usual);
        }
        Ok(())
    }

    fn reply(&mut self, answer: Vec<u8>) -> Result<(), End> {
        self.send(Message::binary(answer))?;
        self.requests += 1;
        self.shared.statistics().requests += 1;
        self.last = Instant::now();
        Ok(())
    }

    fn send(&mut self, message: Message) -> Result<(), End> {
        self.socket.send(message).map_err(|error| broken(&error))
    }

    /// Sets whether batches wait for this client.
    fn set_busy(&mut self, is_busy: bool) {
        if is_busy != self.is_busy {
            self.is_busy = is_busy;
            match is_busy {
                true => self.shared.busy.fetch_add(1, Ordering::SeqCst),
                false => self.shared.busy.fetch_sub(1, Ordering::SeqCst),
            };
        }
    }

    /// Says goodbye and writes the line of the log.
    fn finish(&mut self, end: &End) {
        let reason = shortened(&end.to_string());
        let code = match end {
            End::Closed | End::Gone | End::Broken(_) => None,
            End::Idle(_) | End::Stopping => Some(CloseCode::Away),
            End::TooLong(_) => Some(CloseCode::Size),
            End::PolicyFailed | End::Refused(_) => Some(CloseCode::Error),
        };
        if matches!(end, End::PolicyFailed | End::TooLong(_)) {
            let _ = self.send(self.session.report(&Fault::fatal(end.to_string())));
        }
        let frame = code.map(|code| CloseFrame { code, reason: reason.as_str().into() });
        let has_frame = frame.is_some();
        if has_frame && self.socket.close(frame).is_ok() {
            self.socket.get_mut().linger(FAREWELL);
        }
        let (requests, chunks) = (plural(self.requests, "request"), plural(self.chunks, "chunk"));
        self.shared.log(&format!("{}: {requests}, {chunks}; {reason}", self.peer));
    }
}

impl Drop for Client<'_> {
    fn drop(&mut self) {
        self.set_busy(false);
    }
}

fn broken(error: &Error) -> End {
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => End::Closed,
        Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => {
            End::Gone
        }
        error => End::Broken(error.to_string()),
    }
}

/// Text of a client in one harmless line, short enough for a close frame.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 120;
    let line = printable_line(text);
    let end = (0..=LONGEST.min(line.len())).rev().find(|end| line.is_char_boundary(*end));
    let end = end.expect("0 is a boundary");
    if end == line.len() { line } else { format!("{}…", &line[..end]) }
}

/// A new client's session.
fn session_of(protocol: Protocol, served: &Arc<Served>) -> Box<dyn Session> {
    let served = Arc::clone(served);
    match protocol {
        Protocol::Openpi => Box::new(OpenPi::new(served)),
        Protocol::VlaEval => Box::new(VlaEval::new(served)),
    }
}
