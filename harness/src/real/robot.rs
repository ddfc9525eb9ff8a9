//! A robot behind a WebSocket: it shows what it sees, and executes chunks of actions.
//!
//! The messages of openpi's protocol turned round: this side asks, the robot's side answers. The
//! robot speaks first, with a map of what it is; every request is a map with an `endpoint`.

use std::time::Duration;

use udvla_policies::frames::{Array, FrameError, Value, openpi};
use udvla_policies::remote::{Address, Connection, Fault, Received};
use udvla_sims::episode::EpisodeKey;
use udvla_sims::observation::{ActionChunk, Camera, Image, Observation, SimSpec};

/// Size of a message, at most: the largest images of all cameras that can be announced.
const MAX_MESSAGE: usize = 256 << 20;

/// Why a robot cannot be used any more. The trial says nothing about the policy.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum RobotError {
    #[error("`{address}` is not the address of a robot, which looks like ws://HOST:PORT: {why}")]
    Address { address: String, why: String },
    #[error("the robot at {address} {source}")]
    Connection { address: Address, source: Fault },
    #[error("the robot reports: {0}")]
    Reported(String),
    #[error("the message of the robot cannot be read")]
    Frame(#[from] FrameError),
    #[error("the robot's message {0}")]
    Content(String),
}

/// A connected robot.
pub struct Robot {
    connection: Connection,
    address: Address,
    /// Longest wait for an answer.
    timeout: Duration,
    /// What it calls itself.
    pub name: String,
    /// Its cameras, state and actions.
    pub spec: SimSpec,
}

/// What came of a chunk of actions.
#[derive(Debug)]
pub struct Moved {
    /// Control steps that were executed, from the chunk's first on.
    pub steps: usize,
    /// What the robot sees now; none if it ended the trial.
    pub observation: Option<Observation>,
}

impl Robot {
    /// Connects, and reads what the robot is. `timeout` bounds the wait for every answer.
    ///
    /// # Errors
    /// When nobody answers there, or with something else.
    pub fn connect(address: &str, timeout: Duration) -> Result<Self, RobotError> {
        let address: Address = address
            .parse()
            .map_err(|why| RobotError::Address { address: address.to_owned(), why })?;
        let connection = Connection::open(&address, None, MAX_MESSAGE)
            .map_err(|source| RobotError::Connection { address: address.clone(), source })?;
        let nothing = SimSpec { cameras: vec![], state: vec![], action: vec![], control_hz: 0.0 };
        let mut robot = Self { connection, address, timeout, name: String::new(), spec: nothing };
        let greeting = robot.receive()?;
        robot.name = text(&greeting, "robot")?;
        robot.spec = spec(&greeting)?;
        Ok(robot)
    }

    /// Announces a trial, and returns what the robot sees before it moves.
    ///
    /// # Errors
    /// When the robot cannot be used any more.
    pub fn begin(
        &mut self,
        key: &EpisodeKey,
        instruction: &str,
    ) -> Result<Observation, RobotError> {
        let reply = self.ask(Value::map([
            ("endpoint", "begin".into()),
            ("suite", Value::from(key.suite.as_str())),
            ("task", i64::from(key.task).into()),
            ("trial", i64::from(key.trial).into()),
            ("prompt", instruction.into()),
        ]))?;
        self.observation(&reply, instruction)
    }

    /// Executes a chunk.
    ///
    /// # Errors
    /// When the robot cannot be used any more.
    pub fn act(&mut self, chunk: &ActionChunk, prompt: &str) -> Result<Moved, RobotError> {
        let actions = Array::f32(&[chunk.steps(), chunk.width], &chunk.values)?;
        let reply =
            self.ask(Value::map([("endpoint", "act".into()), ("actions", actions.into())]))?;
        let steps = reply.get("steps").and_then(Value::as_int);
        let steps = steps.and_then(|steps| usize::try_from(steps).ok());
        let Some(steps) = steps.filter(|steps| *steps <= chunk.steps()) else {
            let text = format!("does not say how many of {} steps were executed", chunk.steps());
            return Err(RobotError::Content(text));
        };
        let done = reply.get("done").and_then(Value::as_bool).unwrap_or(false);
        if !done && steps == 0 {
            return Err(RobotError::Content("says that nothing was executed".into()));
        }
        let observation = if done { None } else { Some(self.observation(&reply, prompt)?) };
        Ok(Moved { steps, observation })
    }

    /// Ends a trial: the robot stops.
    ///
    /// # Errors
    /// When the robot cannot be used any more.
    pub fn stop(&mut self) -> Result<(), RobotError> {
        self.ask(Value::map([("endpoint", "stop".into())])).map(drop)
    }

    fn ask(&mut self, request: Value) -> Result<Value, RobotError> {
        let sent = self.connection.send(openpi::encode(&request), self.timeout);
        sent.map_err(|source| self.failed(source))?;
        self.receive()
    }

    fn receive(&mut self) -> Result<Value, RobotError> {
        match self.connection.receive(self.timeout) {
            Ok(Received::Bytes(bytes)) => Ok(openpi::decode(&bytes)?),
            Ok(Received::Text(text)) => Err(RobotError::Reported(text)),
            Err(source) => Err(self.failed(source)),
        }
    }

    fn failed(&self, source: Fault) -> RobotError {
        RobotError::Connection { address: self.address.clone(), source }
    }

    /// Images under `observation/CAMERA`, the state under `observation/state`.
    fn observation(&self, reply: &Value, instruction: &str) -> Result<Observation, RobotError> {
        let images = self.spec.cameras.iter().map(|camera| image(reply, camera));
        let images = images.collect::<Result<_, _>>()?;
        let state = match (self.spec.state.len(), array(reply, "observation/state")) {
            (0, Err(_)) => vec![],
            (count, found) => {
                let numbers = found?.numbers();
                if numbers.len() != count || numbers.iter().any(|number| !number.is_finite()) {
                    let text = format!(
                        "has a state of {} numbers, not {count} finite ones",
                        numbers.len()
                    );
                    return Err(RobotError::Content(text));
                }
                numbers.into_iter().map(|number| number as f32).collect()
            }
        };
        Ok(Observation { images, state, instruction: instruction.into(), stage: 0 })
    }
}

fn spec(greeting: &Value) -> Result<SimSpec, RobotError> {
    let cameras = list(greeting, "cameras")?.iter().map(|camera| {
        let size = |name: &str| {
            let size = camera.get(name).and_then(Value::as_int).and_then(|n| u32::try_from(n).ok());
            size.ok_or_else(|| RobotError::Content(format!("has a camera without `{name}`")))
        };
        let (height, width) = (size("height")?, size("width")?);
        Ok(Camera { name: text(camera, "name")?, height, width })
    });
    let names = |key: &str| -> Result<Vec<String>, RobotError> {
        let names = list(greeting, key)?.iter().map(|name| name.as_text().map(str::to_owned));
        let names: Option<Vec<String>> = names.collect();
        names.ok_or_else(|| RobotError::Content(format!("has no list of texts `{key}`")))
    };
    let hz = greeting.get("control_hz").and_then(Value::as_number).filter(|hz| *hz > 0.0);
    let hz = hz.ok_or_else(|| RobotError::Content("has no number `control_hz`".into()))?;
    let spec = SimSpec {
        cameras: cameras.collect::<Result<_, RobotError>>()?,
        state: names("state")?,
        action: names("action")?,
        control_hz: hz as f32,
    };
    udvla_sims::checks::check_spec(&spec)
        .map_err(|error| RobotError::Content(format!("says what cannot be: {error}")))?;
    Ok(spec)
}

fn text(map: &Value, key: &str) -> Result<String, RobotError> {
    let text = map.get(key).and_then(Value::as_text).map(str::to_owned);
    text.ok_or_else(|| RobotError::Content(format!("has no text `{key}`")))
}

fn list<'a>(map: &'a Value, key: &str) -> Result<&'a [Value], RobotError> {
    match map.get(key) {
        Some(Value::List(values)) => Ok(values),
        _ => Err(RobotError::Content(format!("has no list `{key}`"))),
    }
}

fn array<'a>(map: &'a Value, key: &str) -> Result<&'a Array, RobotError> {
    let array = map.get(key).and_then(Value::as_array);
    array.ok_or_else(|| RobotError::Content(format!("has no array `{key}`")))
}

fn image(reply: &Value, camera: &Camera) -> Result<Image, RobotError> {
    let Camera { name, height, width } = camera;
    let array = array(reply, &format!("observation/{name}"))?;
    if array.dtype() != "|u1" || array.shape() != [*height as usize, *width as usize, 3] {
        return Err(RobotError::Content(format!(
            "has {} of shape {:?} as camera `{name}`, not |u1 of shape [{height}, {width}, 3]",
            array.dtype(),
            array.shape()
        )));
    }
    Ok(Image { height: *height, width: *width, rgb: array.bytes().to_vec() })
}
