//! Trials on a real robot with a scripted operator: void trials, a crash in the middle, resumed;
//! two policies, blinded; the page.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use tungstenite::{Message, WebSocket};
use udvla_policies::frames::{Array, Value, openpi};
use udvla_results::run::manifest::{Manifest, RunStatus};
use udvla_results::run::record::Status;

use crate::support::{records, udvla};

/// `udvla-eval` with a scripted operator at its terminal.
struct Session {
    child: Child,
    answers: ChildStdin,
    questions: BufReader<ChildStdout>,
}

impl Session {
    fn start(words: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_udvla-eval"))
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let answers = child.stdin.take().unwrap();
        let questions = BufReader::new(child.stdout.take().unwrap());
        Self { child, answers, questions }
    }

    /// The text up to the next prompt; `None` at the end of the session.
    fn question(&mut self) -> Option<String> {
        let mut bytes = Vec::new();
        self.questions.read_until(b'>', &mut bytes).unwrap();
        bytes.ends_with(b">").then(|| String::from_utf8(bytes).unwrap())
    }

    fn answer(&mut self, text: &str) {
        writeln!(self.answers, "{text}").unwrap();
    }

    /// Answers `count` questions with what `operator` says to their texts.
    fn answers(&mut self, count: usize, operator: impl Fn(&str) -> String) {
        for _ in 0..count {
            let question = self.question().expect("another question");
            self.answer(&operator(&question));
        }
    }

    /// Answers to the end; the exit code, and what was printed after the last question.
    fn finish(mut self, operator: impl Fn(&str) -> String) -> (i32, String) {
        let mut rest = String::new();
        loop {
            let mut bytes = Vec::new();
            self.questions.read_until(b'>', &mut bytes).unwrap();
            let text = String::from_utf8(bytes).unwrap();
            if !text.ends_with('>') || !text.contains("placement") {
                rest += &text;
                if !text.ends_with('>') {
                    break;
                }
                continue;
            }
            self.answer(&operator(&text));
        }
        drop(self.answers);
        self.questions.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code().unwrap(), rest)
    }
}

/// Success where task and placement add up to an even number; at stage 2 every fifth placement.
fn judge(question: &str) -> String {
    let number = |word: &str| -> u32 {
        let rest = question.rsplit_once(&format!("{word} ")).expect(question).1;
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap()
    };
    let (task, placement) = (number("task"), number("placement"));
    match (placement % 5, (task + placement) % 2) {
        (4, _) => "p 2 it slipped".into(),
        (_, 0) => "s".into(),
        _ => "f".into(),
    }
}

fn manifest(directory: &Path) -> Manifest {
    let text = std::fs::read_to_string(directory.join("run.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn thirty_trials_with_a_void_one_and_a_crash_are_judged_once_each() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let word = run.display().to_string();
    let ten = ["--suite", "seen", "--trials", "10", "--order-seed", "5"];
    let start = [&["real", "--name", "mine", "--out", &word][..], &ten].concat();
    let mut session = Session::start(&start);
    session.answers(7, judge);
    session.answers(1, |_| "v the gripper did not close".into());
    session.answers(6, judge);
    // The crash comes while the operator looks at a question.
    let open = session.question().unwrap();
    session.child.kill().unwrap();
    session.child.wait().unwrap();
    let stored = records(&run);
    assert_eq!(stored.len(), 14);
    let void: Vec<_> = stored.values().filter(|record| record.status == Status::Error).collect();
    let [void] = void.as_slice() else { panic!("{void:?}") };
    assert_eq!(void.error_kind.as_deref(), Some("void"));
    assert_eq!(void.error_message.as_deref(), Some("the gripper did not close"));
    assert_eq!(manifest(&run).status, RunStatus::Running);

    let mut session = Session::start(&["resume", &word]);
    let again = session.question().unwrap();
    let trial =
        |text: &str| text.lines().find(|line| line.contains("placement")).map(str::to_owned);
    assert_eq!(trial(&again), trial(&open), "the open trial is asked again");
    session.answer(&judge(&again));
    let (code, printed) = session.finish(judge);
    assert_eq!(code, 0, "{printed}");
    let all = records(&run);
    assert_eq!(all.len(), 30);
    assert!(all.values().all(|record| record.status == Status::Ok));
    assert_eq!(all[&void.key()].attempts, 2);
    for (key, record) in &all {
        let partial = record.notes.get("partial_stage").and_then(|stage| stage.as_u64());
        let expected = key.trial % 5 != 4 && (key.task + key.trial) % 2 == 0;
        assert_eq!(record.success(), Some(expected), "{key}");
        assert_eq!(partial, (key.trial % 5 == 4).then_some(2), "{key}");
    }
    // What was judged before the crash is as it was.
    for (key, record) in stored.iter().filter(|(_, record)| record.status == Status::Ok) {
        assert_eq!(&all[key], record);
    }
    let lines = std::fs::read_to_string(run.join("episodes.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), 31, "the void trial has two lines");
    assert_eq!(manifest(&run).status, RunStatus::Complete);
    assert!(printed.contains("Real robot seen, n = 30"), "{printed}");
    assert!(run.join("plots/bars.svg").is_file() && run.join("report.html").is_file());
    let compared = udvla(&["compare", &word, &word]);
    assert_eq!(compared.code, 0, "{}", compared.stderr);
}

#[test]
fn the_order_is_random_and_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let order = |name: &str, seed: &[&str]| {
        let run = folder.path().join(name).display().to_string();
        let words = ["real", "--name", "mine", "--trials", "3", "--out", &run];
        let mut session = Session::start(&[&words[..], seed].concat());
        let mut asked = Vec::new();
        for _ in 0..18 {
            let question = session.question().unwrap();
            asked
                .push(question.lines().find(|line| line.contains("placement")).unwrap().to_owned());
            session.answer("s");
        }
        assert_eq!(session.finish(judge).0, 0);
        let setting = BTreeMap::from(manifest(Path::new(&run)).setting);
        (asked, setting["order_seed"].clone())
    };
    let (asked, seed) = order("one", &[]);
    let (again, _) = order("two", &["--order-seed", &seed]);
    assert_eq!(asked, again);
    let mut sorted = asked.clone();
    sorted.sort();
    assert_ne!(asked, sorted);
}

#[test]
fn an_answer_can_be_corrected_and_the_session_be_left() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let word = run.display().to_string();
    let mut session = Session::start(&["real", "--name", "mine", "--trials", "1", "--out", &word]);
    session.answers(1, |_| "f".into());
    session.answers(1, |_| "b".into());
    session.answers(1, |_| "s it did work".into());
    session.answers(1, |_| "q".into());
    assert_eq!(session.finish(judge).0, 3);
    let stored = records(&run);
    let [record] = stored.values().collect::<Vec<_>>()[..] else { panic!("{stored:?}") };
    assert_eq!((record.success(), record.attempts), (Some(true), 1));
    assert_eq!(record.notes["operator_note"], "it did work");
    assert_eq!(manifest(&run).status, RunStatus::Interrupted);
}

#[test]
fn two_policies_are_blinded_and_paired() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let word = run.display().to_string();
    let switched = folder.path().join("switched");
    let switch = format!("echo $UDVLA_POLICY >> {}", switched.display());
    let words = ["real", "--name", "ours", "--name", "theirs", "--switch", &switch];
    let more = ["--suite", "seen", "--trials", "4", "--out", &word, "--order-seed", "3"];
    let mut session = Session::start(&[&words[..], &more].concat());
    // `ours` succeeds in all, `theirs` in none; the question must not tell which one acts.
    let acting = || {
        let text = std::fs::read_to_string(&switched).unwrap();
        text.lines().last().unwrap().to_owned()
    };
    for _ in 0..9 {
        let question = session.question().unwrap();
        assert!(!question.contains("ours") && !question.contains("theirs"), "{question}");
        session.answer(if acting() == "ours" { "s" } else { "f" });
    }
    session.question().unwrap();
    session.child.kill().unwrap();
    session.child.wait().unwrap();
    let refused = udvla(&["resume", &word]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(refused.stderr.contains("--trust"), "{}", refused.stderr);
    let session = Session::start(&["resume", "--trust", &word]);
    let (code, printed) =
        session.finish(|_| if acting() == "ours" { "s".into() } else { "f".into() });
    assert_eq!(code, 0, "{printed}");
    for arm in ["1", "2"] {
        let directory = run.join(arm);
        let policy = manifest(&directory).subject.policy.unwrap();
        let all = records(&directory);
        assert_eq!(all.len(), 12);
        assert!(all.values().all(|record| record.success() == Some(policy == "ours")), "{policy}");
    }
    let [one, two] = ["1", "2"].map(|arm| run.join(arm).display().to_string());
    let compared = udvla(&["compare", &one, &two]);
    assert_eq!(compared.code, 0, "{}", compared.stderr);
    assert!(compared.stdout.contains("12"), "{}", compared.stdout);
}

#[test]
fn what_cannot_work_is_refused() {
    for (words, expected) in [
        (&["--name", "a", "--name", "b"][..], "--switch"),
        (&["--name", "a", "--name", "a", "--switch", "true"], "both policies"),
        (&["--name", "a", "--suite", "kitchen"], "no suite `kitchen`"),
        (&["--name", "a", "--trials", "31"], "30 trials"),
        (&["--name", "a", "--task", "7"], "no task"),
        (&["--name", "a", "--tasks", "/nowhere.json"], "/nowhere.json"),
    ] {
        let ended = udvla(&[&["real"][..], words].concat());
        assert_eq!(ended.code, 2, "{words:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(expected), "no `{expected}` in {}", ended.stderr);
    }
}

/// One request to the page; the reply as text.
fn ask(port: u16, request: &str, host: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let length = body.len();
    write!(
        stream,
        "{request} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}

#[test]
fn a_page_asks_one_question_at_a_time_and_takes_no_answer_twice() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let word = run.display().to_string();
    let words =
        ["real", "--name", "mine", "--trials", "1", "--task", "0", "--page", "--out", &word];
    let mut session = Session::start(&words);
    let mut line = String::new();
    session.questions.read_line(&mut line).unwrap();
    let port: u16 =
        line.rsplit_once(':').expect(&line).1.trim_matches(['/', '\n']).parse().unwrap();
    let host = format!("127.0.0.1:{port}");
    let page = ask(port, "GET /", &host, "");
    assert!(page.contains("stack the bowls") && page.contains("Failure, but it touched"), "{page}");
    assert!(ask(port, "GET /", "evil.example", "").starts_with("HTTP/1.1 403"));
    assert!(ask(port, "GET /other", &host, "").starts_with("HTTP/1.1 404"));

    let answer = |text: &str| ask(port, "POST /answer", &host, text);
    answer("question=1&answer=v&note=");
    assert!(ask(port, "GET /", &host, "").contains("say what was wrong"));
    assert!(records(&run).is_empty());
    assert!(answer("question=1&answer=p+3&note=dropped+%3Cb%3E").starts_with("HTTP/1.1 303"));
    let page = ask(port, "GET /", &host, "");
    assert!(page.contains("2 of 2") && page.contains("failure at stage 3"), "{page}");
    assert_eq!(records(&run).len(), 1, "it was stored before the next page");
    answer("question=1&answer=s&note=");
    assert!(ask(port, "GET /", &host, "").contains("answered already"));
    assert_eq!(records(&run).len(), 1);
    answer("question=2&answer=s&note=");
    let done = ask(port, "GET /", &host, "");
    assert!(done.contains("The session has ended"), "{done}");
    assert_eq!(session.child.wait().unwrap().code(), Some(0));
    let notes: Vec<_> = records(&run)
        .into_values()
        .filter_map(|mut record| record.notes.remove("operator_note"))
        .collect();
    assert_eq!(notes, ["dropped <b>"]);
    let report = std::fs::read_to_string(run.join("report.html")).unwrap();
    assert!(report.contains("dropped &lt;b&gt;"));
}

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
    for (robot, expected) in [(robot, "actions have 2 numbers"), (gone, "cannot connect")] {
        let words =
            ["real", "--policy", "idle", "--robot", &robot, "--tasks", &tasks, "--out", &word];
        let ended = udvla(&words);
        assert_eq!(ended.code, 2, "{}", ended.stderr);
        assert!(ended.stderr.contains(expected), "no `{expected}` in {}", ended.stderr);
        assert!(!out.exists());
    }
}
