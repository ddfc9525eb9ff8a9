//! `view`: what is served, and what is not.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::{Run, keep_records, udvla};

/// A server on the folder of a finished run.
struct Server {
    child: Child,
    address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A reply: status, head, body.
struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Reply {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut own = fields.filter(|(field, _)| field.eq_ignore_ascii_case(name));
        own.next().map(|(_, value)| value)
    }
}

impl Server {
    fn start(folder: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_udvla-eval"))
            .args(["view", "--port", "0"])
            .arg(folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next());
        let address = address.unwrap_or_else(|| panic!("{line}")).to_owned();
        Self { child, address }
    }

    /// Sends a request with these lines after the first.
    fn ask(&self, first: &str, lines: &[&str]) -> Reply {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        write!(stream, "{first} HTTP/1.1\r\n{lines}Connection: close\r\n\r\n").unwrap();
        let mut bytes = vec![];
        stream.read_to_end(&mut bytes).unwrap();
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Reply { status, head, body: bytes[end + 4..].to_vec() }
    }

    fn get(&self, path: &str) -> Reply {
        self.ask(&format!("GET {path}"), &[&format!("Host: {}", self.address)])
    }
}

/// A run of four episodes, with a video that is ten known bytes.
fn played() -> Run {
    let run = Run::fake(&["--policy", "random", "--suite", "long", "--task", "0", "--trials", "4"]);
    assert_eq!(run.go().code, 0);
    std::fs::write(run.directory().join("videos/a.mp4"), b"0123456789").unwrap();
    run
}

#[test]
fn a_list_leads_to_the_page_and_the_actions_of_a_run() {
    let run = played();
    let server = Server::start(run.directory().parent().unwrap());
    let list = server.get("/");
    assert_eq!(list.status, 200);
    assert!(list.text().contains("href=\"run/run/\""), "{}", list.text());
    assert_eq!(server.get("/run/run").header("Location"), Some("/run/run/"));
    let page = server.get("/run/run/");
    assert!(page.text().contains("id=\"long-task00-trial003\""));
    let script = server.get("/run/run/timelines/long-task00-trial000.js");
    assert_eq!(script.header("Content-Type"), Some("text/javascript; charset=utf-8"));
    let instruction = &run.manifest().plan[0].instruction;
    let text = format!("\"text\":\"{instruction}\"");
    assert!(script.text().contains(&text), "{}", script.text());
    let written = run.directory().join("timelines/long-task00-trial000.js");
    assert!(script.text() == std::fs::read_to_string(written).unwrap(), "as `report` wrote it");
    let compared = server.get("/compare?run=run&run=run");
    assert_eq!(compared.status, 200, "{}", compared.text());
    assert!(compared.text().contains("Comparison of 2 runs"));
    assert_eq!(server.get("/pair?a=run&b=run").status, 200);
}

#[test]
fn a_page_changes_while_its_run_goes_on_and_is_not_sent_again_before() {
    let run = played();
    let files = ["run.json", "episodes.jsonl"].map(|name| run.directory().join(name));
    let whole = files.each_ref().map(|file| std::fs::read(file).unwrap());
    keep_records(&run.directory(), 2);
    let server = Server::start(&run.directory());
    let host = format!("Host: {}", server.address);
    let first = server.get("/run/run/");
    let version = format!("If-None-Match: {}", first.header("ETag").unwrap());
    let unchanged = server.ask("GET /run/run/", &[&host, &version]);
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    files.iter().zip(whole).for_each(|(file, bytes)| std::fs::write(file, bytes).unwrap());
    let second = server.ask("GET /run/run/", &[&host, &version]);
    assert_eq!(second.status, 200);
    let cells = |reply: &Reply| reply.text().matches("<a class=\"cell").count();
    assert_eq!((cells(&first), cells(&second)), (2, 4));
}

#[test]
fn a_part_of_a_video_is_sent_where_it_is_asked_for() {
    let run = played();
    let server = Server::start(&run.directory());
    let host = format!("Host: {}", server.address);
    let whole = server.get("/run/run/videos/a.mp4");
    assert_eq!((whole.status, whole.text().as_str()), (200, "0123456789"));
    let part = server.ask("GET /run/run/videos/a.mp4", &[&host, "Range: bytes=2-5"]);
    assert_eq!((part.status, part.text().as_str()), (206, "2345"));
    assert_eq!(part.header("Content-Range"), Some("bytes 2-5/10"));
    let outside = server.ask("GET /run/run/videos/a.mp4", &[&host, "Range: bytes=10-"]);
    assert_eq!((outside.status, outside.header("Content-Range")), (416, Some("bytes */10")));
}

#[test]
fn nothing_but_pages_videos_and_images_of_runs_is_served() {
    let run = played();
    let secret = run.directory().parent().unwrap().join("secret.mp4");
    std::fs::write(&secret, "secret").unwrap();
    std::os::unix::fs::symlink(&secret, run.directory().join("videos/link.mp4")).unwrap();
    let server = Server::start(&run.directory());
    for path in [
        "/run/run/run.json",
        "/run/run/videos/link.mp4",
        "/run/run/videos/../../secret.mp4",
        "/run/run/videos/%2e%2e/%2e%2e/secret.mp4",
        "/run/run/videos/..%2f..%2fsecret.mp4",
        "/run/run/futures/../videos/none.png",
        "/run/run/timelines/../run.json",
        "/run/..//videos/a.mp4",
        "/run/other/",
        "/compare",
        "/pair?a=run",
        "/%",
        "/etc/passwd",
    ] {
        let reply = server.get(path);
        assert_eq!(reply.status, 404, "{path}: {}", reply.text());
        assert!(!reply.text().contains("secret\n") && reply.text() != "secret", "{path}");
    }
}

#[test]
fn other_hosts_other_methods_and_other_pages_are_refused() {
    let run = played();
    let server = Server::start(&run.directory());
    let (_, port) = server.address.split_once(':').unwrap();
    let status = |first: &str, lines: &[&str]| server.ask(first, lines).status;
    let own = format!("Host: {}", server.address);
    assert_eq!(status("GET /", &[&format!("Host: localhost:{port}")]), 200);
    for host in [format!("Host: evil.example:{port}"), "Host: 127.0.0.1".into(), "Host: ".into()] {
        assert_eq!(status("GET /", &[&host]), 403, "{host}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        assert_eq!(status(&format!("{method} /"), &[&own]), 405, "{method}");
    }
    let script = "GET /run/run/timelines/long-task00-trial000.js";
    assert_eq!(status(script, &[&own, "Sec-Fetch-Site: cross-site"]), 403);
    assert_eq!(status(script, &[&own, "Sec-Fetch-Site: same-origin"]), 200);
    let reply = server.get("/");
    assert_eq!(reply.header("Cross-Origin-Resource-Policy"), Some("same-origin"));
    assert_eq!(reply.header("X-Content-Type-Options"), Some("nosniff"));
}

#[test]
fn a_folder_that_is_missing_and_a_port_that_is_taken_are_refused_with_the_next_step() {
    let ended = udvla(&["view", "/no/such/folder"]);
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("`/no/such/folder` is not a folder"), "{}", ended.stderr);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let folder = tempfile::tempdir().unwrap();
    let ended = udvla(&["view", "--port", &port, &folder.path().display().to_string()]);
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("hint: name another port"), "{}", ended.stderr);
}

#[test]
fn a_run_that_cannot_be_read_is_listed_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("broken")).unwrap();
    std::fs::write(folder.path().join("broken/run.json"), "{\"schema\": \"<b>\"}").unwrap();
    let server = Server::start(folder.path());
    let list = server.get("/").text();
    assert!(list.contains("cannot be read: ") && !list.contains("<b>"), "{list}");
    assert_eq!(server.get("/run/broken/").status, 404);
}
