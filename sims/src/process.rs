//! Worker processes: starts one, sends it requests with a deadline, kills it when it hangs.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

pub use crate::error::SimError;

use crate::causes::{describe_signal, likely_cause};
use crate::shell;
use crate::wire::{self, OpenConfig, Reply, Request, WIRE_VERSION};

/// Command line of a worker.
#[derive(Debug, Clone)]
pub struct WorkerCommand {
    /// The executable: `udvla-sim-worker`, or a fake that speaks the same wire.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Environment variables in addition to those of this process.
    pub environment: BTreeMap<String, String>,
    /// File that its standard output and error are appended to.
    pub log: PathBuf,
}

/// A running worker. Dropping it kills the process and its children.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    stream: UnixStream,
    /// Its log, and the offset at which this worker's output starts.
    log: PathBuf,
    log_start: u64,
}

impl Worker {
    /// Starts a worker in a process group of its own. It ends with the calling thread: by
    /// end-of-file on its socket, or by a signal from the kernel if it is not reading.
    ///
    /// # Errors
    /// When the log cannot be opened or the executable cannot be started.
    pub fn start(command: &WorkerCommand) -> Result<Self, SimError> {
        let failed = |source| SimError::Start { program: command.program.clone(), source };
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        let mut options = OpenOptions::new();
        let log = options.create(true).append(true).open(&command.log).map_err(failed)?;
        let log_start = log.metadata().map_err(failed)?.len();
        let mut process = Command::new(&command.program);
        process.args(&command.arguments);
        // Our library path must not reach a simulator that brings another libtorch either.
        for name in shell::withheld() {
            process.env_remove(name);
        }
        process
            .envs(shell::kernels())
            .envs(&command.environment)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::from(log.try_clone().map_err(failed)?))
            .stderr(Stdio::from(log))
            .process_group(0);
        // SAFETY: prctl is async-signal-safe and touches only the new process.
        unsafe {
            process.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        let child = process.spawn().map_err(failed)?;
        Ok(Self { child, stream: ours, log: command.log.clone(), log_start })
    }

    /// Starts a worker and opens its adapter. `started` is called with the process id before the
    /// adapter is loaded, so that another thread can end the wait by killing the process.
    ///
    /// # Errors
    /// Those of [`Worker::start`] and [`Worker::ask`]; `Wire` when versions differ.
    pub fn open(
        command: &WorkerCommand,
        config: OpenConfig,
        timeout: Duration,
        started: impl FnOnce(u32),
    ) -> Result<(Self, Reply), SimError> {
        let mut worker = Self::start(command)?;
        started(worker.id());
        let open = Request::Open { wire: WIRE_VERSION, config: Box::new(config) };
        match worker.ask(&open, &[], timeout)? {
            (ready @ Reply::Ready { wire: WIRE_VERSION, .. }, _) => Ok((worker, ready)),
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
        let reply = self
            .stream
            .set_write_timeout(Some(timeout))
            .and_then(|()| wire::send(&mut self.stream, request, body))
            .and_then(|()| wire::receive(&mut Deadline { stream: &self.stream, deadline }));
        match reply {
            Ok((Reply::Raised { cause, message, traceback }, _)) => {
                Err(SimError::Raised { cause, message, traceback })
            }
            Ok(reply) => Ok(reply),
            Err(error) => Err(self.diagnose(&error, timeout)),
        }
    }

    /// Asks the worker to exit, waits at most `timeout`, and kills it if it is still running.
    pub fn close(mut self, timeout: Duration) {
        if wire::send(&mut self.stream, &Request::Close, &[]).is_ok() {
            let _ = self.wait(timeout);
        }
    }

    /// The error for a failed exchange of messages.
    fn diagnose(&mut self, error: &io::Error, timeout: Duration) -> SimError {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                self.kill();
                SimError::Timeout(timeout)
            }
            io::ErrorKind::InvalidData => SimError::Wire(error.to_string()),
            _ => {
                // The socket closes a moment before the process can be waited for.
                let status = self.wait(Duration::from_secs(1));
                self.kill();
                let how = match status {
                    Some(status) => match status.signal() {
                        Some(signal) => format!("signal {signal}, {}", describe_signal(signal)),
                        None => format!("exit code {}", status.code().unwrap_or(-1)),
                    },
                    None => error.to_string(),
                };
                SimError::Lost { how, cause: likely_cause(&self.log_tail()) }
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

    /// The last 64 KiB of this worker's output, without that of earlier workers in the same log.
    fn log_tail(&self) -> String {
        let read = || -> io::Result<Vec<u8>> {
            let mut file = File::open(&self.log)?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(self.log_start.max(length.saturating_sub(1 << 16))))?;
            let mut bytes = vec![];
            file.read_to_end(&mut bytes).map(|_| bytes)
        };
        String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
    }

    fn kill(&mut self) {
        let group = libc::pid_t::try_from(self.child.id()).expect("a process id is a pid_t");
        // SAFETY: the group was created for this child. Its id stays in use while any member
        // lives; without members the call has no effect.
        unsafe { libc::kill(-group, libc::SIGKILL) };
        let _ = self.child.wait();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The error for a reply that does not fit the request.
pub fn unexpected(reply: &Reply) -> SimError {
    let mut text = format!("{reply:?}");
    text.truncate(text.floor_char_boundary(200));
    SimError::Wire(format!("out of turn: {text}"))
}

/// A stream with one deadline for all reads together.
struct Deadline<'a> {
    stream: &'a UnixStream,
    deadline: Instant,
}

impl Read for Deadline<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let remaining = self.deadline.saturating_duration_since(Instant::now());
        if remaining.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(remaining))?;
        self.stream.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> (tempfile::TempDir, Worker) {
        let folder = tempfile::tempdir().unwrap();
        let command = WorkerCommand {
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            environment: BTreeMap::from([("UDVLA_TEST_VALUE".into(), "passed on".into())]),
            log: folder.path().join("log"),
        };
        let worker = Worker::start(&command).unwrap();
        (folder, worker)
    }

    fn alive(process: u32) -> bool {
        std::path::Path::new(&format!("/proc/{process}/stat")).exists()
    }

    #[test]
    fn a_worker_that_dies_is_lost_with_its_exit_code() {
        let (_folder, mut worker) = shell("exit 7");
        let error = worker.ask(&Request::Close, &[], Duration::from_secs(10)).unwrap_err();
        assert_eq!(error.kind(), "lost");
        assert!(error.to_string().contains("exit code 7"), "{error}");
    }

    #[test]
    fn a_crash_is_explained_from_the_output_of_that_worker_alone() {
        let crash = |script: &str| {
            let (_folder, mut worker) = shell(script);
            worker.ask(&Request::Close, &[], Duration::from_secs(10)).unwrap_err().to_string()
        };
        let text =
            crash("echo 'RuntimeError: Cannot find a suitable rendering device'; kill -SEGV $$");
        assert!(text.contains("signal 11, a segmentation fault"), "{text}");
        assert!(text.contains("likely cause: no Vulkan driver"), "{text}");
        let text = crash("echo 'all is well'; exit 3");
        assert_eq!(text, "the simulator worker died (exit code 3)");
    }

    #[test]
    fn a_worker_has_the_variables_of_its_command() {
        let (folder, mut worker) = shell("echo $UDVLA_TEST_VALUE");
        worker.ask(&Request::Close, &[], Duration::from_secs(10)).unwrap_err();
        let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
        assert_eq!(log, "passed on\n");
    }

    #[test]
    fn a_worker_that_hangs_is_killed_with_its_children() {
        let (folder, mut worker) = shell("sleep 1000 & echo $!; wait");
        let error = worker.ask(&Request::Close, &[], Duration::from_millis(300)).unwrap_err();
        assert_eq!(error.kind(), "timeout");
        let grandchild: u32 =
            std::fs::read_to_string(folder.path().join("log")).unwrap().trim().parse().unwrap();
        let end = Instant::now() + Duration::from_secs(10);
        while alive(grandchild) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(!alive(grandchild), "process {grandchild} outlived its group");
    }

    #[test]
    fn bytes_that_are_no_frame_are_a_wire_error() {
        let (_folder, mut worker) = shell("printf 'Segmentation fault, or so' >&0; sleep 10");
        let error = worker.ask(&Request::Close, &[], Duration::from_secs(10)).unwrap_err();
        assert_eq!(error.kind(), "wire", "{error}");
    }

    #[test]
    fn a_missing_executable_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let command = WorkerCommand {
            program: "/nowhere/udvla-sim-worker".into(),
            arguments: vec![],
            environment: BTreeMap::new(),
            log: folder.path().join("log"),
        };
        let error = Worker::start(&command).unwrap_err();
        assert!(error.to_string().contains("/nowhere/udvla-sim-worker"), "{error}");
        assert!(error.is_setup());
    }
}
