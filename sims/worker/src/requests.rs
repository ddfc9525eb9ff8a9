//! The worker's loop: one request in, one reply out.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::net::UnixStream;

use pyo3::exceptions::{PyImportError, PyOSError};
use pyo3::prelude::*;
use udvla_sims::wire::{self, Cause, Reply, Request, WIRE_VERSION};

use crate::session::Session;

/// Serves until the harness closes the socket or asks to close.
pub fn serve(python: Python<'_>, embedding: &str) -> PyResult<()> {
    let mut stream = take_standard_input()?;
    let mut session = None;
    loop {
        // Other Python threads of the simulator may run while we wait.
        let request = python.detach(|| wire::receive::<Request>(&mut stream));
        let (request, body) = match request {
            Ok(request) => request,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error.into()),
        };
        if matches!(request, Request::Close) {
            break;
        }
        let answer = answer(python, &mut session, request, &body, embedding);
        let (reply, body) = answer.unwrap_or_else(|error| (raised(python, &error), vec![]));
        wire::send(&mut stream, &reply, &body)?;
    }
    match session {
        Some(session) => session.close(python),
        None => Ok(()),
    }
}

fn answer(
    python: Python<'_>,
    session: &mut Option<Session>,
    request: Request,
    body: &[u8],
    embedding: &str,
) -> PyResult<(Reply, Vec<u8>)> {
    if let Request::Open { wire, config } = request {
        if wire != WIRE_VERSION {
            let text =
                format!("the harness speaks wire version {wire}, this worker {WIRE_VERSION}");
            return Err(PyOSError::new_err(text));
        }
        let (opened, spec, mut setting) = Session::open(python, &config)?;
        setting.insert("embedding".into(), embedding.into());
        *session = Some(opened);
        return Ok((Reply::Ready { wire: WIRE_VERSION, spec, setting }, vec![]));
    }
    let session = session.as_mut().ok_or_else(|| PyOSError::new_err("the worker is not open"))?;
    match request {
        Request::Reset { key, video } => session.reset(python, &key, video),
        Request::Play { width } => session.play(python, usize::from(width), body),
        Request::Script { steps } => session.script(python, steps),
        Request::Open { .. } | Request::Close => unreachable!("answered above"),
    }
}

/// Moves the wire away from fd 0, where a simulator could read from it, and leaves /dev/null.
fn take_standard_input() -> io::Result<UnixStream> {
    let null = std::fs::File::open("/dev/null")?;
    // SAFETY: fd 0 is the socket that the harness gave us and nothing else owns it; the copy
    // is owned by the returned stream alone.
    unsafe {
        let copy = libc::fcntl(0, libc::F_DUPFD_CLOEXEC, 3);
        if copy < 0 || libc::dup2(null.as_raw_fd(), 0) < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(UnixStream::from_raw_fd(copy))
    }
}

/// The reply for an exception of the adapter or its simulator.
fn raised(python: Python<'_>, error: &PyErr) -> Reply {
    let setup = python
        .import("udvla_sims.adapter")
        .and_then(|module| module.getattr("SetupError"))
        .is_ok_and(|class| error.is_instance(python, &class));
    let traceback = error.traceback(python).and_then(|traceback| traceback.format().ok());
    let value = error.value(python).to_string();
    // Adapters import their simulator when they are made, never later.
    let lacks = error.is_instance_of::<PyImportError>(python);
    let message = match (setup, lacks) {
        (true, _) => value,
        (_, true) => format!(
            "{} cannot import the simulator ({value}); `udvla-eval setup` makes an environment that can",
            executable(python)
        ),
        _ => error.to_string(),
    };
    let setup = setup || lacks;
    let traceback = format!("{}{error}", traceback.unwrap_or_default());
    eprintln!("{traceback}");
    let cause = if setup { Cause::Setup } else { Cause::Simulator };
    Reply::Raised { cause, message, traceback }
}

/// The interpreter's path, as Python knows it.
fn executable(python: Python<'_>) -> String {
    let path = python.import("sys").and_then(|sys| sys.getattr("executable")?.extract::<String>());
    path.map_or_else(|_| "this Python".into(), |path| format!("`{path}`"))
}
