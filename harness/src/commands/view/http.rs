//! One request, one reply: methods, hosts, versions, ranges.

use std::fs::File;
use std::io::{Cursor, Read, Seek, SeekFrom};

use tiny_http::{Header, Method, Request, Response, StatusCode};

use super::site::{Found, Site};

/// A reply of any content.
type Reply = Response<Box<dyn Read + Send>>;

/// Answers a request. A browser that is gone needs no answer.
pub fn answer(request: Request, site: &Site) {
    let reply = reply(&request, site);
    let _ = request.respond(reply);
}

fn reply(request: &Request, site: &Site) -> Reply {
    if !matches!(request.method(), Method::Get | Method::Head) {
        return text(405, "only GET is answered here").with_header(header("Allow", "GET, HEAD"));
    }
    if !value(request, "Host").is_some_and(|host| site.is_own_host(host)) {
        return text(403, "this server answers to 127.0.0.1 and localhost alone");
    }
    // Another page must not load what is here, for example as a script.
    let from = value(request, "Sec-Fetch-Site").unwrap_or("none");
    let is_navigation = value(request, "Sec-Fetch-Mode") == Some("navigate");
    if !matches!(from, "none" | "same-origin") && !is_navigation {
        return text(403, "another page asked for this");
    }
    match site.find(request.url()) {
        Found::Text { kind, text: body, version } => {
            if value(request, "If-None-Match") == Some(version.as_str()) {
                return bare(304).with_header(header("ETag", &version));
            }
            of_bytes(200, kind, body.into_bytes()).with_header(header("ETag", &version))
        }
        Found::File { kind, file } => of_file(kind, file, value(request, "Range"))
            .unwrap_or_else(|error| text(500, &format!("the file cannot be read: {error}"))),
        Found::Redirect(address) => bare(301).with_header(header("Location", &address)),
        Found::Nothing(reason) => text(404, &reason),
    }
}

/// The value of a header of the request.
fn value<'a>(request: &'a Request, name: &'static str) -> Option<&'a str> {
    let headers = request.headers().iter();
    let mut own = headers.filter(|header| header.field.equiv(name));
    own.next().map(|header| header.value.as_str())
}

/// A file, or the range of bytes that was asked for: a browser moves through a video with ranges.
fn of_file(kind: &str, mut file: File, asked: Option<&str>) -> std::io::Result<Reply> {
    let length = file.metadata()?.len();
    let Some(asked) = asked else {
        return Ok(of_reader(200, kind, Box::new(file), length)
            .with_header(header("Accept-Ranges", "bytes")));
    };
    let Some((first, last)) = range(asked, length) else {
        let size = header("Content-Range", &format!("bytes */{length}"));
        return Ok(text(416, "the range is outside of the file").with_header(size));
    };
    file.seek(SeekFrom::Start(first))?;
    let count = last - first + 1;
    let part = header("Content-Range", &format!("bytes {first}-{last}/{length}"));
    Ok(of_reader(206, kind, Box::new(file.take(count)), count).with_header(part))
}

/// First and last byte of a single range (`bytes=10-19`, `bytes=10-`, `bytes=-5`) in a file of
/// `length` bytes; `None` if no byte of it is in the file.
fn range(asked: &str, length: u64) -> Option<(u64, u64)> {
    let (first, last) = asked.strip_prefix("bytes=")?.split_once('-')?;
    let end = length.checked_sub(1)?;
    let (first, last) = match (first, last) {
        ("", count) => (length.saturating_sub(count.parse().ok()?), end),
        (first, "") => (first.parse().ok()?, end),
        (first, last) => (first.parse().ok()?, last.parse::<u64>().ok()?.min(end)),
    };
    (first <= last).then_some((first, last))
}

fn text(status: u16, reason: &str) -> Reply {
    of_bytes(status, "text/plain; charset=utf-8", format!("{reason}\n").into_bytes())
}

fn bare(status: u16) -> Reply {
    of_bytes(status, "text/plain; charset=utf-8", vec![])
}

fn of_bytes(status: u16, kind: &str, bytes: Vec<u8>) -> Reply {
    let length = bytes.len() as u64;
    of_reader(status, kind, Box::new(Cursor::new(bytes)), length)
}

fn of_reader(status: u16, kind: &str, reader: Box<dyn Read + Send>, length: u64) -> Reply {
    let headers = vec![
        header("Content-Type", kind),
        header("Cache-Control", "no-store"),
        header("X-Content-Type-Options", "nosniff"),
        header("Cross-Origin-Resource-Policy", "same-origin"),
        header("Content-Security-Policy", "frame-ancestors 'none'"),
        header("Referrer-Policy", "no-referrer"),
    ];
    let length = usize::try_from(length).ok();
    // With its length, whatever it is: a browser shows no duration of a video sent in pieces.
    Response::new(StatusCode(status), headers, reader, length, None)
        .with_chunked_threshold(usize::MAX)
}

fn header(name: &str, value: &str) -> Header {
    Header::from_bytes(name, value)
        .unwrap_or_else(|()| Header::from_bytes("X-Omitted", name).expect("names are ASCII"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_to_the_file_and_refused_outside_of_it() {
        assert_eq!(range("bytes=0-", 10), Some((0, 9)));
        assert_eq!(range("bytes=2-5", 10), Some((2, 5)));
        assert_eq!(range("bytes=2-50", 10), Some((2, 9)));
        assert_eq!(range("bytes=-3", 10), Some((7, 9)));
        assert_eq!(range("bytes=-30", 10), Some((0, 9)));
        for outside in ["bytes=10-", "bytes=5-2", "bytes=-0", "bytes=a-b", "lines=0-1", "bytes=0"] {
            assert_eq!(range(outside, 10), None, "{outside}");
        }
        assert_eq!(range("bytes=0-", 0), None);
    }
}
