//! openpi's protocol: the server greets with metadata, then every message is an observation.

use std::sync::Arc;
use std::time::Duration;

use tungstenite::Message;
use udvla_policies::frames::{Array, Value, openpi};
use udvla_sims::episode::EpisodeKey;
use udvla_sims::observation::ActionChunk;

use super::observation::observation;
use super::session::{Asked, Fault, Served, Session, Step};

/// A client; the protocol has no episodes, so its calls are counted over the connection.
pub struct OpenPi {
    served: Arc<Served>,
    calls: u32,
    last_time: Option<Duration>,
}

impl OpenPi {
    /// A client that has sent nothing yet.
    pub fn new(served: Arc<Served>) -> Self {
        Self { served, calls: 0, last_time: None }
    }
}

impl Session for OpenPi {
    fn greeting(&self) -> Option<Vec<u8>> {
        let Served { names, cameras, chunk, action_width, title, .. } = &*self.served;
        let image = |(key, camera): (&&str, &udvla_sims::observation::Camera)| {
            let size = [camera.height, camera.width, 3].map(|side| Value::Int(side.into()));
            ((*key).to_owned(), Value::List(size.into()))
        };
        let images = names.openpi.iter().zip(cameras).map(image).collect();
        let metadata = Value::map([
            ("server", Value::from(title.as_str())),
            ("benchmark", names.benchmark.into()),
            ("images", Value::Map(images)),
            ("action_horizon", Value::Int((*chunk).into())),
            ("action_dim", Value::Int(*action_width as i64)),
        ]);
        Some(openpi::encode(&metadata))
    }

    fn receive(&mut self, message: &[u8]) -> Result<Step, Fault> {
        let fault = |text: String| Fault::fatal(text);
        let value =
            openpi::decode(message).map_err(|error| fault(format!("the message {error}")))?;
        if !matches!(value, Value::Map(_)) {
            return Err(fault(format!("an observation is a map, not {value}")));
        }
        let served = &self.served;
        let images: Vec<_> = served.names.openpi.iter().map(|key| (*key, value.get(key))).collect();
        let instruction = ("prompt", value.get("prompt"));
        let observation =
            observation(&served.cameras, &images, instruction, served.longest_instruction)
                .map_err(fault)?;
        let key = EpisodeKey { suite: "openpi".into(), task: 0, trial: 0 };
        let call = self.calls;
        self.calls += 1;
        Ok(Step::Ask(Box::new(Asked { key, call, observation })))
    }

    fn answer(&mut self, chunk: &ActionChunk, time: Duration) -> Vec<u8> {
        let shape = [chunk.steps(), chunk.width];
        let actions = Array::f32(&shape, &chunk.values).expect("a chunk has whole steps");
        let milliseconds = |time: Duration| Value::Float(time.as_secs_f64() * 1e3);
        let mut timing = vec![("infer_ms".to_owned(), milliseconds(time))];
        let last = self.last_time.replace(time);
        timing.extend(last.map(|last| ("prev_total_ms".to_owned(), milliseconds(last))));
        openpi::encode(&Value::map([
            ("actions", Value::Array(actions)),
            ("server_timing", Value::Map(timing)),
        ]))
    }

    /// Text, which openpi's client raises as an error.
    fn report(&self, fault: &Fault) -> Message {
        Message::text(fault.text.as_str())
    }

    fn is_in_episode(&self) -> bool {
        false
    }
}
