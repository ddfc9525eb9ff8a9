//! Servers that break a protocol: lost connections are retried, wrong answers stop the run, and no
//! episode is lost or counted as a failure.

use std::time::Duration;

use udvla_policies::frames::{Array, Value, openpi};
use udvla_results::run::record::Status;

use super::remote;
use super::server::{Reply, TestServer, chunk};

type Fault = fn() -> Reply;

fn actions(array: Array) -> Reply {
    Reply::Value(Value::map([("actions", array.into())]))
}

/// A frame header for `length` bytes of binary data, and fewer bytes.
fn cut(length: u16, sent: usize) -> Reply {
    let [high, low] = length.to_be_bytes();
    Reply::Raw([vec![0x82, 126, high, low], vec![0x81; sent]].concat())
}

fn damaged(place: usize, byte: u8) -> Reply {
    let mut bytes = openpi::encode(&chunk(10, 0.5));
    bytes[place] = byte;
    Reply::Bytes(bytes)
}

fn ending(end: usize) -> Reply {
    Reply::Bytes(openpi::encode(&chunk(10, 0.5))[..end].to_vec())
}

fn with_number(number: f32) -> Reply {
    let mut numbers = [0.5; 70];
    numbers[23] = number;
    actions(Array::f32(&[10, 7], &numbers).unwrap())
}

/// Faults after which the episode is played again.
const LOST: [(&str, Fault); 14] = [
    ("closed the connection (code 1000)", || Reply::Close(1000, "")),
    ("closed the connection (code 1001: going away)", || Reply::Close(1001, "going away")),
    ("closed the connection (code 1011: out of memory)", || Reply::Close(1011, "out of memory")),
    ("closed the connection (code 1012: restart)", || Reply::Close(1012, "restart")),
    ("closed the connection (code 1013: busy)", || Reply::Close(1013, "busy")),
    ("closed the connection", || Reply::Raw(vec![])),
    ("closed the connection", || Reply::Raw(vec![0x82])),
    ("closed the connection", || Reply::Raw(vec![0x82, 126, 1])),
    ("closed the connection", || cut(5000, 0)),
    ("closed the connection", || cut(5000, 1)),
    ("closed the connection", || cut(5000, 4999)),
    ("closed the connection", || Reply::Raw(vec![0x81, 5, b'e'])),
    ("did not answer in time", || Reply::Late(Duration::from_secs(3))),
    ("did not answer in time", || Reply::Late(Duration::from_secs(8))),
];

/// Faults that stop the run.
const WRONG: [(&str, Fault); 36] = [
    ("instead of actions: \"KeyError: 'prompt'\"", || {
        Reply::Text("Traceback (most recent call last):\n  …\nKeyError: 'prompt'\n\n".into())
    }),
    ("answered with text instead of actions: \"\"", || Reply::Text(String::new())),
    ("answered with text instead of actions", || Reply::Text("x".repeat(100_000))),
    ("is too large", || Reply::Bytes(vec![0; 17 << 20])),
    ("is too large", || Reply::Raw([&[0x82, 127][..], &[0, 0, 1, 0, 0, 0, 0, 0]].concat())),
    ("broke the WebSocket protocol", || Reply::Raw(vec![0xff; 64])),
    ("broke the WebSocket protocol", || Reply::Raw(vec![0x82, 0x81, 0, 0, 0, 0, 1])),
    ("broke the WebSocket protocol", || Reply::Raw(vec![0x83, 1, 0])),
    ("broke the WebSocket protocol", || Reply::Raw(vec![0xc2, 1, 0])),
    ("broke the WebSocket protocol", || Reply::Raw(vec![0x80, 1, 0])),
    ("UTF-8", || Reply::Raw(vec![0x81, 2, 0xff, 0xfe])),
    ("ends in the middle of a value, at byte 0", || Reply::Bytes(vec![])),
    ("ends in the middle of a value, at byte 1", || ending(1)),
    ("ends in the middle of a value, at byte 60", || ending(60)),
    ("ends in the middle of a value", || Reply::Bytes(vec![0xdf, 0xff, 0xff, 0xff, 0xff])),
    ("goes on after its value, at byte 1", || Reply::Bytes(vec![0xc0, 0xc0])),
    ("nests values more than 32 deep", || Reply::Bytes(vec![0x91; 1000])),
    ("has more than 100000 values", || {
        Reply::Bytes([vec![0xdd, 0, 0x10, 0, 0], vec![0xc0; 1 << 20]].concat())
    }),
    ("an extension type", || Reply::Bytes(vec![0xd4, 1, 2])),
    ("a key that is not text", || Reply::Bytes(vec![0x81, 1, 2])),
    ("which has no `actions`", || damaged(2, b'x')),
    ("null, which has no `actions`", || Reply::Value(Value::Nil)),
    ("[], which has no `actions`", || Reply::Value(Value::List(vec![]))),
    ("{}, which has no `actions`", || Reply::Value(Value::Map(vec![]))),
    ("`actions` as null, not as numbers", || Reply::Value(Value::map([("actions", Value::Nil)]))),
    ("`actions` as \"left\", not as numbers", || {
        Reply::Value(Value::map([("actions", "left".into())]))
    }),
    ("actions of shape [1, 0], needed is [steps, 7]", || {
        Reply::Value(Value::map([("actions", Value::List(vec![Value::List(vec![])]))]))
    }),
    ("actions of shape [10, 8], needed is [steps, 7]", || {
        actions(Array::f32(&[10, 8], &[0.0; 80]).unwrap())
    }),
    ("actions of shape [6], needed is [steps, 7]", || {
        actions(Array::f32(&[6], &[0.0; 6]).unwrap())
    }),
    ("actions of shape [0, 7], needed is [steps, 7]", || {
        actions(Array::f32(&[0, 7], &[]).unwrap())
    }),
    ("actions of shape [], needed is [steps, 7]", || actions(Array::f32(&[], &[0.0]).unwrap())),
    ("actions of shape [2, 1, 7], needed is [steps, 7]", || {
        actions(Array::f32(&[2, 1, 7], &[0.0; 14]).unwrap())
    }),
    ("NaN as number 2 of step 3, needed are finite numbers", || with_number(f32::NAN)),
    ("inf as number 2 of step 3, needed are finite numbers", || with_number(f32::INFINITY)),
    ("-inf as number 2 of step 3, needed are finite numbers", || with_number(f32::NEG_INFINITY)),
    ("an array that cannot be", || {
        let fields = [("__ndarray__", Value::Bool(true)), ("data", Value::Bytes(vec![0; 4]))];
        let mut bytes = openpi::encode(&Value::map([("actions", Value::map(fields))]));
        // Keys of bytes instead of text: the same lengths with other markers.
        let position = bytes.windows(1).position(|byte| byte == [0xab]).unwrap();
        bytes.splice(position..=position, [0xc4, 0x0b]);
        Reply::Bytes(bytes)
    }),
];

fn server(fault: Fault) -> TestServer {
    TestServer::openpi(0, Value::Map(vec![]), move |number, _| match number {
        2 => fault(),
        _ => Reply::Value(chunk(10, 0.5)),
    })
}

const WORDS: [&str; 4] = ["--limit=2", "--workers=1", "--answer-timeout=1", "--max-message=16MiB"];

#[test]
fn lost_connections_cost_an_attempt_and_nothing_else() {
    for (index, (expected, fault)) in LOST.into_iter().enumerate() {
        let server = server(fault);
        let (run, _layout) = remote(&server.address(), &WORDS);
        let ended = run.go();
        assert_eq!(ended.code, 0, "{index} {expected}: {}", ended.stderr);
        let told = ended.stderr.lines().filter(|line| line.contains("it will be tried again"));
        let told: Vec<_> = told.collect();
        assert!(told.len() == 1 && told[0].contains(expected), "{index} {expected}: {told:?}");
        let records = run.records();
        assert!(records.values().all(|record| record.status == Status::Ok), "{expected}");
        assert_eq!(records.len(), 2, "{expected}");
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    }
}

#[test]
fn wrong_answers_stop_the_run_with_both_values_and_lose_no_episode() {
    for (index, (expected, fault)) in WRONG.into_iter().enumerate() {
        let server = server(fault);
        let (run, _layout) = remote(&server.address(), &WORDS);
        let ended = run.go();
        assert_eq!(ended.code, 5, "{index} {expected}: {}", ended.stderr);
        assert!(ended.stderr.contains(expected), "{index} {expected}: {}", ended.stderr);
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
        // Its later answers are sound.
        let resumed = run.resume();
        assert_eq!(resumed.code, 0, "{index} {expected}: {}", resumed.stderr);
        let records = run.records();
        assert!(records.values().all(|record| record.status == Status::Ok), "{expected}");
        assert_eq!(records.len(), 2, "{expected}");
    }
}

#[test]
fn an_episode_that_always_loses_the_server_is_an_error_of_its_own_kind() {
    // The instruction of the first of the two tasks brings the server down, whenever it is asked.
    let server = TestServer::openpi(0, Value::Map(vec![]), |_, observation| {
        let prompt = observation.get("prompt").and_then(Value::as_text).unwrap_or_default();
        match prompt.contains("tomato sauce") {
            true => Reply::Close(1011, "poison"),
            false => Reply::Value(chunk(10, 0.5)),
        }
    });
    let (run, _layout) = remote(&server.address(), &WORDS);
    let ended = run.go();
    assert_eq!(ended.code, 4, "{}", ended.stderr);
    let records = run.records();
    let failed: Vec<_> = records.values().filter(|it| it.status == Status::Error).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!((failed[0].error_kind.as_deref(), failed[0].attempts), (Some("server"), 2));
    assert_eq!(failed[0].success(), None);
}
