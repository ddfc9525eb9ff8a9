//! Faults while a process runs: signals, and other processes beside it.

use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::case::{Act, When};
use crate::kinds::{Means, Second};
use crate::play::resume;
use crate::processes::{Process, send};
use crate::trace::Trace;

/// The faults of one process that are still to come.
pub struct Injector<'a> {
    waiting: Vec<Pending<'a>>,
    directory: PathBuf,
    /// The run's command, for a second process.
    words: Vec<String>,
    /// Signals for later: the target (`None`: the program) and the signal.
    later: Vec<(Instant, Option<u32>, i32)>,
    signals: Vec<Sent>,
    /// Records that were there before the process.
    before: usize,
    /// Longest time for the process.
    limit: Duration,
}

/// When a pause ends.
fn soon(rng: &mut Rng) -> Instant {
    Instant::now() + Duration::from_millis(rng.u64(1..300))
}

/// A signal that the program received.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    pub signal: i32,
    /// Whether the process had written a record, and so listened to signals.
    pub heard: bool,
}

struct Pending<'a> {
    act: &'a Act,
    /// When it is due, once that is known.
    due: Option<Instant>,
}

impl<'a> Injector<'a> {
    /// An injector for a process that was just started.
    pub fn new(acts: &'a [Act], directory: PathBuf, words: Vec<String>, limit: Duration) -> Self {
        let waiting = acts.iter().map(|act| Pending { act, due: None }).collect();
        let mut injector =
            Self { waiting, directory, words, later: vec![], signals: vec![], before: 0, limit };
        injector.before = injector.records();
        injector
    }

    /// Signals that should end the program.
    pub fn signals(&self) -> &[Sent] {
        &self.signals
    }

    /// Waits for the end of the process, and injects meanwhile.
    pub fn watch(
        &mut self,
        process: &mut Process,
        rng: &mut Rng,
        trace: &mut Trace,
    ) -> Result<ExitStatus, String> {
        loop {
            if let Some(status) = process.ended() {
                return Ok(status);
            }
            if process.age() > self.limit {
                process.kill();
                return Err(format!("still running after {:?}", self.limit));
            }
            self.send_later(process);
            for act in self.due(process) {
                self.inject(act, process, rng, trace)?;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn send_later(&mut self, process: &Process) {
        let now = Instant::now();
        for (_, target, signal) in self.later.extract_if(.., |(due, ..)| *due <= now) {
            match target {
                Some(target) => _ = send(target, signal),
                None => process.signal(signal),
            }
        }
    }

    /// Faults whose moment has come.
    fn due(&mut self, process: &Process) -> Vec<&'a Act> {
        let (now, began) = (Instant::now(), Instant::now() - process.age());
        let done = self.records().saturating_sub(self.before);
        for pending in &mut self.waiting {
            pending.due = pending.due.or_else(|| match pending.act.when {
                When::Age(age) => Some(began + age),
                When::Records(count, delay) => (done >= count).then(|| now + delay),
            });
        }
        let due = |pending: &mut Pending| pending.due.is_some_and(|due| due <= now);
        self.waiting.extract_if(.., due).map(|pending| pending.act).collect()
    }

    /// Lines of the records' file.
    fn records(&self) -> usize {
        let bytes = std::fs::read(self.directory.join("episodes.jsonl")).unwrap_or_default();
        bytes.iter().filter(|byte| **byte == b'\n').count()
    }

    fn inject(
        &mut self,
        act: &'a Act,
        process: &mut Process,
        rng: &mut Rng,
        trace: &mut Trace,
    ) -> Result<(), String> {
        let age = process.age();
        let hit = match act.kind.means {
            Means::Worker(signal) => self.signal_worker(process, signal, rng).is_some(),
            Means::WorkerPause => {
                let worker = self.signal_worker(process, libc::SIGSTOP, rng);
                self.later.extend(worker.map(|worker| (soon(rng), Some(worker), libc::SIGCONT)));
                worker.is_some()
            }
            Means::OrchestratorPause => {
                process.signal(libc::SIGSTOP);
                self.later.push((soon(rng), None, libc::SIGCONT));
                true
            }
            Means::Orchestrator(signals) => self.signal(process, signals, rng),
            Means::Beside(second) => self.beside(second, process).map(|()| true)?,
            other => unreachable!("{other:?} does not happen while a process runs"),
        };
        if hit {
            trace.hit(act.kind, &format!("after {age:.2?}"));
        }
        Ok(())
    }

    /// Sends a signal to one worker, if there is one, and returns its process id.
    fn signal_worker(&self, process: &Process, signal: i32, rng: &mut Rng) -> Option<u32> {
        let workers = process.workers();
        let worker = *workers.get(rng.usize(..workers.len().max(1)))?;
        send(worker, signal).then_some(worker)
    }

    /// Sends signals to the program.
    fn signal(&mut self, process: &Process, signals: &[i32], rng: &mut Rng) -> bool {
        let gap = Duration::from_millis(rng.u64(1..50));
        let heard = self.records() > self.before;
        for (number, &signal) in (0..).zip(signals) {
            std::thread::sleep(gap * number.min(1));
            process.signal(signal);
            self.signals.push(Sent { signal, heard });
        }
        true
    }

    /// Runs another process on the same directory to its end.
    fn beside(&self, second: Second, process: &mut Process) -> Result<(), String> {
        let directory = self.directory.display().to_string();
        let csv = self.directory.with_extension("csv").display().to_string();
        let (commands, refused) = match second {
            Second::Run => (vec![self.words.clone()], true),
            Second::Resume => (vec![resume(&directory)], true),
            Second::Readers => {
                let export =
                    ["export", &directory, "--format", "csv", "-o", &csv].map(String::from);
                (vec![vec!["report".into(), directory], export.to_vec()], false)
            }
        };
        for words in commands {
            let mut command = Command::new(env!("CARGO_BIN_EXE_udvla-eval"));
            let output = command.args(&words).stdin(Stdio::null()).output();
            let output = output.map_err(|error| error.to_string())?;
            let code = output.status.code();
            // Only while the run is going on is the answer certain.
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            let full = code == Some(1) && text.contains("No space left on device");
            // The lock is held while episodes are played, not while the last tables are written.
            let late = code == Some(0) && text.contains("episodes are done already");
            let expected = if refused { code == Some(2) || late } else { code == Some(0) || full };
            if process.ended().is_none() && !expected {
                return Err(format!("beside the run, {words:?} ended with {code:?}: {text}"));
            }
        }
        Ok(())
    }
}
