//! Clients of both protocols, and their observations.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use tungstenite::stream::MaybeTlsStream;
use tungstenite::{Message, WebSocket};
use udvla_policies::frames::vla_eval::{self, Kind};
use udvla_policies::frames::{Array, Value, openpi};

/// A connection.
pub struct Client {
    pub socket: WebSocket<MaybeTlsStream<TcpStream>>,
    seq: i64,
}

impl Client {
    pub fn connect(address: &str) -> Self {
        let (socket, _) = tungstenite::connect(format!("ws://{address}")).expect("a connection");
        let MaybeTlsStream::Plain(stream) = socket.get_ref() else {
            panic!("no TLS was asked for")
        };
        stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        Self { socket, seq: 0 }
    }

    /// With openpi's greeting read.
    pub fn openpi(address: &str) -> Self {
        let mut client = Self::connect(address);
        let metadata = openpi::decode(&client.binary()).unwrap();
        assert!(metadata.get("action_horizon").is_some(), "{metadata}");
        client
    }

    pub fn send(&mut self, bytes: Vec<u8>) {
        self.socket.send(Message::binary(bytes)).expect("the server takes the message");
    }

    pub fn binary(&mut self) -> Vec<u8> {
        match self.socket.read().expect("an answer") {
            Message::Binary(bytes) => bytes.to_vec(),
            other => panic!("{other:?}"),
        }
    }

    /// The numbers that an observation is answered with, in openpi's protocol.
    pub fn chunk(&mut self, observation: &Value) -> Vec<f64> {
        self.send(openpi::encode(observation));
        let answer = openpi::decode(&self.binary()).unwrap();
        let actions = answer.get("actions").and_then(Value::as_array).expect("actions");
        assert!(answer.get("server_timing").is_some(), "{answer}");
        assert_eq!((actions.dtype(), actions.shape()[1]), ("<f4", 7));
        actions.numbers()
    }

    /// Sends a message of vla-eval's protocol.
    pub fn tell(&mut self, kind: Kind, payload: Value) {
        self.seq += 1;
        let message = vla_eval::Message { kind, payload, seq: self.seq, timestamp: 1.5 };
        self.send(vla_eval::encode(&message));
    }

    /// The answer to a message of vla-eval's protocol.
    pub fn ask(&mut self, kind: Kind, payload: Value) -> vla_eval::Message {
        self.tell(kind, payload);
        let answer = vla_eval::decode(&self.binary()).unwrap();
        assert_eq!(answer.seq, self.seq);
        answer
    }

    /// The action that an observation is answered with, in vla-eval's protocol.
    pub fn act(&mut self, observation: Value) -> Vec<f64> {
        let answer = self.ask(Kind::Observation, observation);
        assert_eq!(answer.kind, Kind::Action, "{}", answer.payload);
        let actions = answer.payload.get("actions").and_then(Value::as_array).expect("actions");
        assert_eq!(actions.shape(), [7]);
        actions.numbers()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.socket.close(None);
        let _ = self.socket.flush();
    }
}

/// An image that depends on a number.
pub fn image(side: usize, number: usize) -> Value {
    let bytes = (0..3 * side * side).map(|index| (index * (number + 3) / 7) as u8).collect();
    Value::Array(Array::u8(&[side, side, 3], bytes).unwrap())
}

/// An observation of LIBERO in openpi's protocol.
pub fn observation(number: usize) -> Value {
    Value::map([
        ("observation/image", image(256, number)),
        ("observation/wrist_image", image(256, number + 100)),
        ("observation/state", Value::Array(Array::f64(&[8], &[0.5; 8]).unwrap())),
        ("prompt", Value::from(format!("take object {number}"))),
    ])
}

/// An observation of vla-eval's protocol with images of these names and sizes.
pub fn vla_eval_observation(images: [(&str, usize); 2], number: usize, words: &str) -> Value {
    let image = |(name, side)| (name, image(side, number));
    Value::map([
        ("images", Value::map(images.map(image))),
        ("task_description", Value::from(words)),
    ])
}

/// The reply to a request as text, the head included.
pub fn http(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut reply = vec![];
    let _ = stream.read_to_end(&mut reply);
    String::from_utf8_lossy(&reply).into_owned()
}
