//! The policy that asks a server.

use std::time::{Duration, Instant};

use udvla_sims::episode::EpisodeKey;
use udvla_sims::identity::{Setting, Subject};

use super::actions::{self, Execute};
use super::error::{Fault, ServerError};
use super::greeting::{self, Wishes};
use super::observation::Context;
use super::options::RemoteOptions;
use super::session::Session;
use super::{Layout, ServerProtocol};
use crate::frames::Value;
use crate::policy::{Answer, Policy, PolicyError, PolicyInput, PolicySpec};

/// Longest pause between attempts at connecting.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Metadata that is stored as it is, in characters; more is stored as a digest.
const STORED: usize = 1000;

/// A policy on a server.
pub struct RemotePolicy {
    options: RemoteOptions,
    protocol: ServerProtocol,
    greeting: Value,
    wishes: Wishes,
    layout: Layout,
    execute: Execute,
    stateful: bool,
    seats: Vec<Seat>,
    spec: PolicySpec,
}

/// A connection, and for which part of which episode it was told to begin.
#[derive(Default)]
struct Seat {
    session: Option<Session>,
    episode: Option<(EpisodeKey, u16)>,
}

impl RemotePolicy {
    /// Connects and checks what the server announces.
    ///
    /// # Errors
    /// [`ServerError`] when there is no server, or it does not fit the benchmark.
    pub fn open(options: RemoteOptions) -> Result<Self, ServerError> {
        let address = options.address.to_string();
        Self::opened(options).map_err(|fault| fault.at(&address))
    }

    fn opened(options: RemoteOptions) -> Result<Self, Fault> {
        let session = Session::open(&options, options.protocol)?;
        let protocol = session.protocol;
        let bundled = || Layout::bundled(&options.benchmark, protocol);
        let layout = options.layout.clone().or_else(bundled).ok_or_else(|| {
            let benchmark = &options.benchmark;
            Fault::Answer(format!("needs a layout for `{benchmark}`: pass `--server-layout FILE`"))
        })?;
        let wishes = greeting::check(&session, &layout, &options.benchmark, &options.cameras)?;
        let stateful = session.is_stateful();
        let connections = options.connections.unwrap_or(options.simulators).max(1);
        if stateful && connections < options.simulators {
            return Err(Fault::Answer(format!(
                "keeps an episode per connection: {} for {connections} connections is too many simulators; pass `--workers {connections}`",
                options.simulators
            )));
        }
        let execute = match (options.execute, layout.execute) {
            (Some(steps), _) => Execute::Exactly(steps),
            (None, Some(steps)) => Execute::AtMost(steps),
            (None, None) => Execute::Whole,
        };
        let spec = spec(&options, &session, &layout, execute);
        let greeting = session.greeting.clone();
        let mut seats: Vec<Seat> = (0..connections).map(|_| Seat::default()).collect();
        seats[0].session = Some(session);
        Ok(Self { options, protocol, greeting, wishes, layout, execute, stateful, seats, spec })
    }

    /// What the server announced.
    pub fn greeting(&self) -> &Value {
        &self.greeting
    }

    /// Connects again, for as long as patience lasts.
    fn reopened(&self) -> Result<Session, Fault> {
        let start = Instant::now();
        let mut pause = Duration::from_millis(100);
        loop {
            let fault = match Session::open(&self.options, Some(self.protocol)) {
                Ok(session) if session.greeting == self.greeting => return Ok(session),
                Ok(session) => {
                    return Err(Fault::Answer(format!(
                        "is another one than at the start of the run: it announces {}, and announced {}",
                        session.greeting, self.greeting
                    )));
                }
                Err(fault @ Fault::Answer(_)) => return Err(fault),
                Err(Fault::Lost(what)) => what,
            };
            let left = self.options.patience.saturating_sub(start.elapsed());
            if left.is_zero() {
                let seconds = self.options.patience.as_secs_f64();
                return Err(Fault::Answer(format!("{fault}; tried again for {seconds} s")));
            }
            std::thread::sleep(pause.min(left));
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Sends an input's observation on its seat's connection.
    fn ask(&mut self, input: &PolicyInput) -> Result<(), Trouble> {
        let index = input.seat % self.seats.len();
        let context = Context {
            layout: &self.layout,
            protocol: self.protocol,
            wishes: &self.wishes,
            cameras: &self.options.cameras,
        };
        let mut message = context.message(input)?;
        if self.seats[index].session.is_none() {
            let session = self.reopened()?;
            self.seats[index] = Seat { session: Some(session), episode: None };
        }
        let Seat { session, episode } = &mut self.seats[index];
        let session = session.as_mut().expect("it was opened above");
        if self.stateful {
            let part = (input.key.clone(), input.observation.stage);
            let begins = input.call == 0 || episode.as_ref() != Some(&part);
            let continues = episode.as_ref().is_some_and(|(key, _)| *key == input.key);
            if input.call > 0 && !continues {
                let what = "lost what it knew of the episode with its connection";
                return Err(Fault::Lost(what.into()).into());
            }
            if begins {
                session.begin(input)?;
                *episode = Some(part);
            }
            if self.protocol == ServerProtocol::Openpi {
                add(&mut message, "episode", described(input, begins));
            }
        }
        if self.protocol == ServerProtocol::Roboarena {
            add(&mut message, "endpoint", "infer".into());
            add(&mut message, "session_id", input.key.to_string().into());
        }
        Ok(session.ask(message)?)
    }

    fn answer(&mut self, input: &PolicyInput) -> Result<Answer, Trouble> {
        let index = input.seat % self.seats.len();
        let session = self.seats[index].session.as_mut().expect("it was asked");
        let answer = session.answer()?;
        let chunk = actions::chunk(&answer, &self.layout, self.execute)?;
        Ok(Answer::Chunk(chunk.into()))
    }

    /// The answer for an input whose server was lost; any other trouble ends the batch.
    fn lost(&mut self, input: &PolicyInput, trouble: Trouble) -> Result<Answer, PolicyError> {
        let address = self.options.address.to_string();
        // What a broken connection still delivers would answer another question.
        let index = input.seat % self.seats.len();
        self.seats[index] = Seat::default();
        match trouble {
            Trouble::Server(fault @ Fault::Lost(_)) => {
                Ok(Answer::Lost(fault.at(&address).to_string()))
            }
            Trouble::Server(fault) => Err(PolicyError::Model(fault.at(&address).to_string())),
            Trouble::Policy(error) => Err(error),
        }
    }

    /// Answers inputs of different seats: all are sent before the first answer is waited for, so
    /// that a server can batch them.
    fn round(&mut self, inputs: &[&PolicyInput]) -> Result<Vec<Answer>, PolicyError> {
        let asked: Vec<_> = inputs.iter().map(|input| self.ask(input)).collect();
        let answer = |(input, asked): (&&PolicyInput, Result<(), Trouble>)| {
            let answer = asked.and_then(|()| self.answer(input));
            answer.or_else(|trouble| self.lost(input, trouble))
        };
        inputs.iter().zip(asked).map(answer).collect()
    }
}

/// Why an input has no answer yet.
enum Trouble {
    Server(Fault),
    Policy(PolicyError),
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Self::Server(fault)
    }
}

impl From<PolicyError> for Trouble {
    fn from(error: PolicyError) -> Self {
        Self::Policy(error)
    }
}

impl Policy for RemotePolicy {
    fn spec(&self) -> &PolicySpec {
        &self.spec
    }

    fn infer(&mut self, batch: &[PolicyInput]) -> Result<Vec<Answer>, PolicyError> {
        let seats = self.seats.len();
        let mut answers: Vec<Option<Answer>> = vec![None; batch.len()];
        while answers.iter().any(Option::is_none) {
            let mut taken = vec![false; seats];
            let mut is_free =
                |input: &PolicyInput| !std::mem::replace(&mut taken[input.seat % seats], true);
            let open = (0..batch.len()).filter(|row| answers[*row].is_none());
            let rows: Vec<usize> = open.filter(|row| is_free(&batch[*row])).collect();
            let inputs: Vec<&PolicyInput> = rows.iter().map(|row| &batch[*row]).collect();
            for (row, answer) in rows.iter().zip(self.round(&inputs)?) {
                answers[*row] = Some(answer);
            }
        }
        Ok(answers.into_iter().flatten().collect())
    }
}

fn add(message: &mut Value, key: &str, value: Value) {
    if let Value::Map(fields) = message {
        fields.push((key.into(), value));
    }
}

/// What a stateful server of this project is told of the episode.
fn described(input: &PolicyInput, begins: bool) -> Value {
    let PolicyInput { key, call, observation, .. } = input;
    Value::map([
        ("suite", key.suite.as_str().into()),
        ("task", i64::from(key.task).into()),
        ("trial", i64::from(key.trial).into()),
        ("stage", i64::from(observation.stage).into()),
        ("call", i64::from(*call).into()),
        ("begins", begins.into()),
    ])
}

fn spec(
    options: &RemoteOptions,
    session: &Session,
    layout: &Layout,
    execute: Execute,
) -> PolicySpec {
    let metadata = greeting::json(&session.greeting).to_string();
    let metadata = match metadata.chars().count() {
        0..=STORED => metadata,
        _ => super::layout::sha256(metadata.as_bytes()),
    };
    let chunk = match execute {
        Execute::Whole => None,
        Execute::AtMost(steps) | Execute::Exactly(steps) => Some(steps),
    };
    let other = [
        ("server", session.protocol.name().into()),
        ("server_address", options.address.to_string()),
        ("server_layout", layout.digest()),
        ("server_metadata", metadata),
    ];
    PolicySpec {
        name: options.name.clone(),
        cameras: if layout.images.is_empty() { vec![] } else { options.cameras.clone() },
        chunk: chunk.unwrap_or(1),
        action_width: layout.action_width,
        subject: Subject {
            policy: Some(options.name.clone()),
            chunk,
            other: other.map(|(name, value): (&str, String)| (name.into(), value)).into(),
            ..Subject::default()
        },
        setting: Setting::default(),
    }
}
