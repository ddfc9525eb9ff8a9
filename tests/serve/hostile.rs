//! Clients that send what they should not, or nothing: each gets a clear message, the others their
//! answers.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tungstenite::Message;
use udvla_eval::clients::{self, Protocol};
use udvla_eval::exit::Exit;
use udvla_eval::run::batcher::Closing;
use udvla_eval::serve::{Bound, Options, Served, Server};
use udvla_policies::frames::vla_eval::{self, Kind};
use udvla_policies::frames::{Array, Value, openpi};
use udvla_policies::{Answer, Policy, PolicyError, PolicyInput, PolicySpec, weightless};
use udvla_sims::observation::Camera;

use crate::client::{Client, http, image, observation, vla_eval_observation};

/// Panics of a server's threads.
static PANICS: AtomicUsize = AtomicUsize::new(0);

fn count_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or_default();
        if ["client-", "policy-", "listener"].iter().any(|own| name.starts_with(own)) {
            PANICS.fetch_add(1, Ordering::SeqCst);
        }
        usual(info);
    }));
}

/// A policy that does nothing.
fn idle_policy() -> Box<dyn Policy> {
    weightless::open("idle", &udvla_sims::protocol::Protocol::libero()).unwrap().unwrap()
}

/// A policy that fails.
struct Failing(Box<dyn Policy>);

impl Policy for Failing {
    fn spec(&self) -> &PolicySpec {
        self.0.spec()
    }

    fn infer(&mut self, _: &[PolicyInput]) -> Result<Vec<Answer>, PolicyError> {
        Err(PolicyError::Model("no memory is left".into()))
    }
}

/// A server whose policy does nothing, for the images of LIBERO.
fn idle(protocol: Protocol, change: impl FnOnce(&mut Options)) -> (Server, String) {
    start(idle_policy(), protocol, change)
}

fn start(
    policy: Box<dyn Policy>,
    protocol: Protocol,
    change: impl FnOnce(&mut Options),
) -> (Server, String) {
    let camera = |name: &str| Camera { name: name.into(), height: 256, width: 256 };
    let served = Served {
        names: clients::find("libero").unwrap(),
        cameras: vec![camera("agentview"), camera("eye_in_hand")],
        chunk: 10,
        action_width: 7,
        longest_instruction: Some(60),
        title: "a test".into(),
    };
    let mut options = Options {
        protocol,
        token: None,
        max_connections: 4,
        max_message: 1 << 20,
        message_timeout: Duration::from_millis(500),
        idle_timeout: Duration::from_secs(600),
        closing: Closing { max_rows: 8, wait: None },
        seed: 0,
        log: false,
    };
    change(&mut options);
    let bound = Bound::new("127.0.0.1:0".parse().unwrap()).unwrap();
    let server = Server::start(bound, vec![policy], served, options).unwrap();
    let address = server.address.to_string();
    (server, address)
}

/// What a server answers to one message: the text of its report, and the code of its end.
fn refusal(address: &str, protocol: Protocol, message: Message) -> (String, Option<u16>) {
    let mut client = match protocol {
        Protocol::Openpi => Client::openpi(address),
        Protocol::VlaEval => Client::connect(address),
    };
    // A server that refuses a message may end before the last of its bytes.
    let _ = client.socket.send(message);
    let mut text = String::new();
    loop {
        match client.socket.read() {
            Ok(Message::Text(report)) => text += report.as_str(),
            Ok(Message::Binary(bytes)) => {
                let answer = vla_eval::decode(&bytes).expect("openpi reports faults as text");
                assert_eq!(answer.kind, Kind::Error);
                text += answer.payload.get("error").and_then(Value::as_text).unwrap();
                if text.starts_with("observation_failed") {
                    return (text, None);
                }
            }
            Ok(Message::Close(frame)) => return (text, frame.map(|frame| frame.code.into())),
            other => panic!("{other:?} after `{text}`"),
        }
    }
}

/// The observation with one field exchanged.
fn with(mut observation: Value, key: &str, value: Option<Value>) -> Value {
    let Value::Map(fields) = &mut observation else { unreachable!() };
    fields.retain(|(name, _)| name != key);
    fields.extend(value.map(|value| (key.to_owned(), value)));
    observation
}

/// Messages that are wrong in either protocol, with a word of what is reported.
fn broken_frames() -> Vec<(Vec<u8>, &'static str)> {
    let nested = [vec![0x91; 100_000], vec![0xc0]].concat();
    // An array of 4294967295 values, of which none follows.
    vec![
        (vec![], "ends"),
        (vec![0xc1], ""),
        (vec![0xdd, 0xff, 0xff, 0xff, 0xff], "ends"),
        (nested, "deep"),
        (vec![0xdc, 0xff, 0xff].into_iter().chain([0xc0; 65535]).collect(), ""),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "goes on after its value"),
        (vec![0x81, 0x01, 0xc0], "a key that is not text"),
        ((0..255).cycle().take(5000).collect(), ""),
    ]
}

#[test]
fn every_faulty_message_is_refused_with_a_reason_and_the_next_client_is_answered() {
    count_panics();
    let (_server, address) = idle(Protocol::Openpi, |_| {});
    let good = || observation(1);
    let image_of = |dtype: &str, shape: &[usize], bytes: usize| {
        Some(Value::Array(Array::new(dtype, shape.to_vec(), vec![0; bytes]).unwrap()))
    };
    let faulty = |key: &str, value, reason: &'static str| {
        (openpi::encode(&with(good(), key, value)), reason)
    };
    let (first, prompt) = ("observation/image", "prompt");
    let cases = [
        faulty(first, None, "`observation/image` is missing"),
        faulty(first, Some(Value::Int(3)), "`observation/image` is 3"),
        faulty(first, image_of("|u1", &[256, 256], 65536), "of shape [256, 256]; expected"),
        faulty(first, image_of("|u1", &[3, 8, 8], 192), "of shape [3, 8, 8]"),
        faulty(first, image_of("<f4", &[8, 8, 3], 768), "<f4 of shape"),
        faulty(first, image_of("|u1", &[0, 8, 3], 0), "of shape [0, 8, 3]"),
        faulty(first, image_of("|u1", &[5000, 1, 3], 15000), "of shape [5000, 1, 3]"),
        faulty("observation/wrist_image", Some(Value::Nil), "`observation/wrist_image` is null"),
        faulty(prompt, None, "`prompt` is missing; expected text"),
        faulty(prompt, Some(Value::Bytes(vec![7])), "`prompt` is 1 bytes"),
        faulty(prompt, Some(Value::from("x".repeat(61))), "60 tokens fit the model"),
        faulty(prompt, Some(Value::from("\u{e9}".repeat(15))), "60 tokens fit the model"),
        (openpi::encode(&Value::List(vec![])), "a map, not []"),
    ];
    let cases = cases.into_iter().chain(broken_frames());
    let cases = cases.map(|(bytes, reason)| (Message::binary(bytes), reason));
    let more = [
        (Message::text("hello"), "messages are binary"),
        (Message::binary(vec![0; (1 << 20) + 1]), "--max-message"),
    ];
    let mut count = 0;
    for (message, reason) in cases.chain(more) {
        let (text, code) = refusal(&address, Protocol::Openpi, message);
        assert!(text.contains(reason) && text.len() > 10, "no `{reason}` in: {text}");
        assert!(matches!(code, Some(1011 | 1009)), "{code:?}: {text}");
        assert_eq!(Client::openpi(&address).chunk(&good()).len(), 70);
        count += 1;
    }
    assert_eq!((count, PANICS.load(Ordering::SeqCst)), (23, 0));
}

#[test]
fn faulty_messages_of_vla_eval_are_answered_in_its_own_form() {
    count_panics();
    let (_server, address) = idle(Protocol::VlaEval, |_| {});
    let see = || vla_eval_observation([("agentview", 256), ("wrist", 256)], 1, "go");
    let message = |kind, payload| {
        vla_eval::encode(&vla_eval::Message { kind, payload, seq: 3, timestamp: 0.0 })
    };
    let bomb = {
        // A PNG that announces 60000 x 60000 pixels.
        let mut bytes = vec![];
        let mut encoder = png::Encoder::new(&mut bytes, 60000, 60000);
        encoder.set_color(png::ColorType::Rgb);
        encoder.write_header().unwrap();
        let fields = [
            ("__image__", Value::Bool(true)),
            ("format", "png".into()),
            ("data", Value::Bytes(bytes)),
            ("shape", Value::List([60000, 60000, 3].map(Value::Int).into())),
        ];
        let images = Value::map([("agentview", Value::map(fields)), ("wrist", image(256, 2))]);
        with(see(), "images", Some(images))
    };
    let other_version = Value::map([("protocol_version", Value::Int(2))]);
    let no_text = with(see(), "task_description", Some(Value::Float(0.5)));
    let cases = [
        (message(Kind::Observation, bomb), "image that cannot be read"),
        (message(Kind::Hello, other_version), "version 1 of vla-eval's protocol, the client 2"),
        (message(Kind::Action, see()), "a client sends no `action`"),
        (message(Kind::Observation, no_text), "`task_description` is 0.5; expected text"),
        (vec![0x80], "`type` is missing"),
        (
            openpi::encode(&Value::map([("type", "observation")].map(|(k, v)| (k, v.into())))),
            "payload",
        ),
    ];
    let cases = cases.into_iter().chain(broken_frames());
    let cases = cases.map(|(bytes, reason)| (Message::binary(bytes), reason));
    let mut count = 0;
    for (message, reason) in cases.chain([(Message::text("{}"), "messages are binary")]) {
        let (text, code) = refusal(&address, Protocol::VlaEval, message);
        assert!(text.contains(reason) && text.len() > 10, "no `{reason}` in: {text}");
        assert_eq!(code.is_none(), text.starts_with("observation_failed"), "{text}");
        assert_eq!(Client::connect(&address).act(see())[6], -1.0);
        count += 1;
    }
    assert_eq!((count, PANICS.load(Ordering::SeqCst)), (15, 0));
}

#[test]
fn requests_that_are_no_upgrade_are_answered_and_half_ones_end() {
    count_panics();
    let (_server, address) = idle(Protocol::Openpi, |_| {});
    let long = format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(20_000));
    for (request, status) in [
        ("POST / HTTP/1.1\r\n\r\n", "405"),
        ("\u{1}\u{2}\u{3}\r\n\r\n", "400"),
        ("GET / HTTP/1.0\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", "400"),
        (&long, "431"),
    ] {
        let reply = http(&address, request);
        assert!(reply.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {reply}");
    }
    // A request that comes byte by byte, and one that never ends.
    for pause in [20, 700] {
        let mut slow = TcpStream::connect(&address).unwrap();
        slow.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let begun = Instant::now();
        for byte in b"GET / HTTP/1.1\r\nHost: abcdefghijklmnopqrstuvwxyz".iter().cycle() {
            std::thread::sleep(Duration::from_millis(pause));
            if slow.write_all(&[*byte]).is_err() || begun.elapsed() > Duration::from_secs(5) {
                break;
            }
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "the server waits without end");
    }
    assert_eq!(Client::openpi(&address).chunk(&observation(2)).len(), 70);
    assert_eq!(PANICS.load(Ordering::SeqCst), 0);
}

#[test]
fn slow_silent_and_vanished_clients_hold_nothing_up() {
    count_panics();
    let limit = |options: &mut Options| options.idle_timeout = Duration::from_secs(2);
    let (_server, address) = idle(Protocol::Openpi, limit);
    // Half a message, then nothing; the others are answered meanwhile.
    let mut half = Client::openpi(&address);
    let bytes = openpi::encode(&observation(1));
    let stream = |client: &Client| match client.socket.get_ref() {
        tungstenite::stream::MaybeTlsStream::Plain(stream) => stream.try_clone().unwrap(),
        _ => unreachable!(),
    };
    let header = [0x82, 0xfe, 0xff, 0xff, 0, 0, 0, 0];
    stream(&half).write_all(&[&header[..], &bytes[..100]].concat()).unwrap();
    // A client that is gone before its answer.
    let mut gone = Client::openpi(&address);
    gone.send(bytes.clone());
    stream(&gone).shutdown(std::net::Shutdown::Both).unwrap();
    drop(gone);
    // Three clients are connected at most beside the silent one: places are given back.
    let mut silent = Client::openpi(&address);
    for _ in 0..6 {
        assert_eq!(Client::openpi(&address).chunk(&observation(3)).len(), 70);
    }
    // The server ends both: the slow one after its half second, the silent one after two.
    let mut rest = vec![];
    let begun = Instant::now();
    let _ = stream(&half).read_to_end(&mut rest);
    assert!(begun.elapsed() < Duration::from_secs(10));
    let Ok(Message::Close(Some(frame))) = silent.socket.read() else { panic!("no goodbye") };
    assert!(frame.reason.contains("no message came for 2 s"), "{}", frame.reason);
    assert!(half.socket.read().is_err());
    // Pings are answered while a client waits, and a close is answered with a close.
    let mut client = Client::openpi(&address);
    client.socket.send(Message::Ping(vec![1, 2].into())).unwrap();
    let pong = client.socket.read().unwrap();
    assert_eq!(pong, Message::Pong(vec![1, 2].into()));
    client.socket.close(None).unwrap();
    assert!(matches!(client.socket.read(), Ok(Message::Close(_))));
    assert_eq!(PANICS.load(Ordering::SeqCst), 0);
}

#[test]
fn clients_are_told_when_the_policy_fails_and_the_server_gives_up() {
    let (server, address) = start(Box::new(Failing(idle_policy())), Protocol::Openpi, |_| {});
    let ended = std::thread::spawn(|| server.run().unwrap());
    let mut other = Client::openpi(&address);
    let message = Message::binary(openpi::encode(&observation(1)));
    let (text, code) = refusal(&address, Protocol::Openpi, message);
    assert_eq!((text.as_str(), code), ("the policy failed", Some(1011)));
    let goodbye = other.socket.read().unwrap();
    let Message::Close(Some(frame)) = goodbye else { panic!("{goodbye:?}") };
    assert_eq!(u16::from(frame.code), 1001);
    assert_eq!(ended.join().unwrap(), Exit::GaveUp);
}
