//! A dialogue with a server in its protocol.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::ServerProtocol;
use super::connection::{Connection, Received};
use super::error::Fault;
use super::options::RemoteOptions;
use crate::frames::vla_eval::{Kind, Message, PROTOCOL_VERSION};
use crate::frames::{Value, openpi, vla_eval};
use crate::policy::PolicyInput;

/// How long an openpi server has to greet before the other protocol is tried.
const GREETING: Duration = Duration::from_millis(300);

/// A connection whose greeting is over.
pub(super) struct Session {
    connection: Connection,
    pub(super) protocol: ServerProtocol,
    /// What the server announced of itself.
    pub(super) greeting: Value,
    timeout: Duration,
    seq: i64,
    in_episode: bool,
}

impl Session {
    /// Connects and exchanges greetings; without a protocol, it is detected.
    pub(super) fn open(
        options: &RemoteOptions,
        protocol: Option<ServerProtocol>,
    ) -> Result<Self, Fault> {
        let mut connection =
            Connection::open(&options.address, options.key.as_deref(), options.max_message)?;
        let first = match protocol {
            Some(ServerProtocol::VlaEval) => None,
            Some(_) => Some(connection.receive(options.timeout)?),
            None => connection.receive_within(GREETING)?,
        };
        let (protocol, greeting) = match first {
            Some(first) => {
                let greeting = openpi_greeting(first)?;
                let is_roboarena = ["action_space", "n_external_cameras"]
                    .iter()
                    .all(|key| greeting.get(key).is_some());
                let detected = match is_roboarena {
                    true => ServerProtocol::Roboarena,
                    false => ServerProtocol::Openpi,
                };
                (protocol.unwrap_or(detected), greeting)
            }
            None => (ServerProtocol::VlaEval, Value::Nil),
        };
        let timeout = options.timeout;
        let mut session =
            Self { connection, protocol, greeting, timeout, seq: 0, in_episode: false };
        if protocol == ServerProtocol::VlaEval {
            session.hello(&options.benchmark)?;
        }
        Ok(session)
    }

    fn hello(&mut self, benchmark: &str) -> Result<(), Fault> {
        let payload = Value::map([
            ("harness_version", env!("CARGO_PKG_VERSION").into()),
            ("protocol_version", PROTOCOL_VERSION.into()),
            ("benchmark", format!("udvla-eval:{benchmark}").into()),
        ]);
        self.send_message(Kind::Hello, payload)?;
        let reply = self.receive_message(Kind::Hello)?;
        match reply.get("protocol_version").and_then(Value::as_int) {
            Some(PROTOCOL_VERSION) => {}
            version => {
                let version = version.map_or("none".into(), |version| version.to_string());
                return Err(Fault::Answer(format!(
                    "announces version {version} of vla-eval's protocol; this client speaks {PROTOCOL_VERSION}"
                )));
            }
        }
        self.greeting = reply;
        Ok(())
    }

    /// Whether the server keeps something per connection and episode.
    pub(super) fn is_stateful(&self) -> bool {
        match self.protocol {
            ServerProtocol::Roboarena | ServerProtocol::VlaEval => true,
            ServerProtocol::Openpi => {
                self.greeting.get("stateful").and_then(Value::as_bool) == Some(true)
            }
        }
    }

    /// Tells the server that an episode or, in CALVIN, a sub-task begins.
    pub(super) fn begin(&mut self, input: &PolicyInput) -> Result<(), Fault> {
        match self.protocol {
            ServerProtocol::Openpi => Ok(()),
            ServerProtocol::Roboarena => {
                let reset = Value::map([
                    ("endpoint", "reset".into()),
                    ("session_id", input.key.to_string().into()),
                ]);
                self.connection.send(openpi::encode(&reset), self.timeout)?;
                // It confirms with a text, whatever that says.
                self.connection.receive(self.timeout).map(drop)
            }
            ServerProtocol::VlaEval => {
                if self.in_episode {
                    let ended = Value::map([("metrics", Value::Map(vec![]))]);
                    self.send_message(Kind::EpisodeEnd, ended)?;
                }
                self.in_episode = true;
                let task = Value::map([
                    ("name", input.observation.instruction.as_ref().into()),
                    ("suite", input.key.suite.as_str().into()),
                    ("task_id", i64::from(input.key.task).into()),
                    ("episode_idx", i64::from(input.key.trial).into()),
                ]);
                self.send_message(Kind::EpisodeStart, Value::map([("task", task)]))
            }
        }
    }

    /// Sends an observation.
    pub(super) fn ask(&mut self, observation: Value) -> Result<(), Fault> {
        match self.protocol {
            ServerProtocol::Openpi | ServerProtocol::Roboarena => {
                self.connection.send(openpi::encode(&observation), self.timeout)
            }
            ServerProtocol::VlaEval => self.send_message(Kind::Observation, observation),
        }
    }

    /// The answer to the last observation.
    pub(super) fn answer(&mut self) -> Result<Value, Fault> {
        match self.protocol {
            ServerProtocol::Openpi | ServerProtocol::Roboarena => {
                match self.connection.receive(self.timeout)? {
                    Received::Bytes(bytes) => Ok(openpi::decode(&bytes)?),
                    Received::Text(text) => Err(failed(&text)),
                }
            }
            ServerProtocol::VlaEval => self.receive_message(Kind::Action),
        }
    }

    fn send_message(&mut self, kind: Kind, payload: Value) -> Result<(), Fault> {
        self.seq += 1;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let message = Message { kind, payload, seq: self.seq, timestamp: now.as_secs_f64() };
        self.connection.send(vla_eval::encode(&message), self.timeout)
    }

    /// The payload of the reply to the message sent last.
    fn receive_message(&mut self, expected: Kind) -> Result<Value, Fault> {
        let message = match self.connection.receive(self.timeout)? {
            Received::Bytes(bytes) => vla_eval::decode(&bytes)?,
            Received::Text(text) => return Err(failed(&text)),
        };
        if message.kind == Kind::Error {
            let text = message.payload.get("error").unwrap_or(&message.payload).to_string();
            return Err(Fault::Answer(format!("failed: {text}")));
        }
        if (message.kind, message.seq) != (expected, self.seq) {
            return Err(Fault::Answer(format!(
                "sent `{}` number {} where `{}` number {} was due",
                message.kind.name(),
                message.seq,
                expected.name(),
                self.seq
            )));
        }
        Ok(message.payload)
    }
}

fn openpi_greeting(first: Received) -> Result<Value, Fault> {
    let Received::Bytes(bytes) = first else {
        return Err(Fault::Answer("greets with text, which no known protocol does".into()));
    };
    match openpi::decode(&bytes)? {
        greeting @ Value::Map(_) => Ok(greeting),
        other => Err(Fault::Answer(format!("greets with {other}, not with a map of metadata"))),
    }
}

/// A text frame: openpi's servers send a traceback when they fail.
fn failed(text: &str) -> Fault {
    let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    Fault::Answer(format!("answered with text instead of actions: {}", Value::from(last.trim())))
}
