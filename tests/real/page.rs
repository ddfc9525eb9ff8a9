//! The operator answers on a page.

use std::io::{BufRead as _, Read as _, Write as _};
use std::net::TcpStream;

use super::Session;
use crate::support::records;

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
