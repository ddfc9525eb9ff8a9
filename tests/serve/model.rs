//! The small checkpoint behind `serve`: answers, batches, episodes, the end.

use std::path::Path;
use std::sync::Arc;

use tungstenite::Message;
use udvla_eval::images::resize;
use udvla_policies::frames::Value;
use udvla_policies::frames::vla_eval::Kind;
use udvla_policies::udvla::{DecodingOptions, UdVla, UdVlaOptions};
use udvla_policies::{Answer, Policy as _, PolicyInput};
use udvla_sims::episode::EpisodeKey;
use udvla_sims::observation::{Image, Observation};

use crate::client::{Client, http, image, observation, vla_eval_observation};
use crate::program::Program;
use crate::support::{Checkpoint, udvla, wait_for};

const CLIENTS: usize = 8;
const CALLS: usize = 3;
const LIBERO: [(&str, usize); 2] = [("agentview", 256), ("wrist", 256)];
const CALVIN: [(&str, usize); 2] = [("rgb_static", 200), ("rgb_gripper", 200)];

/// The chunks that client `number` gets.
fn chunks(address: &str, number: usize) -> Vec<Vec<f64>> {
    let mut client = Client::openpi(address);
    (0..CALLS).map(|call| client.chunk(&observation(10 * number + call))).collect()
}

#[test]
fn eight_clients_get_the_answers_that_each_gets_alone_in_batches_above_three_rows() {
    let checkpoint = Checkpoint::make();
    let server = Program::start("openpi", "libero", &checkpoint.word(), &[]);
    let alone: Vec<_> = (0..CLIENTS).map(|number| chunks(&server.address, number)).collect();
    let (code, log) = server.stop();
    assert_eq!(code, 0, "{log}");
    assert!(log.contains("8 connections, 24 requests, 24 chunks in 24 batches of 1.0"), "{log}");
    let server = Program::start("openpi", "libero", &checkpoint.word(), &[]);
    let address = &server.address;
    let together: Vec<_> = std::thread::scope(|scope| {
        let client = |number| scope.spawn(move || chunks(address, number));
        let clients: Vec<_> = (0..CLIENTS).map(client).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    assert_eq!(together, alone);
    assert_eq!(alone[0][0].len(), 70);
    let mut distinct: Vec<_> = alone.concat();
    distinct.sort_by(|a, b| a.partial_cmp(b).unwrap());
    distinct.dedup();
    assert_eq!(distinct.len(), CLIENTS * CALLS, "the answers do not depend on the observation");
    let (code, log) = server.stop();
    assert_eq!(code, 0, "{log}");
    let rows = log.split("batches of ").nth(1).and_then(|rest| rest.split(' ').next());
    let rows: f64 = rows.unwrap_or_else(|| panic!("{log}")).parse().unwrap();
    assert!(rows > 3.0, "{log}");
    assert!(log.contains("(p50)") && log.matches("; the client closed it").count() == 8, "{log}");
}

/// The chunk of our own evaluation for these images in an episode.
fn own_chunk(
    (checkpoint, benchmark): (&Path, &str),
    (key, call): (EpisodeKey, u32),
    images: Vec<Image>,
    words: &str,
) -> Vec<f32> {
    let options = UdVlaOptions {
        benchmark: benchmark.into(),
        device: "cpu".into(),
        decoding: DecodingOptions { denoise_steps: Some(2), ..DecodingOptions::default() },
        ..UdVlaOptions::default()
    };
    let mut policy = UdVla::open(checkpoint, &options).unwrap();
    let observation =
        Observation { images, state: vec![], instruction: Arc::from(words), stage: 0 };
    let answers =
        policy.infer(&[PolicyInput { key, call, seed: 0, seat: 0, observation }]).unwrap();
    let [Answer::Chunk(decision)] = &answers[..] else { panic!("{answers:?}") };
    decision.actions.values.clone()
}

/// An image as the policy takes it.
fn own_image(value: &Value) -> Image {
    let array = value.as_array().unwrap();
    let side = array.shape()[0] as u32;
    Image { height: side, width: side, rgb: array.bytes().to_vec() }
}

fn numbers(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

fn start_episode(client: &mut Client, suite: &str, task: i64, trial: i64) {
    let task = Value::map([
        ("name", Value::from("a task")),
        ("suite", Value::from(suite)),
        ("task_id", Value::Int(task)),
        ("episode_idx", Value::Int(trial)),
    ]);
    client.tell(Kind::EpisodeStart, Value::map([("task", task)]));
}

#[test]
fn an_episode_of_vla_eval_gets_the_actions_and_the_noise_of_our_own_evaluation() {
    let checkpoint = Checkpoint::make();
    let server = Program::start("vla-eval", "libero", &checkpoint.word(), &[]);
    let mut client = Client::connect(&server.address);
    let hello = Value::map([
        ("harness_version", Value::from("0.8.0")),
        ("protocol_version", Value::Int(1)),
        ("benchmark", Value::from("a:B")),
    ]);
    let hello = client.ask(Kind::Hello, hello);
    assert_eq!(hello.payload.get("label"), Some(&Value::from("vla-eval protocol")));
    let parameters = hello.payload.get("observation_params").unwrap();
    assert_eq!(parameters.get("send_wrist_image"), Some(&Value::Bool(true)));
    let chunk = |trial, call, number, words| {
        let key = EpisodeKey { suite: "long".into(), task: 3, trial };
        let images = LIBERO.map(|(_, side)| own_image(&image(side, number))).to_vec();
        let values = own_chunk((&checkpoint.path(), "libero"), (key, call), images, words);
        numbers(&values)
    };
    let see = |number, words| vla_eval_observation(LIBERO, number, words);
    start_episode(&mut client, "libero_10", 3, 17);
    let first: Vec<f64> = (0..10).flat_map(|step| client.act(see(step, "go"))).collect();
    assert_eq!(first, chunk(17, 0, 0, "go"));
    let second = chunk(17, 1, 10, "go");
    assert_eq!(client.act(see(10, "go")), second[..7]);
    assert_eq!(client.act(see(11, "go")), second[7..14]);
    // Another instruction, and a sub-task that begins: the rest of the chunk is dropped.
    assert_eq!(client.act(see(12, "stop")), chunk(17, 2, 12, "stop")[..7]);
    let Value::Map(mut restart) = see(13, "stop") else { unreachable!() };
    restart.push(("episode_restart".into(), Value::Bool(true)));
    assert_eq!(client.act(Value::Map(restart)), chunk(17, 3, 13, "stop")[..7]);
    // Another episode begins without the rest of the last one and with its own noise.
    start_episode(&mut client, "libero_10", 3, 18);
    assert_eq!(client.act(see(14, "stop")), chunk(18, 0, 14, "stop")[..7]);
    // A faulty observation is answered, and the episode goes on.
    let refused = client.ask(Kind::Observation, Value::map([("task_description", "go".into())]));
    assert_eq!(refused.kind, Kind::Error);
    let text = refused.payload.get("error").and_then(Value::as_text).unwrap().to_owned();
    assert!(text.starts_with("observation_failed: ") && text.contains("`agentview` is missing"));
    assert_eq!(client.act(see(15, "stop")), chunk(18, 0, 14, "stop")[7..14]);
    // Ctrl-C waits for the running episode.
    server.interrupt();
    wait_for(|| server.log().contains("stopping after"), "the interrupt");
    assert_eq!(client.act(see(16, "stop")), chunk(18, 0, 14, "stop")[14..21]);
    client.tell(Kind::EpisodeEnd, Value::map([("metrics", Value::Map(vec![]))]));
    let goodbye = client.socket.read().unwrap();
    let Message::Close(Some(frame)) = goodbye else { panic!("{goodbye:?}") };
    assert_eq!(u16::from(frame.code), 1001);
    let (code, log) = server.ended();
    assert_eq!(code, 0, "{log}");
    assert!(log.contains("vla-eval 0.8.0, a:B"), "{log}");
    assert!(log.contains("1 connection, 17 requests, 5 chunks in 5 batches"), "{log}");
    assert!(log.contains("1 message refused"), "{log}");
}

#[test]
fn calvins_client_gets_metres_and_radians_and_its_gripper_image_is_resized() {
    let checkpoint = Checkpoint::make();
    let server = Program::start("vla-eval", "calvin", &checkpoint.word(), &[]);
    assert!(server.log().contains("resizes both images"), "{}", server.log());
    let mut client = Client::connect(&server.address);
    let task = Value::map([("name", Value::from("seq_0007")), ("seq_idx", Value::Int(7))]);
    client.tell(Kind::EpisodeStart, Value::map([("task", task)]));
    let action = client.act(vla_eval_observation(CALVIN, 5, "open the drawer"));
    let key = EpisodeKey { suite: "abcd-d".into(), task: 0, trial: 7 };
    let [all, gripper] = CALVIN.map(|(_, side)| own_image(&image(side, 5)));
    let images = vec![all, resize(&gripper, [84, 84])];
    let own = own_chunk((&checkpoint.path(), "calvin"), (key, 0), images, "open the drawer");
    let scales = [0.02_f32, 0.02, 0.02, 0.05, 0.05, 0.05, 1.0];
    let expected: Vec<f32> = own[..7].iter().zip(scales).map(|(own, scale)| own * scale).collect();
    assert_eq!(action, numbers(&expected));
    assert!(expected[..6].iter().any(|number| *number != 0.0), "{expected:?}");
}

#[test]
fn probes_tokens_and_limits_are_answered_before_the_upgrade() {
    let checkpoint = Checkpoint::make();
    let token = checkpoint.path().join("token");
    std::fs::write(&token, "0123456789abcdef\n").unwrap();
    let token = token.display().to_string();
    let words = ["--token-file", &token, "--max-connections", "1"];
    let server = Program::start("openpi", "libero", &checkpoint.word(), &words);
    let get = |path: &str, lines: &str| {
        http(&server.address, &format!("GET {path} HTTP/1.1\r\nHost: a\r\n{lines}\r\n"))
    };
    assert!(get("/healthz", "").starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(get("/healthz", "").ends_with("\r\n\r\nOK\n"));
    assert!(get("/health", "").ends_with("\r\n\r\n{\"status\": \"ok\"}\n"));
    assert!(get("/", "").starts_with("HTTP/1.1 426 "));
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let with = |lines: &str| get("/", &format!("{upgrade}{lines}"));
    assert!(with("").starts_with("HTTP/1.1 401 "));
    assert!(with("Authorization: Api-Key 0123456789abcdeX\r\n").starts_with("HTTP/1.1 401 "));
    assert!(with("Origin: http://a\r\n").starts_with("HTTP/1.1 403 "));
    let shown = |scheme: &str| {
        let request = tungstenite::http::Request::get(format!("ws://{}", server.address))
            .header("Host", "a")
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header("Authorization", format!("{scheme} 0123456789abcdef"));
        tungstenite::connect(request.body(()).unwrap())
    };
    let client = shown("Api-Key").expect("the token is right");
    let full = shown("Bearer").expect_err("one client is allowed").to_string();
    assert!(full.contains("503"), "{full}");
    drop(client);
    wait_for(|| shown("Bearer").is_ok(), "the place of the first client");
    let (code, log) = server.stop();
    assert_eq!(code, 0, "{log}");
    assert!(log.contains("401 for `/`") && log.contains("503 for `/`"), "{log}");
    let taken = Program::start("openpi", "libero", &checkpoint.word(), &[]);
    let port = taken.address.rsplit_once(':').unwrap().1;
    let words = ["serve", "--protocol", "openpi", "--benchmark", "libero", "--port", port];
    let ended = udvla(&[&words[..], &["--checkpoint", &checkpoint.word()]].concat());
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("cannot listen on 127.0.0.1"), "{}", ended.stderr);
}

#[test]
fn what_cannot_be_served_is_refused_with_what_to_do() {
    let checkpoint = Checkpoint::make();
    let refused = |words: &[&str], expected: &[&str]| {
        let ended = udvla(&[&["serve", "--protocol", "vla-eval", "--port", "0"], words].concat());
        assert_eq!(ended.code, 2, "{}{}", ended.stdout, ended.stderr);
        for text in expected {
            assert!(ended.stderr.contains(text), "no `{text}` in: {}", ended.stderr);
        }
    };
    let own = ["--checkpoint", &checkpoint.word(), "--benchmark", "libero"];
    let with = |words: &[&'static str]| [&own[..], words].concat();
    refused(&["--checkpoint", "/nowhere", "--benchmark", "libero"], &["/nowhere", "hint: "]);
    refused(&["--checkpoint", &checkpoint.word(), "--benchmark", "toy"], &["calvin", "simpler"]);
    refused(&with(&["--token-file", "/nowhere"]), &["token in `/nowhere`", "openssl"]);
    refused(&with(&["--host", "192.0.2.1"]), &["cannot listen on 192.0.2.1:0", "--host"]);
    refused(&with(&["--decoding", "ar", "--sampler", "paper"]), &["--sampler"]);
}
