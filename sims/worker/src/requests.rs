//! The worker's loop: reads a request, sends a reply.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::net::UnixStream;

use pyo3::exceptions::{PyImportError, PyOSError};
use pyo3::prelude::*;
use udvla_sims::wire::{self, Cause, Message, Reply, Request, WIRE_VERSION};

use crate::session::Session;

/// Serves until the harness closes the socket or asks to close.
pub fn serve(python: Python<'_>, embedding: &str) -> PyResult<()> {
    let mut stream = take_standard_input()?;
    let mut session = None;
    loop {
        // Lets other Python threads of the simulator run meanwhile.
        let request = python.detach(|| wire::receive::<Request>(&mut stream));
        let Message { number, header: request, body } = match request {
            Ok(message) => message,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error.into()),
        };
        if matches!(request, Request::Close) {
            break;
        }
        let (reply, body) = reply(python, &mut session, request, &body, embedding)
            .unwrap_or_else(|error| (raised(python, &error), vec![]));
        wire::send(&mut stream, number, &reply, &body)?;
    }
    match session {
        Some(session) => session.close(python),
        None => Ok(()),
    }
}

fn reply(
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
        // Simulators read and write files of fixed names where they run: the settings of numba and
        // matplotlib, MuJoCo's log.
        std::env::set_current_dir(&config.scratch)?;
        let (opened, spec, mut setting) = Session::open(python, &config)?;
        setting.insert("embedding".into(), embedding.into());
        // After the adapter, which imports the simulator: only loaded libraries are reported.
        let facts = python.import("udvla_sims.machine")?.call_method0("facts")?;
        setting.extend(facts.extract::<BTreeMap<String, String>>()?);
        *session = Some(opened);
        return Ok((Reply::Ready { wire: WIRE_VERSION, spec, setting }, vec![]));
    }
    let session = session.as_mut().ok_or_else(|| PyOSError::new_err("the worker is not open"))?;
    match request {
        Request::Reset { key, video } => session.reset(python, &key, video),
        Request::Play { width } => session.play(python, usize::from(width), body),
        Request::Script { steps } => session.script(python, steps),
        Request::Demonstrate { steps, width } => {
            session.demonstrate(python, usize::from(steps), usize::from(width), body)
        }
        Request::Open { .. } | Request::Close => unreachable!("handled above"),
    }
}

/// Moves the wire away from fd 0, so that no simulator reads from it, and puts /dev/null there.
fn take_standard_input() -> io::Result<UnixStream> {
    let null = std::fs::File::open("/dev/null")?;
    // SAFETY: fd 0 is the harness's socket, and nothing else owns it; the duplicate is owned by
    // the returned stream.
    unsafe {
        let duplicate = libc::fcntl(0, libc::F_DUPFD_CLOEXEC, 3);
        if duplicate < 0 || libc::dup2(null.as_raw_fd(), 0) < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(UnixStream::from_raw_fd(duplicate))
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
    // Adapters import their simulator in the constructor only.
    let import_failed = error.is_instance_of::<PyImportError>(python);
    let message = match (setup, import_failed) {
        (true, _) => value,
        (_, true) => format!(
            "{} cannot import the simulator ({value}); `udvla-eval setup` creates an environment that can",
            executable(python)
        ),
        _ => error.to_string(),
    };
    let traceback = format!("{}{error}", traceback.unwrap_or_default());
    eprintln!("{traceback}");
    let cause = if setup || import_failed { Cause::Setup } else { Cause::Simulator };
    Reply::Raised { cause, message, traceback }
}

/// Path of the interpreter in back-ticks (`sys.executable`).
fn executable(python: Python<'_>) -> String {
    let path = python.import("sys").and_then(|sys| sys.getattr("executable")?.extract::<String>());
    path.map_or_else(|_| "this Python".into(), |path| format!("`{path}`"))
}
