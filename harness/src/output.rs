//! Text on standard output and standard error. A write that fails never ends the program.
//!
//! `print!`, `println!`, `eprint!` and `eprintln!` in this crate are the macros of this file. The
//! standard library's panic when the terminal is gone or a log's disk is full.
//!
//! - Standard output holds what was asked for. The first write that fails is kept for the exit code
//!   ([`stdout_failure`]), later text is dropped.
//! - Standard error is best effort. After [`never_block`] a thread of its own writes it, so that a
//!   terminal that takes no more text (stopped with Ctrl-S, a dead connection) holds nothing up.

use std::fmt::Arguments;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use console::{Style, Term};

/// Writes to the standard output; see [`crate::output`].
macro_rules! print {
    ($($text:tt)*) => { $crate::output::write_stdout(format_args!($($text)*)) };
}

/// Writes a line to the standard output; see [`crate::output`].
macro_rules! println {
    ($($text:tt)*) => {
        $crate::output::write_stdout(format_args!("{}\n", format_args!($($text)*)))
    };
}

/// Writes to the standard error; see [`crate::output`].
macro_rules! eprint {
    ($($text:tt)*) => { $crate::output::write_stderr(format_args!($($text)*)) };
}

/// Writes a line to the standard error; see [`crate::output`].
macro_rules! eprintln {
    ($($text:tt)*) => {
        $crate::output::write_stderr(format_args!("{}\n", format_args!($($text)*)))
    };
}

/// Bytes for standard error that wait at most, but for a single text; what comes on top is dropped.
const CAPACITY: usize = 1 << 16;

static STDOUT_FAILURE: OnceLock<io::Error> = OnceLock::new();

/// Writes to the standard output, after everything that standard error was given before.
pub fn write_stdout(text: Arguments<'_>) {
    flush();
    if STDOUT_FAILURE.get().is_some() {
        return;
    }
    let mut stdout = io::stdout().lock();
    if let Err(error) = stdout.write_fmt(text).and_then(|()| stdout.flush()) {
        // Another thread's failure may have come first; one is enough.
        let _ = STDOUT_FAILURE.set(error);
    }
}

/// Why the standard output lacks text, if it does.
pub fn stdout_failure() -> Option<&'static io::Error> {
    STDOUT_FAILURE.get()
}

/// Writes to the standard error, or drops the text.
pub fn write_stderr(text: Arguments<'_>) {
    QUEUE.put(text.to_string().as_bytes());
}

/// Has a thread write the standard error from now on.
///
/// # Errors
/// When it cannot be started.
pub fn never_block() -> io::Result<()> {
    let mut state = QUEUE.lock();
    if !state.has_thread {
        std::thread::Builder::new().name("stderr".into()).spawn(|| QUEUE.write_out())?;
        state.has_thread = true;
    }
    Ok(())
}

/// Waits until the standard error has taken everything that waits.
pub fn flush() {
    let state = QUEUE.lock();
    let waits = |state: &mut State| state.is_writing || !state.waiting.is_empty();
    drop(QUEUE.changed.wait_while(state, waits).unwrap_or_else(PoisonError::into_inner));
}

/// The terminal at standard error, written through this module.
pub fn terminal() -> Term {
    Term::read_write_pair_with_style(io::stdin(), StandardError, Style::new().for_stderr())
}

/// Standard error as what progress bars write to.
#[derive(Debug)]
struct StandardError;

impl Write for StandardError {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        QUEUE.put(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsRawFd for StandardError {
    /// For the size of the terminal.
    fn as_raw_fd(&self) -> RawFd {
        libc::STDERR_FILENO
    }
}

/// Text on its way to the standard error.
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    waiting: Vec<u8>,
    is_writing: bool,
    has_thread: bool,
}

static QUEUE: Queue = Queue {
    state: Mutex::new(State { waiting: Vec::new(), is_writing: false, has_thread: false }),
    changed: Condvar::new(),
};

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Whatever a thread that panicked was doing, the bytes are whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, bytes: &[u8]) {
        let mut state = self.lock();
        if !state.has_thread {
            drop(state);
            let _ = io::stderr().write_all(bytes);
        } else if state.waiting.is_empty() || state.waiting.len() + bytes.len() <= CAPACITY {
            state.waiting.extend_from_slice(bytes);
            self.changed.notify_all();
        }
    }

    fn write_out(&self) -> ! {
        loop {
            let state = self.lock();
            let is_empty = |state: &mut State| state.waiting.is_empty();
            let state = self.changed.wait_while(state, is_empty);
            let mut state = state.unwrap_or_else(PoisonError::into_inner);
            let bytes = std::mem::take(&mut state.waiting);
            state.is_writing = true;
            drop(state);
            let _ = io::stderr().write_all(&bytes);
            self.lock().is_writing = false;
            self.changed.notify_all();
        }
    }
}
