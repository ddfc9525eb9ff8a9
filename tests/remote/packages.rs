//! Servers of real packages: this project's for Python classes, and vla-eval's.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use udvla_results::run::record::Status;

use crate::support::{Run, assert_same_outcomes, environment_of, files_of, wait_for};

/// A server in Python, ended with the value.
struct PythonServer {
    child: Child,
    port: u16,
}

impl PythonServer {
    /// Starts `python ARGUMENTS… PORT` and waits until it listens.
    fn start(command: &mut Command, before_port: &[&str]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/remote");
        let child = command
            .args(before_port)
            .arg(port.to_string())
            .current_dir(tests)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONPATH", Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/python"))
            .stdout(Stdio::null())
            .spawn()
            .expect("Python starts");
        let server = Self { child, port };
        wait_for(|| TcpStream::connect(("127.0.0.1", port)).is_ok(), "the server in Python");
        server
    }

    fn address(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }
}

impl Drop for PythonServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where the packages of other projects are installed; `None` after printing why tests are skipped.
fn packages() -> Option<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join(".clients/bin/python");
    let given = std::env::var_os("UDVLA_TEST_CLIENTS_PYTHON").map(PathBuf::from);
    let found = given.or_else(|| own.exists().then_some(own));
    if found.is_none() {
        println!("skipped: vla-eval and openpi's packages are not installed (scripts/test)");
    }
    found
}

#[test]
fn a_model_server_of_vla_eval_drives_episodes() {
    let Some(python) = packages() else { return };
    let server = PythonServer::start(&mut Command::new(python), &["vla_eval_server.py"]);
    let address = server.address();
    let words = ["--policy", &address, "--suite", "long", "--trials", "1", "--workers", "3"];
    let run = Run::fake(&words);
    let ended = run.go();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let records = run.records();
    assert_eq!(records.len(), 10);
    // It answers one action per observation.
    assert!(records.values().all(|it| it.status == Status::Ok && it.calls == it.steps));
    let subject = run.manifest().subject;
    assert_eq!(subject.other["server"], "vla-eval");
    assert!(subject.other["server_metadata"].contains(r#""model_server":"Steady""#), "{subject:?}");
}

#[test]
fn the_documented_policy_in_python_drives_episodes() {
    let Some(python) = packages() else { return };
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/python/examples");
    let layout = tempfile::NamedTempFile::new().unwrap();
    let text = r#"{"state": {"key": "observation/state", "type": "f64", "numbers": [0, 0, 0]},
        "instruction": "prompt", "execute": 5, "action_width": 7}"#;
    std::fs::write(layout.path(), text).unwrap();
    let code = format!(
        "import sys; sys.path.insert(0, {:?}); from udvla_policy_server.__main__ import main; main()",
        examples.display().to_string()
    );
    let words = ["-c", &code, "python_policy:Policy", "--instances", "2", "--port"];
    let server = PythonServer::start(&mut Command::new(python), &words);
    let file = layout.path().display().to_string();
    let run = Run::fake(&[
        "--policy",
        &server.address(),
        "--server-layout",
        &file,
        "--suite",
        "long",
        "--trials",
        "1",
        "--workers",
        "2",
    ]);
    let ended = run.go();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(run.records().len(), 10);
    assert!(run.records().values().all(|record| record.status == Status::Ok));
}

/// Nothing is lost or shifted on the way: the records are those of the expert in the worker.
#[test]
fn the_expert_behind_a_server_gives_the_records_of_the_expert_in_the_worker() {
    let Some(python) = packages() else { return };
    let Some(assets) = files_of("libero") else { return };
    let Some(simulator) = environment_of("libero", "UDVLA_TEST_PYTHON") else { return };
    let (assets, simulator) = (assets.display().to_string(), simulator.display().to_string());
    let base = [
        "libero",
        "--suite",
        "object",
        "--trials",
        "1",
        "--workers",
        "1",
        "--no-progress",
        "--assets",
        &assets,
        "--python",
        &simulator,
    ];
    let expert = Run::new(&[&base[..], &["--policy", "expert"]].concat());
    let ended = expert.go();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let mut command = Command::new(python);
    command.env("EXPERT_RUN", expert.directory());
    let words = ["-m", "udvla_policy_server", "expert_policy:Expert", "--port"];
    let server = PythonServer::start(&mut command, &words);
    // Without images, as the expert runs: they are part of the first observation's digest.
    let layout = tempfile::NamedTempFile::new().unwrap();
    let text = r#"{"state": {"key": "observation/state", "type": "f64", "numbers": [0, 7]},
        "instruction": "prompt", "action_width": 7}"#;
    std::fs::write(layout.path(), text).unwrap();
    let file = layout.path().display().to_string();
    let address = server.address();
    let words = ["--policy", &address, "--execute", "10", "--server-layout", &file];
    let remote = Run::new(&[&base[..], &words].concat());
    let ended = remote.go();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(remote.records().len(), 10);
    assert_same_outcomes(&expert.records(), &remote.records());
}
