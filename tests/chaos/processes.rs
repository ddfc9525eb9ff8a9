//! Starts the program, finds its processes, sends signals, and waits with a limit.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The environment variable by which the processes of a case are found.
const MARK: &str = "UDVLA_CHAOS_MARK";

/// A running program, with its output in files.
pub struct Process {
    child: Child,
    mark: String,
    started: Instant,
    /// What it printed.
    pub stdout: PathBuf,
    pub stderr: PathBuf,
}

impl Process {
    /// Starts the program with these words; `prepare` may change the command.
    pub fn start(
        words: &[String],
        mark: &str,
        output: &Path,
        prepare: impl FnOnce(&mut Command) -> io::Result<()>,
    ) -> io::Result<Self> {
        let (stdout, stderr) = (output.with_extension("out"), output.with_extension("err"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_udvla-eval"));
        command.args(words).env(MARK, mark).stdin(Stdio::null());
        command.stdout(File::create(&stdout)?).stderr(File::create(&stderr)?);
        for name in ["UDVLA_CHECKPOINT", "UDVLA_LIBERO_ASSETS", "CALVIN_ROOT", "SIMPLER_ROOT"] {
            command.env_remove(name);
        }
        prepare(&mut command)?;
        let child = command.spawn()?;
        Ok(Self { child, mark: mark.into(), started: Instant::now(), stdout, stderr })
    }

    /// Since its start.
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Its exit status, once it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Sends a signal to the program alone.
    pub fn signal(&self, signal: i32) {
        // It has not been waited for while `ended` gave `None`, so its number is its own.
        send(self.child.id(), signal);
    }

    /// Its workers: processes with its mark, itself excluded.
    pub fn workers(&self) -> Vec<u32> {
        let mut workers = marked(&self.mark);
        workers.retain(|process| *process != self.child.id());
        workers
    }

    /// Kills it and everything it started.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for process in marked(&self.mark) {
            send(process, libc::SIGKILL);
        }
    }
}

/// Sends a signal; a process that is gone is no error.
pub fn send(process: u32, signal: i32) -> bool {
    let process = i32::try_from(process).expect("a process id is a pid_t");
    // SAFETY: sends a signal to a process of this test, found by its mark.
    unsafe { libc::kill(process, signal) == 0 }
}

/// Living processes that carry a mark in their environment or as their name.
pub fn marked(mark: &str) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").expect("/proc is there").flatten();
    let processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let variable = format!("{MARK}={mark}");
    processes.filter(|process| carries(*process, &variable, mark)).collect()
}

fn carries(process: u32, variable: &str, name: &str) -> bool {
    let read = |file: &str| std::fs::read(format!("/proc/{process}/{file}")).unwrap_or_default();
    // Zombies have no environment; their name is still there, so the state is looked at.
    let named = read("comm").trim_ascii() == name.as_bytes();
    (named && !String::from_utf8_lossy(&read("stat")).contains(") Z"))
        || read("environ").split(|byte| *byte == 0).any(|entry| entry == variable.as_bytes())
}

/// Processes with this mark that are still there after `limit`.
pub fn survivors(mark: &str, limit: Duration) -> Vec<u32> {
    let end = Instant::now() + limit;
    loop {
        let left = marked(mark);
        if left.is_empty() || Instant::now() > end {
            return left;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
