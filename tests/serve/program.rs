//! The program `udvla-eval serve`.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use crate::support::wait_for;

/// A running server.
pub struct Program {
    child: Child,
    log: tempfile::NamedTempFile,
    pub address: String,
}

impl Program {
    /// Starts it on a free port and waits until it is ready.
    pub fn start(protocol: &str, benchmark: &str, checkpoint: &str, words: &[&str]) -> Self {
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_udvla-eval"))
            .args(["serve", "--port", "0", "--device", "cpu", "--denoise-steps", "2"])
            .args(["--protocol", protocol, "--benchmark", benchmark, "--checkpoint", checkpoint])
            .args(words)
            .stdout(Stdio::piped())
            .stderr(log.reopen().unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split("ws://").nth(1).and_then(|rest| rest.split(' ').next());
        let text = || std::fs::read_to_string(log.path()).unwrap();
        let address = address.unwrap_or_else(|| panic!("{line}{}", text())).to_owned();
        Self { child, log, address }
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap()
    }

    /// Sends what Ctrl-C sends.
    pub fn interrupt(&self) {
        let process = i32::try_from(self.child.id()).unwrap();
        // SAFETY: a signal to a child that was not waited for.
        unsafe { libc::kill(process, libc::SIGINT) };
    }

    /// Waits for its end; returns the exit code and everything that it logged.
    pub fn ended(mut self) -> (i32, String) {
        wait_for(|| self.child.try_wait().unwrap().is_some(), "the end of the server");
        (self.child.wait().unwrap().code().unwrap_or(-1), self.log())
    }

    /// Interrupts it and waits for its end.
    pub fn stop(self) -> (i32, String) {
        self.interrupt();
        self.ended()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
