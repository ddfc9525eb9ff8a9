//! What a connection begins with: a request for health, or for an upgrade to WebSocket.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use tungstenite::error::ProtocolError;
use tungstenite::handshake::machine::TryParse as _;
use tungstenite::handshake::server::{Request, create_response, write_response};

use super::token::Token;

/// Bytes of a request, at most.
const MAX_HEAD: usize = 16 << 10;
/// Longest time until a request is complete.
const PATIENCE: Duration = Duration::from_secs(10);

/// What becomes of a connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Begun<P> {
    /// Messages follow, of which these bytes were read already; the client has a place.
    Upgraded(Vec<u8>, P),
    /// It was answered and is over: status and what was asked.
    Answered(u16, String),
}

/// Reads the request and answers it; `enter` takes a place for a client, if one is free.
///
/// # Errors
/// When the client ends or stalls in the middle of the request, or takes no answer.
pub fn begin<P>(
    stream: &mut (impl Read + Write),
    token: Option<&Token>,
    enter: impl FnOnce() -> Option<P>,
) -> io::Result<Begun<P>> {
    let mut head = vec![];
    let (length, request) = loop {
        match Request::try_parse(&head) {
            Ok(Some(parsed)) => break parsed,
            Ok(None) if head.len() < MAX_HEAD => read_more(stream, &mut head)?,
            Ok(None) => return answer(stream, 431, "", "the request is too long"),
            Err(tungstenite::Error::Protocol(ProtocolError::WrongHttpMethod)) => {
                return answer(stream, 405, "", "only GET is answered here");
            }
            Err(error) => return answer(stream, 400, "", &error.to_string()),
        }
    };
    let path = request.uri().path().to_owned();
    let header = |name: &str| request.headers().get(name);
    match path.as_str() {
        "/healthz" => return answer(stream, 200, &path, "OK"),
        "/health" => return answer(stream, 200, &path, "{\"status\": \"ok\"}"),
        _ => {}
    }
    if header("upgrade").is_none() {
        let text = "this is a policy server: connect with WebSocket, or GET /healthz";
        return answer(stream, 426, &path, text);
    }
    // Browsers send it, programs do not: no page may use what its reader can reach.
    if header("origin").is_some() {
        return answer(stream, 403, &path, "web pages are not served");
    }
    let shown = header("authorization").map(|value| value.as_bytes());
    if token.is_some_and(|token| !token.is_shown_by(shown)) {
        return answer(stream, 401, &path, "a token is needed: `Authorization: Api-Key TOKEN`");
    }
    let response = match create_response(&request) {
        Ok(response) => response,
        Err(error) => return answer(stream, 400, &path, &error.to_string()),
    };
    let Some(place) = enter() else {
        return answer(stream, 503, &path, "no further connection is allowed");
    };
    write_response(&mut *stream, &response).map_err(io::Error::other)?;
    stream.flush()?;
    Ok(Begun::Upgraded(head.split_off(length), place))
}

fn read_more(stream: &mut impl Read, head: &mut Vec<u8>) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                head.extend_from_slice(&buffer[..count]);
                return Ok(());
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if Instant::now() > deadline {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "no request came"));
        }
    }
}

fn answer<P>(stream: &mut impl Write, status: u16, path: &str, text: &str) -> io::Result<Begun<P>> {
    let (reason, more) = match status {
        200 => ("OK", ""),
        401 => ("Unauthorized", "WWW-Authenticate: Bearer\r\n"),
        403 => ("Forbidden", ""),
        405 => ("Method Not Allowed", "Allow: GET\r\n"),
        426 => ("Upgrade Required", "Upgrade: websocket\r\n"),
        431 => ("Request Header Fields Too Large", ""),
        503 => ("Service Unavailable", ""),
        _ => ("Bad Request", ""),
    };
    let kind = if text.starts_with('{') { "application/json" } else { "text/plain; charset=utf-8" };
    // In one write: a client may leave as soon as it has the first line.
    let answer = format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\n{more}Connection: close\r\n\r\n{text}\n",
        text.len() + 1
    );
    stream.write_all(answer.as_bytes())?;
    stream.flush()?;
    Ok(Begun::Answered(status, path.to_owned()))
}
