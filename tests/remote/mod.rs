//! Policies on servers: what is asked, what is recorded, and what becomes of a server that fails.

mod faults;
mod packages;
mod server;

use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use server::{Reply, TestServer, chunk};
use udvla_policies::frames::Value;
use udvla_results::run::record::Status;
use udvla_sims::protocol::Protocol;

use crate::support::{Run, assert_same_outcomes, udvla, wait_for};

/// For the fake simulator, whose images are `32 x 32` and whose state is one number.
const LAYOUT: &str = r#"{
    "images": [{ "key": "observation/image", "camera": "agentview", "size": [48, 64] }],
    "state": { "key": "observation/state", "type": "f64", "numbers": [0] },
    "instruction": "prompt", "execute": 5, "action_width": 7
}"#;

/// A layout file that lives as long as the value.
struct LayoutFile(tempfile::NamedTempFile);

impl LayoutFile {
    fn new() -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), LAYOUT).unwrap();
        Self(file)
    }

    fn word(&self) -> String {
        self.0.path().display().to_string()
    }
}

/// `udvla-eval libero` on the fake simulator with the policy at `address`.
fn remote(address: &str, words: &[&str]) -> (Run, LayoutFile) {
    let layout = LayoutFile::new();
    let file = layout.word();
    let base = ["--policy", address, "--server-layout", &file, "--suite", "long", "--trials", "1"];
    (Run::fake(&[&base[..], words].concat()), layout)
}

#[test]
fn a_server_gets_what_its_layout_names_and_the_subject_says_who_answered() {
    let seen: Arc<Mutex<Vec<Value>>> = Arc::default();
    let notes = Arc::clone(&seen);
    let metadata = Value::map([("model", "pi0".into())]);
    let server = TestServer::openpi(0, metadata, move |_, observation| {
        notes.lock().unwrap().push(observation.clone());
        Reply::Value(chunk(10, 0.5))
    });
    let (run, _layout) = remote(&server.address(), &["--policy-name", "pi0 tuned", "--workers=3"]);
    let ended = run.go();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let records = run.records();
    assert_eq!(records.len(), 10);
    // Five of ten steps are executed, so that most calls play five.
    for record in records.values() {
        assert_eq!(record.status, Status::Ok, "{record:?}");
        assert_eq!(record.calls, record.steps.div_ceil(5), "{record:?}");
    }
    let first = &seen.lock().unwrap()[0];
    let image = first.get("observation/image").and_then(Value::as_array).unwrap();
    assert_eq!((image.dtype(), image.shape()), ("|u1", &[48, 64, 3][..]));
    let state = first.get("observation/state").and_then(Value::as_array).unwrap();
    assert_eq!((state.dtype(), state.numbers()), ("<f8", vec![0.0]));
    let prompt = first.get("prompt").and_then(Value::as_text).unwrap();
    let protocol = Protocol::libero();
    let tasks = &protocol.suite("long").unwrap().tasks;
    assert!(tasks.iter().any(|task| task == prompt), "{prompt}");
    let subject = run.manifest().subject;
    assert_eq!((subject.policy.as_deref(), subject.chunk), (Some("pi0 tuned"), Some(5)));
    for (name, value) in [
        ("server", "openpi".to_owned()),
        ("server_address", server.address()),
        ("server_metadata", r#"{"model":"pi0"}"#.to_owned()),
    ] {
        assert_eq!(subject.other.get(name), Some(&value), "{name}");
    }
    assert!(subject.other["server_layout"].starts_with("sha256:"));
    assert!(ended.stdout.contains("pi0 tuned"), "{}", ended.stdout);
}

#[test]
fn stored_actions_replay_without_the_server() {
    let server = TestServer::steady(0, 10);
    let (run, _layout) = remote(&server.address(), &["--limit=2"]);
    assert_eq!(run.go().code, 0);
    drop(server);
    let replayed = udvla(&["replay", &run.directory().display().to_string()]);
    assert_eq!(replayed.code, 0, "{}{}", replayed.stdout, replayed.stderr);
}

#[test]
fn a_server_that_is_killed_and_started_again_costs_retries_and_no_episode() {
    let calm = TestServer::steady(0, 10);
    let (undisturbed, _layout) = remote(&calm.address(), &["--workers=2"]);
    assert_eq!(undisturbed.go().code, 0);
    let server = TestServer::steady(0, 10);
    let port = server.port();
    let words = ["--workers=2", "--sim-option=step_ms=3"];
    let (run, _layout) = remote(&server.address(), &words);
    let mut child = run.start().unwrap();
    let asked = Arc::clone(&server.asked);
    wait_for(|| asked.load(std::sync::atomic::Ordering::SeqCst) >= 8, "some questions");
    drop(server);
    std::thread::sleep(Duration::from_secs(1));
    let server = TestServer::steady(port, 10);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_same_outcomes(&undisturbed.records(), &run.records());
    assert!(run.records().values().any(|record| record.attempts > 1), "nothing was retried");
    drop(server);
}

#[test]
fn a_server_that_is_killed_for_good_ends_the_run_which_can_be_resumed() {
    let server = TestServer::steady(0, 10);
    let port = server.port();
    let words = ["--workers=2", "--sim-option=step_ms=3", "--reconnect=1"];
    let (run, _layout) = remote(&server.address(), &words);
    let child = piped(&run);
    let asked = Arc::clone(&server.asked);
    wait_for(|| asked.load(std::sync::atomic::Ordering::SeqCst) >= 8, "some questions");
    drop(server);
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{stderr}");
    assert!(stderr.contains("refuses connections; tried again for 1 s"), "{stderr}");
    assert!(run.records().values().all(|record| record.status == Status::Ok));
    let _server = TestServer::steady(port, 10);
    let resumed = run.resume();
    assert_eq!(resumed.code, 0, "{}", resumed.stderr);
    assert_eq!(run.records().len(), 10);
    assert!(run.records().values().all(|record| record.status == Status::Ok));
}

#[test]
fn another_server_at_the_same_address_does_not_continue_the_run() {
    let metadata = |name: &str| Value::map([("model", name.into())]);
    let steady = |_: usize, _: &Value| Reply::Value(chunk(10, 0.5));
    let server = TestServer::openpi(0, metadata("a"), steady);
    let port = server.port();
    let words = ["--workers=1", "--sim-option=step_ms=3"];
    let (run, _layout) = remote(&server.address(), &words);
    let child = piped(&run);
    let asked = Arc::clone(&server.asked);
    wait_for(|| asked.load(std::sync::atomic::Ordering::SeqCst) >= 4, "some questions");
    drop(server);
    let _other = TestServer::openpi(port, metadata("b"), steady);
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{stderr}");
    assert!(
        stderr.contains(r#"it announces {model: "b"}, and announced {model: "a"}"#),
        "{stderr}"
    );
    let resumed = run.resume();
    assert_eq!(resumed.code, 2, "{}", resumed.stderr);
    assert!(resumed.stderr.contains("server_metadata"), "{}", resumed.stderr);
}

#[test]
fn vla_eval_servers_are_told_where_episodes_and_sub_tasks_begin() {
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let server = TestServer::vla_eval(vec![], Arc::clone(&told));
    let fake = env!("CARGO_BIN_EXE_udvla-sim-fake");
    let layout = LayoutFile::new();
    let text = LAYOUT.replace("agentview", "static").replace(r#""execute": 5, "#, "");
    std::fs::write(layout.0.path(), text).unwrap();
    let (address, file) = (server.address(), layout.word());
    let run = Run::new(&[
        "calvin",
        "--simulator",
        fake,
        "--no-progress",
        "--rollouts",
        "6",
        "--workers",
        "2",
        "--policy",
        &address,
        "--server-layout",
        &file,
    ]);
    let ended = run.go();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let records = run.records();
    assert!(records.values().all(|record| record.status == Status::Ok));
    let told = told.lock().unwrap();
    let count = |kind: &str| told.iter().filter(|line| line.starts_with(kind)).count();
    let parts: usize = records
        .values()
        .map(|record| {
            usize::from(record.stages_completed) + usize::from(record.stages_completed < 5)
        })
        .sum();
    assert_eq!(count("hello"), 2, "one connection per simulator");
    assert_eq!(count("episode_start"), parts, "an episode or sub-task each");
    // One action per observation: each step is asked for.
    let steps: u32 = records.values().map(|record| record.steps).sum();
    assert_eq!(count("observation"), steps as usize);
    assert_eq!(run.manifest().subject.other["server"], "vla-eval");
}

#[test]
fn what_a_server_announces_is_checked_before_a_simulator_starts() {
    let spec = |name: &str, format: &str, dims: i64| {
        (name.to_owned(), Value::map([("format", format.into()), ("dims", dims.into())]))
    };
    let action = |parts: Vec<(String, Value)>| ("action_spec".to_owned(), Value::Map(parts));
    let params = |name: &str, value: bool| {
        ("observation_params".to_owned(), Value::map([(name, value.into())]))
    };
    for (hello, expected) in [
        (
            action(vec![spec("rotation", "euler_xyz", 3)]),
            "announces rotation as `euler_xyz`, the benchmark plays `axis_angle`",
        ),
        (
            action(vec![spec("position", "delta_xyz", 8)]),
            "announces actions of 8 numbers, the layout has 7",
        ),
        (
            params("absolute_action", true),
            "asks for `absolute_action` = true; the layout offers false",
        ),
        (params("send_depth", true), "asks for `send_depth` = true; the layout offers not this"),
    ] {
        let server = TestServer::vla_eval(vec![hello], Arc::default());
        refused(&["--policy", &server.address()], expected);
    }
    let metadata = Value::map([("benchmark", "calvin".into())]);
    let server = TestServer::openpi(0, metadata, |_, _| Reply::Value(chunk(1, 0.0)));
    refused(&["--policy", &server.address()], "serves the benchmark `calvin`, this is `libero`");
    let space = [("action_space", "joint_position".into()), ("n_external_cameras", 1.into())];
    let server = TestServer::openpi(0, Value::map(space), |_, _| Reply::Value(chunk(1, 0.0)));
    refused(&["--policy", &server.address()], "announces the action space `joint_position`");
}

#[test]
fn addresses_and_flags_that_cannot_work_are_refused() {
    let closed = TestServer::steady(0, 1).address();
    refused(&["--policy", &closed], "refuses connections");
    refused(&["--policy", "ws://me:secret@host:1"], "a key goes into UDVLA_SERVER_KEY");
    refused(&["--policy", "http://host:1"], "starts with neither ws:// nor wss://");
    refused(&["--policy", "ws://x", "--policy-name", "udvla"], "cannot be the name of a policy");
    refused(&["--policy", "expert", "--execute", "5"], "`--execute` is for a policy on a server");
    refused(&["--policy", "ws://x", "--save-futures"], "does not predict future images");
    let server = TestServer::vla_eval(vec![], Arc::default());
    let words = ["--policy", &server.address(), "--workers", "3", "--connections", "2"];
    refused(&words, "pass `--workers 2`");
}

/// Starts a run whose standard error is read later.
fn piped(run: &Run) -> Child {
    run.command().stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

#[track_caller]
fn refused(words: &[&str], expected: &str) {
    let run = Run::fake(&[words, &["--suite", "long", "--trials", "1"]].concat());
    let ended = run.go();
    assert_eq!(ended.code, 2, "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stderr.contains(expected), "no `{expected}` in: {}", ended.stderr);
    assert!(!ended.stderr.contains("secret"), "{}", ended.stderr);
    assert!(!run.directory().exists());
}
