//! A policy server on loopback that behaves as a test wants.

use std::io::Write;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Message, WebSocket};
use udvla_policies::frames::vla_eval::{self, Kind};
use udvla_policies::frames::{Array, Value, openpi};

/// What is sent for a message.
pub enum Reply {
    Value(Value),
    Bytes(Vec<u8>),
    Text(String),
    /// Nothing, and the connection ends with this code and reason.
    Close(u16, &'static str),
    /// Bytes past the WebSocket, then the end.
    Raw(Vec<u8>),
    /// Nothing for this long.
    Late(Duration),
}

/// Replies to the message with this number, counted from 0 over all connections.
type Behavior = dyn Fn(usize, &Value) -> Reply + Send + Sync;

/// A server; its threads end with it.
pub struct TestServer {
    port: u16,
    stop: Arc<AtomicBool>,
    accepting: Option<std::thread::JoinHandle<()>>,
    open: Arc<Mutex<Vec<TcpStream>>>,
    /// Messages received.
    pub asked: Arc<AtomicUsize>,
}

impl TestServer {
    /// An openpi server with this metadata.
    pub fn openpi(
        port: u16,
        metadata: Value,
        behavior: impl Fn(usize, &Value) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let behavior: Arc<Behavior> = Arc::new(behavior);
        Self::start(port, move |socket, asked| {
            socket.send(Message::binary(openpi::encode(&metadata)))?;
            while let Ok(Message::Binary(bytes)) = socket.read() {
                let value = openpi::decode(&bytes).expect("a client's message");
                let number = asked.fetch_add(1, Ordering::SeqCst);
                reply(socket, behavior(number, &value), openpi::encode)?;
            }
            Ok(())
        })
    }

    /// An openpi server that always answers `steps` equal actions.
    pub fn steady(port: u16, steps: usize) -> Self {
        Self::openpi(port, Value::Map(vec![]), move |_, _| Reply::Value(chunk(steps, 0.5)))
    }

    /// A vla-eval server that answers single actions and notes what it is told; `hello` is added
    /// to its greeting.
    pub fn vla_eval(hello: Vec<(String, Value)>, told: Arc<Mutex<Vec<String>>>) -> Self {
        Self::start(0, move |socket, asked| {
            while let Ok(Message::Binary(bytes)) = socket.read() {
                let message = vla_eval::decode(&bytes).expect("a client's message");
                asked.fetch_add(1, Ordering::SeqCst);
                let told_of = message.payload.get("task").unwrap_or(&message.payload).to_string();
                let line = format!("{} {told_of}", message.kind.name());
                told.lock().unwrap().push(line);
                let payload = match message.kind {
                    Kind::Hello => {
                        let version = ("protocol_version".to_owned(), Value::Int(1));
                        Value::Map([vec![version], hello.clone()].concat())
                    }
                    Kind::Observation => {
                        let action = Array::f32(&[7], &[0.5; 7]).unwrap();
                        Value::map([("actions", action.into())])
                    }
                    _ => continue,
                };
                let kind = if message.kind == Kind::Hello { Kind::Hello } else { Kind::Action };
                let answer = vla_eval::Message { kind, payload, ..message };
                socket.send(Message::binary(vla_eval::encode(&answer)))?;
            }
            Ok(())
        })
    }

    fn start(
        port: u16,
        serve: impl Fn(&mut WebSocket<TcpStream>, &AtomicUsize) -> tungstenite::Result<()>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a free port");
        let port = listener.local_addr().unwrap().port();
        let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let open: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
        let serve = Arc::new(serve);
        let (stopped, count, connections) =
            (Arc::clone(&stop), Arc::clone(&asked), Arc::clone(&open));
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                connections.lock().unwrap().push(stream.try_clone().unwrap());
                let (serve, count) = (Arc::clone(&serve), Arc::clone(&count));
                std::thread::spawn(move || {
                    let config = WebSocketConfig::default();
                    if let Ok(mut socket) = tungstenite::accept_with_config(stream, Some(config)) {
                        let _ = serve(&mut socket, &count);
                    }
                });
            }
        });
        Self { port, stop, accepting: Some(accepting), open, asked }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// For `--policy`.
    pub fn address(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }
}

/// As if killed: connections are reset and the port is free.
impl Drop for TestServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        let _ = self.accepting.take().expect("it was started").join();
    }
}

/// An answer of `steps` actions whose numbers are all the same.
pub fn chunk(steps: usize, number: f32) -> Value {
    let actions = Array::f32(&[steps, 7], &vec![number; steps * 7]).unwrap();
    Value::map([("actions", actions.into())])
}

fn reply(
    socket: &mut WebSocket<TcpStream>,
    reply: Reply,
    encode: fn(&Value) -> Vec<u8>,
) -> tungstenite::Result<()> {
    match reply {
        Reply::Value(value) => socket.send(Message::binary(encode(&value))),
        Reply::Bytes(bytes) => socket.send(Message::binary(bytes)),
        Reply::Text(text) => socket.send(Message::text(text)),
        Reply::Close(code, reason) => {
            let frame =
                tungstenite::protocol::CloseFrame { code: code.into(), reason: reason.into() };
            socket.close(Some(frame))?;
            socket.flush()
        }
        Reply::Raw(bytes) => {
            socket.get_mut().write_all(&bytes)?;
            Ok(socket.get_mut().shutdown(Shutdown::Both)?)
        }
        Reply::Late(pause) => {
            std::thread::sleep(pause);
            Ok(())
        }
    }
}
