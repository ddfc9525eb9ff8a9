//! A policy drives a scripted robot.

use std::collections::BTreeMap;
use std::net::{TcpListener, TcpStream};

use tungstenite::{Message, WebSocket};
use udvla_policies::frames::{Array, Value, openpi};

use super::{Session, manifest};
use crate::support::{records, udvla};

/// Steps after which the scripted robot ends a trial.
const ROBOT_STEPS: i64 = 25;

/// A robot that sees one gray image, ends every trial after 25 steps, and reports a fault in the
/// `faulty` trial that it is asked for; returns its address.
fn scripted_robot(faulty: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("ws://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut trials = 0;
        for stream in listener.incoming() {
            let mut socket = tungstenite::accept(stream.unwrap()).unwrap();
            send(&mut socket, &greeting());
            while let Ok(Message::Binary(bytes)) = socket.read() {
                let request = openpi::decode(&bytes).unwrap();
                let endpoint = request.get("endpoint").unwrap().as_text().unwrap();
                if endpoint == "begin" {
                    assert!(request.get("prompt").unwrap().as_text().unwrap().contains("drawer"));
                    trials += 1;
                    played(&mut socket, 0, None);
                } else if endpoint == "act" && trials == faulty {
                    trials += 1;
                    socket.send(Message::text("protective stop")).unwrap();
                    break;
                } else if endpoint == "act" {
                    let actions = request.get("actions").unwrap().as_array().unwrap();
                    assert_eq!(actions.shape()[1], 12);
                    played(&mut socket, actions.shape()[0] as i64, Some(&mut trials));
                }
            }
        }
    });
    address
}

fn send(socket: &mut WebSocket<TcpStream>, value: &Value) {
    socket.send(Message::binary(openpi::encode(value))).unwrap();
}

fn greeting() -> Value {
    let names = |prefix: &str, count: usize| {
        Value::List((0..count).map(|index| Value::from(format!("{prefix}{index}"))).collect())
    };
    let camera =
        Value::map([("name", "static".into()), ("height", 4_i64.into()), ("width", 6_i64.into())]);
    Value::map([
        ("robot", "scripted UR5e".into()),
        ("cameras", Value::List(vec![camera])),
        ("state", names("q", 2)),
        ("action", names("a", 12)),
        ("control_hz", 15_i64.into()),
    ])
}

/// The reply to `begin` (`chunk` 0) or `act`: a chunk of 10 twice, the third one only to step 25.
fn played(socket: &mut WebSocket<TcpStream>, chunk: i64, acting: Option<&mut usize>) {
    thread_local!(static STEPS: std::cell::Cell<i64> = const { std::cell::Cell::new(0) });
    let before = if acting.is_some() { STEPS.get() } else { 0 };
    let steps = chunk.min(ROBOT_STEPS - before);
    STEPS.set(before + steps);
    let image = Array::u8(&[4, 6, 3], vec![127; 72]).unwrap();
    let state = Array::f32(&[2], &[before as f32, 0.5]).unwrap();
    send(
        socket,
        &Value::map([
            ("steps", steps.into()),
            ("done", (before + steps == ROBOT_STEPS).into()),
            ("observation/static", image.into()),
            ("observation/state", state.into()),
        ]),
    );
}

#[test]
fn a_scripted_robot_is_driven_and_its_fault_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let (run, tasks) = (folder.path().join("run"), folder.path().join("tasks.json"));
    let word = run.display().to_string();
    let idle = ["0"; 12].join(", ");
    let text = format!(
        r#"{{"suites": [{{"name": "drawer", "tasks": ["open the drawer", "close the drawer"],
        "trials": 3}}], "environment": {{"idle_action": [{idle}]}}}}"#
    );
    std::fs::write(&tasks, text).unwrap();
    let (robot, tasks) = (scripted_robot(3), tasks.display().to_string());
    let words = ["real", "--policy", "idle", "--robot", &robot, "--tasks", &tasks, "--out", &word];
    let session = Session::start(&words);
    let (code, printed) = session.finish(|question| match question.contains("press Enter") {
        true => String::new(),
        false => "s".into(),
    });
    assert_eq!(code, 0, "{printed}");
    let all = records(&run);
    assert_eq!(all.len(), 6);
    for record in all.values() {
        assert_eq!((record.success(), record.steps, record.calls), (Some(true), 25, 3));
        assert!(run.join(record.actions.as_ref().unwrap()).is_file());
        assert!(!record.truncated);
    }
    assert_eq!(all.values().filter(|record| record.attempts == 2).count(), 1);
    let lines = std::fs::read_to_string(run.join("episodes.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), 7);
    assert!(lines.contains("the robot reports: protective stop"), "{lines}");
    let subject = BTreeMap::from(manifest(&run).subject);
    assert_eq!((subject["policy"].as_str(), subject["chunk"].as_str()), ("idle", "10"));
    assert_eq!(BTreeMap::from(manifest(&run).setting)["robot"], "scripted UR5e");
}

#[test]
fn a_robot_that_cannot_be_driven_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (words, expected) in [
        (&["--policy", "idle", "--robot", "ws://127.0.0.1:9"][..], "idle_action"),
        (&["--policy", "random", "--robot", "ws://127.0.0.1:9"], "does not drive a robot"),
        (&["--policy", "idle"], "--robot ws://HOST:PORT"),
        (&["--name", "x", "--robot", "ws://127.0.0.1:9"], "act elsewhere"),
        (&[], "no name"),
    ] {
        let ended = udvla(&[&["real"][..], words].concat());
        assert_eq!(ended.code, 2, "{words:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(expected), "no `{expected}` in {}", ended.stderr);
    }
    let tasks = folder.path().join("tasks.json");
    let text = r#"{"suites": [{"name": "a", "tasks": ["x"], "trials": 1}],
        "environment": {"idle_action": [0, 0]}}"#;
    std::fs::write(&tasks, text).unwrap();
    let tasks = tasks.display().to_string();
    let out = folder.path().join("run");
    let word = out.display().to_string();
    let (robot, gone) = (scripted_robot(0), "ws://127.0.0.1:9".to_owned());
    for (robot, expected) in [
        (robot, "actions have 2 numbers"),
        (gone, "the robot at ws://127.0.0.1:9 refuses connections"),
    ] {
        let words =
            ["real", "--policy", "idle", "--robot", &robot, "--tasks", &tasks, "--out", &word];
        let ended = udvla(&words);
        assert_eq!(ended.code, 2, "{}", ended.stderr);
        assert!(ended.stderr.contains(expected), "no `{expected}` in {}", ended.stderr);
        assert!(!out.exists());
    }
}
