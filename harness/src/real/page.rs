//! The operator on a page that this machine alone can open.

use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use tiny_http::{Header, Method, Request, Response, Server};
use udvla_results::out::html::{QuestionPage, last_page, question_page};

use super::operator::{Answer, Operator, Question, Step};
use crate::exit::Refused;

/// Longest form, bytes.
const LONGEST_FORM: u64 = 16 << 10;

/// A page with the question at hand. While nothing is asked, requests wait.
pub struct Page {
    server: Server,
    port: u16,
    /// Number of the question at hand, so that a form that is sent twice is one answer.
    number: u32,
}

impl Page {
    /// Listens on the loopback interface; port 0 takes any free one.
    ///
    /// # Errors
    /// [`Refused`] when the port is taken.
    pub fn open(port: u16) -> Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let server = Server::http(address).map_err(|error| {
            let refused = Refused::new(format!("cannot listen on {address}"));
            refused
                .hint("name another port with `--page=PORT`; 0 takes any free one")
                .because(error)
        })?;
        let port = server.server_addr().to_ip().context("the server has no address")?.port();
        Ok(Self { server, port, number: 0 })
    }

    /// Its address for a browser.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// Shows a last text to the browser that sent the last answer, if it still waits.
    pub fn close(self, text: &str) {
        if let Ok(Some(request)) = self.server.recv_timeout(std::time::Duration::from_secs(2)) {
            let _ = request.respond(of_page(200, last_page(text)));
        }
    }

    /// Whether a request comes from this page: its host, and no other site's form.
    fn is_own(&self, request: &Request) -> bool {
        let own = ["127.0.0.1", "localhost"].map(|name| format!("{name}:{}", self.port));
        let is_host = value(request, "Host").is_some_and(|host| own.iter().any(|own| own == host));
        let is_origin = value(request, "Origin")
            .is_none_or(|origin| own.iter().any(|own| origin.strip_prefix("http://") == Some(own)));
        is_host && is_origin
    }

    /// The answer in a form; none if it belongs to another question.
    fn read(&self, request: &mut Request, question: &Question) -> Option<Result<Answer, String>> {
        let mut bytes = Vec::new();
        if request.as_reader().take(LONGEST_FORM).read_to_end(&mut bytes).is_err() {
            return Some(Err("the answer did not arrive whole: answer again".into()));
        }
        let field = |name: &str| {
            let mut fields = form_urlencoded::parse(&bytes);
            fields.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
        };
        if field("question") != Some(self.number.to_string()) {
            return None;
        }
        let (answer, note) = (field("answer")?, field("note").unwrap_or_default());
        // Ready, back and quit take no note.
        Some(question.read(format!("{answer} {note}").trim()))
    }
}

impl Operator for Page {
    fn ask(&mut self, question: &Question) -> Result<Answer> {
        self.number += 1;
        let mut error = None;
        loop {
            let mut request = self.server.recv().context("cannot receive a request")?;
            if !self.is_own(&request) {
                let text = "this page answers to its own address alone\n";
                let _ = request.respond(Response::from_string(text).with_status_code(403));
                continue;
            }
            let reply = match (request.method(), request.url()) {
                (Method::Get | Method::Head, "/") => {
                    of_page(200, self.text(question, error.as_deref()))
                }
                (Method::Post, "/answer") => {
                    match self.read(&mut request, question) {
                        Some(Ok(answer)) => {
                            // The next page waits until the answer is stored.
                            let _ = request.respond(to_question());
                            return Ok(answer);
                        }
                        Some(Err(reason)) => error = Some(reason),
                        None => error = Some("that question is answered already".into()),
                    }
                    to_question()
                }
                _ => of_page(404, last_page("There is no such page.")),
            };
            let _ = request.respond(reply);
        }
    }
}

impl Page {
    fn text(&self, question: &Question, error: Option<&str>) -> String {
        let Question { done, total, suite, task, trial, .. } = question;
        let title = format!("{} of {total}: {suite}, task {task}, placement {trial}", done + 1);
        let step = match question.step {
            Step::Judge => "Set the scene, let the robot act, then answer.",
            Step::SetScene => "Set the scene. The robot moves when you say so.",
            Step::JudgeDriven => "The robot has stopped.",
        };
        question_page(&QuestionPage {
            title: &title,
            instruction: &question.instruction,
            step,
            last: question.last.as_deref(),
            error,
            answers: answers(question),
            number: self.number,
        })
    }
}

/// What may be answered, as [`Question::read`] takes it, with its label.
fn answers(question: &Question) -> Vec<(String, String)> {
    let entry = |value: &str, label: &str| (value.to_owned(), label.to_owned());
    let mut answers = Vec::new();
    if question.step == Step::SetScene {
        answers.push(entry("", "The scene is set: move"));
    } else {
        answers.extend([entry("s", "Success"), entry("f", "Failure")]);
        answers.extend((1..).zip(&question.partial).map(|(stage, name)| {
            (format!("p {stage}"), format!("Failure, but it {name} (stage {stage})"))
        }));
    }
    answers.push(entry("v", "Void, for example a fault of the robot (needs a note)"));
    if question.last.is_some() {
        answers.push(entry("b", "Back to the last answer"));
    }
    answers.push(entry("q", "Quit; `resume` continues"));
    answers
}

fn of_page(status: u16, text: String) -> Response<std::io::Cursor<Vec<u8>>> {
    let headers = [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "same-origin"),
    ];
    let reply = Response::from_data(text.into_bytes()).with_status_code(status);
    headers.iter().fold(reply, |reply, (name, value)| reply.with_header(header(name, value)))
}

/// Sends the browser to the question at hand.
fn to_question() -> Response<std::io::Cursor<Vec<u8>>> {
    Response::from_data(Vec::new()).with_status_code(303).with_header(header("Location", "/"))
}

fn header(name: &str, value: &str) -> Header {
    Header::from_bytes(name, value).expect("these headers are ASCII")
}

fn value<'a>(request: &'a Request, name: &'static str) -> Option<&'a str> {
    let mut own = request.headers().iter().filter(|header| header.field.equiv(name));
    own.next().map(|header| header.value.as_str())
}
