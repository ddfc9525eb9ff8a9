//! Worker processes: starts one, sends it requests with a deadline, ends it with all it started.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

pub use crate::error::{SimError, gib, unexpected};

use crate::causes::{describe_signal, likely_cause};
use crate::checks::check_spec;
use crate::log::{self, Log};
use crate::memory::Memory;
use crate::shell;
use crate::stream::{Waiting, is_readable};
use crate::tree::{self, MARKER};
use crate::wire::{self, Message, OpenConfig, Reply, Request, WIRE_VERSION};

/// Children that are no orphans: those that [`Worker::start`] started and has not waited for, and
/// those that this process had before the first of them.
static STARTED: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// Whether a worker was started before.
static ADOPTING: AtomicBool = AtomicBool::new(false);

/// Command line of a worker.
#[derive(Debug, Clone)]
pub struct WorkerCommand {
    /// The executable: `udvla-sim-worker`, or a fake that speaks the same wire.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Environment variables in addition to those of this process.
    pub environment: BTreeMap<String, String>,
    /// File that its standard output and error are appended to, up to 64 MiB.
    pub log: PathBuf,
}

/// A running worker. Dropping it ends the process and everything that descends from it.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    stream: UnixStream,
    log: Log,
    /// Value of [`MARKER`] in the environment of everything that the worker starts.
    marker: String,
    /// Number of the last request.
    number: u32,
    memory: Option<Memory>,
    has_ended: bool,
}

/// Ends a worker from another thread.
#[derive(Debug)]
pub struct Stopper(UnixStream);

impl Stopper {
    /// Closes the worker's socket: whoever waits for a reply is told at once that there is none.
    pub fn stop(&self) {
        // It fails only when the socket is closed already.
        let _ = self.0.shutdown(std::net::Shutdown::Both);
    }
}

impl Worker {
    /// Starts a worker in a process group of its own. It ends with this process, however that
    /// ends: its supervisor ([`crate::supervisor`]) sees the socket close; a worker without one
    /// gets a signal from the kernel when the calling thread ends.
    ///
    /// # Errors
    /// When the log cannot be opened or the executable cannot be started.
    pub fn start(command: &WorkerCommand) -> Result<Self, SimError> {
        let failed = |source| SimError::Start { program: command.program.clone(), source };
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        let (log, output) = Log::start(&command.log, log::LIMIT).map_err(failed)?;
        let marker = new_marker();
        let mut process = Command::new(&command.program);
        process.args(&command.arguments);
        // Our library path must not reach a simulator that brings another libtorch either.
        for name in shell::withheld() {
            process.env_remove(name);
        }
        process
            .envs(shell::kernels())
            .envs(&command.environment)
            .env(MARKER, &marker)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(output.try_clone().map_err(failed)?)
            .stderr(output)
            .process_group(0);
        // SAFETY: prctl is async-signal-safe. The first call makes this process adopt what a
        // worker leaves behind; the second one touches only the new process.
        unsafe {
            libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1);
            process.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        // Locked, so that no other thread takes the new process for an orphan.
        let mut started = started();
        if !ADOPTING.swap(true, Ordering::Relaxed) {
            started.extend(tree::adopted(&BTreeSet::new()));
        }
        let child = process.spawn().map_err(failed)?;
        started.insert(child.id());
        Ok(Self { child, stream: ours, log, marker, number: 0, memory: None, has_ended: false })
    }

    /// Starts a worker and opens its adapter. `started` is called before the adapter is loaded,
    /// so that another thread can end the wait.
    ///
    /// # Errors
    /// Those of [`Worker::start`] and [`Worker::ask`]; `Wire` when versions differ or no episode
    /// could be played on what the worker reports.
    pub fn open(
        command: &WorkerCommand,
        config: OpenConfig,
        timeout: Duration,
        started: impl FnOnce(Stopper),
    ) -> Result<(Self, Reply), SimError> {
        let mut worker = Self::start(command)?;
        let stopper = worker.stream.try_clone().map(Stopper);
        started(stopper.map_err(|source| {
            let program = command.program.clone();
            SimError::Start { program, source }
        })?);
        let open = Request::Open { wire: WIRE_VERSION, config: Box::new(config) };
        match worker.ask(&open, &[], timeout)? {
            (ready @ Reply::Ready { wire: WIRE_VERSION, .. }, _) => {
                if let Reply::Ready { spec, .. } = &ready {
                    check_spec(spec)?;
                }
                Ok((worker, ready))
            }
            (Reply::Ready { wire, .. }, _) => Err(SimError::Wire(format!(
                "with wire version {wire}, this program speaks {WIRE_VERSION}"
            ))),
            (reply, _) => Err(unexpected(&reply)),
        }
    }

    /// Process id of the worker.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends the worker, in the middle of a request, when it and what it started take more than 1.5
    /// times `limit` bytes of memory.
    pub fn limit_memory(&mut self, limit: u64) {
        self.memory = Some(Memory::new(limit));
    }

    /// Resident memory in bytes, if it is above the limit now.
    pub fn above_memory_limit(&mut self) -> Option<u64> {
        self.memory.as_mut()?.above(self.child.id())
    }

    /// Writes a line into the worker's log.
    pub fn note(&mut self, text: &str) {
        self.log.note(text);
    }

    /// Sends a request and waits for the reply, at most `timeout`.
    ///
    /// # Errors
    /// Any [`SimError`] except `Start`. After an error the worker must be dropped.
    pub fn ask(
        &mut self,
        request: &Request,
        body: &[u8],
        timeout: Duration,
    ) -> Result<(Reply, Vec<u8>), SimError> {
        let deadline = Instant::now() + timeout;
        match self.exchange(request, body, deadline) {
            Ok(Message { number, .. }) if number != self.number => {
                let text = format!("request {number}, it was asked {}", self.number);
                Err(SimError::Wire(text))
            }
            Ok(Message { header: Reply::Raised { cause, message, traceback }, .. }) => {
                Err(SimError::Raised { cause, message, traceback })
            }
            Ok(Message { header, body, .. }) => Ok((header, body)),
            Err(error) => Err(self.diagnose(&error, timeout)),
        }
    }

    fn exchange(
        &mut self,
        request: &Request,
        body: &[u8],
        deadline: Instant,
    ) -> io::Result<Message<Reply>> {
        if is_readable(&self.stream) {
            let text = "a message that nobody had asked for";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let id = self.child.id();
        if self.memory.as_mut().is_some_and(|memory| memory.is_far_above(id)) {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        self.number += 1;
        let remaining = deadline.saturating_duration_since(Instant::now());
        self.stream.set_write_timeout(Some(remaining.max(Duration::from_millis(1))))?;
        wire::send(&mut self.stream, self.number, request, body)?;
        let Self { child, stream, memory, .. } = self;
        wire::receive(&mut Waiting { stream, child, memory: memory.as_mut(), deadline })
    }

    /// Asks the worker to exit, waits at most `timeout`, and kills it if it is still running.
    pub fn close(mut self, timeout: Duration) {
        self.number += 1;
        if wire::send(&mut self.stream, self.number, &Request::Close, &[]).is_ok() {
            let _ = self.wait(timeout);
        }
    }

    /// The error for a failed exchange of messages; the worker is ended.
    fn diagnose(&mut self, error: &io::Error, timeout: Duration) -> SimError {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                self.end();
                SimError::Timeout(timeout)
            }
            io::ErrorKind::InvalidData => SimError::Wire(error.to_string()),
            io::ErrorKind::OutOfMemory => match &self.memory {
                Some(memory) => {
                    let error = memory.error();
                    self.log.note(&error.to_string());
                    error
                }
                None => SimError::Wire(error.to_string()),
            },
            _ => {
                // The socket closes a moment before the process can be waited for.
                let status = self.wait(Duration::from_secs(1));
                self.end();
                let how = match status {
                    Some(status) => match status.signal() {
                        Some(signal) => format!("signal {signal}, {}", describe_signal(signal)),
                        None => format!("exit code {}", status.code().unwrap_or(-1)),
                    },
                    None => error.to_string(),
                };
                SimError::Lost { how, cause: likely_cause(&self.log.last_words()) }
            }
        }
    }

    /// The exit status, if the process ends within `timeout`.
    fn wait(&mut self, timeout: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + timeout;
        loop {
            match self.child.try_wait() {
                Ok(None) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                status => return status.ok().flatten(),
            }
        }
    }

    /// Kills the worker and everything that descends from it, wherever that went.
    fn end(&mut self) {
        if std::mem::replace(&mut self.has_ended, true) {
            return;
        }
        let id = self.child.id();
        if let Ok(None) = self.child.try_wait() {
            // What is below it first: while its supervisor lives, orphans stay in its tree.
            tree::kill_all(|| {
                let mut found = tree::descendants(id);
                found.extend(tree::marked(&self.marker));
                found.remove(&id);
                found
            });
            let group = libc::pid_t::try_from(id).expect("a process id is a pid_t");
            // SAFETY: the group was created for this child, which has not been waited for.
            unsafe { libc::kill(-group, libc::SIGKILL) };
            let _ = self.child.wait();
        }
        started().remove(&id);
        // Without a supervisor, or where it was killed, this process adopted the orphans.
        tree::kill_all(|| {
            let mut found = tree::marked(&self.marker);
            found.extend(tree::adopted(&started()));
            found
        });
        self.log.finish(Duration::from_secs(1));
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.end();
    }
}

fn started() -> MutexGuard<'static, BTreeSet<u32>> {
    STARTED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A value of [`MARKER`] that no other worker has.
fn new_marker() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("{}-{}-{count}", std::process::id(), now.as_nanos())
}

#[cfg(test)]
#[path = "process_tests.rs"]
mod tests;
