//! Trials on a real robot with a scripted operator: void trials, a crash in the middle, resumed;
//! two policies, blinded.

mod page;
mod robot;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

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
    assert!(compared.stdout.contains("did better: 12 episodes"), "{}", compared.stdout);
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
