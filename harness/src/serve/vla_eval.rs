//! vla-eval's protocol: the client greets, names its episodes, and wants one action per message.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tungstenite::Message;
use udvla_policies::frames::vla_eval::{self, Kind, PROTOCOL_VERSION};
use udvla_policies::frames::{Array, Value};
use udvla_sims::episode::EpisodeKey;
use udvla_sims::observation::ActionChunk;

use super::observation::observation;
use super::session::{Asked, Fault, Served, Session, Step};

/// A client with its episode and the rest of the last chunk.
pub struct VlaEval {
    served: Arc<Served>,
    key: EpisodeKey,
    calls: u32,
    is_in_episode: bool,
    instruction: String,
    /// Actions that were not executed yet.
    rest: VecDeque<Vec<f32>>,
    /// Number of the observation that is being answered.
    seq: i64,
}

impl VlaEval {
    /// A client that has sent nothing yet.
    pub fn new(served: Arc<Served>) -> Self {
        let key = EpisodeKey { suite: "vla-eval".into(), task: 0, trial: 0 };
        let (instruction, rest) = (String::new(), VecDeque::new());
        Self { served, key, calls: 0, is_in_episode: false, instruction, rest, seq: 0 }
    }

    fn hello(&self, payload: &Value, seq: i64) -> Result<Step, Fault> {
        let version = payload.get("protocol_version").and_then(Value::as_int);
        if version != Some(PROTOCOL_VERSION) {
            let found = payload.get("protocol_version").map_or("none".into(), Value::to_string);
            return Err(Fault {
                seq,
                ..Fault::fatal(format!(
                    "this server speaks version {PROTOCOL_VERSION} of vla-eval's protocol, the client {found}"
                ))
            });
        }
        let word = |key: &str| payload.get(key).and_then(Value::as_text).unwrap_or("?").to_owned();
        let words = format!("vla-eval {}, {}", word("harness_version"), word("benchmark"));
        Ok(Step::Hello(message(Kind::Hello, self.introduction(), seq), words))
    }

    /// What the client configures its benchmark with, and compares with it.
    fn introduction(&self) -> Value {
        let Served { names, title, .. } = &*self.served;
        let parameters = names.parameters.iter();
        let parameters = parameters.map(|(name, value)| ((*name).to_owned(), Value::Bool(*value)));
        let [rotation, gripper] = names.formats;
        let images = names.vla_eval.iter();
        let images = images.map(|key| ((*key).to_owned(), spec("image", 0, "rgb_hwc_uint8")));
        let language = ("language".to_owned(), spec("language", 0, "language"));
        Value::map([
            ("harness_version", concat!("udvla-eval ", env!("CARGO_PKG_VERSION")).into()),
            ("protocol_version", Value::Int(PROTOCOL_VERSION)),
            ("model_server", Value::from(title.as_str())),
            // Results of other harnesses are never to be taken for those of our own protocols.
            ("label", "vla-eval protocol".into()),
            ("capabilities", Value::Map(vec![])),
            ("observation_params", Value::Map(parameters.collect())),
            (
                "action_spec",
                Value::map([
                    ("position", spec("position", 3, "delta_xyz")),
                    ("rotation", spec("rotation", 3, rotation)),
                    ("gripper", spec("gripper", 1, gripper)),
                ]),
            ),
            ("observation_spec", Value::Map(images.chain([language]).collect())),
        ])
    }

    fn start(&mut self, payload: &Value) {
        self.key = episode_key(self.served.names.benchmark, payload.get("task"));
        self.calls = 0;
        self.rest.clear();
        self.is_in_episode = true;
    }

    fn observe(&mut self, payload: &Value, seq: i64) -> Result<Step, Fault> {
        let served = &self.served;
        let empty = Value::Map(vec![]);
        let all = payload.get("images").unwrap_or(&empty);
        let images: Vec<_> = served.names.vla_eval.iter().map(|key| (*key, all.get(key))).collect();
        let instruction = ("task_description", payload.get("task_description"));
        let observation =
            observation(&served.cameras, &images, instruction, served.longest_instruction);
        let observation = observation.map_err(|text| Fault {
            text: format!("observation_failed: ValueError: {text}"),
            ends: false,
            seq,
        })?;
        let restarts = payload.get("episode_restart").and_then(Value::as_bool) == Some(true);
        // A new sub-task: actions for the last one are not executed.
        if restarts || *observation.instruction != *self.instruction {
            self.rest.clear();
            self.instruction = observation.instruction.as_ref().to_owned();
        }
        self.seq = seq;
        if !self.rest.is_empty() {
            return Ok(Step::Known(self.next_action()));
        }
        let call = self.calls;
        self.calls += 1;
        Ok(Step::Ask(Box::new(Asked { key: self.key.clone(), call, observation })))
    }

    fn next_action(&mut self) -> Vec<u8> {
        let action = self.rest.pop_front().expect("asked for only when there is one");
        let action = Array::f32(&[action.len()], &action).expect("as many numbers as it has");
        message(Kind::Action, Value::map([("actions", Value::Array(action))]), self.seq)
    }
}

impl Session for VlaEval {
    fn greeting(&self) -> Option<Vec<u8>> {
        None
    }

    fn receive(&mut self, bytes: &[u8]) -> Result<Step, Fault> {
        let received = vla_eval::decode(bytes)
            .map_err(|error| Fault::fatal(format!("the message {error}")))?;
        let vla_eval::Message { kind, payload, seq, .. } = received;
        match kind {
            Kind::Hello => self.hello(&payload, seq),
            Kind::EpisodeStart => {
                self.start(&payload);
                Ok(Step::Nothing)
            }
            Kind::Observation => self.observe(&payload, seq),
            Kind::EpisodeEnd => {
                self.is_in_episode = false;
                self.rest.clear();
                Ok(Step::Nothing)
            }
            Kind::Action | Kind::Error => {
                let text = format!("a client sends no `{}`: {payload}", kind.name());
                Err(Fault { seq, ..Fault::fatal(text) })
            }
        }
    }

    fn answer(&mut self, chunk: &ActionChunk, _: Duration) -> Vec<u8> {
        let actions = chunk.values.chunks_exact(chunk.width);
        self.rest = actions.map(|action| self.served.names.to_vla_eval(action)).collect();
        self.next_action()
    }

    fn report(&self, fault: &Fault) -> Message {
        let payload = Value::map([("error", Value::from(fault.text.as_str()))]);
        Message::binary(message(Kind::Error, payload, fault.seq))
    }

    fn is_in_episode(&self) -> bool {
        self.is_in_episode
    }
}

fn message(kind: Kind, payload: Value, seq: i64) -> Vec<u8> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let timestamp = since.unwrap_or_default().as_secs_f64();
    vla_eval::encode(&vla_eval::Message { kind, payload, seq, timestamp })
}

fn spec(name: &str, dims: i64, format: &str) -> Value {
    Value::map([
        ("name", Value::from(name)),
        ("dims", Value::Int(dims)),
        ("format", Value::from(format)),
    ])
}

/// The key of an episode: for LIBERO and CALVIN that of the same initial state in our own runs, so
/// that its noise is the same.
fn episode_key(benchmark: &str, task: Option<&Value>) -> EpisodeKey {
    let field = |name: &str| task.and_then(|task| task.get(name));
    let word = |name: &str| field(name).and_then(Value::as_text);
    let number = |name: &str| {
        let number = field(name).and_then(Value::as_int);
        number.and_then(|number| u16::try_from(number).ok())
    };
    let suite = match (benchmark, word("suite")) {
        ("calvin", _) => "abcd-d",
        (_, Some("libero_10")) => "long",
        (_, Some(suite)) => suite.strip_prefix("libero_").unwrap_or(suite),
        (_, None) => word("name").unwrap_or("vla-eval"),
    };
    let trial = number("seq_idx").or_else(|| number("episode_idx")).unwrap_or(0);
    EpisodeKey { suite: suite.to_owned(), task: number("task_id").unwrap_or(0), trial }
}
