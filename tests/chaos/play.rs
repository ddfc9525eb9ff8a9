//! Plays a case: starts its processes one after the other, injects, and checks what is left.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use fastrand::Rng;

use crate::case::{Again, Case, Phase, change, is_running};
use crate::conditions::{SmallDisk, prepare};
use crate::inject::{Injector, Sent};
use crate::kinds::{Condition, Cost, Everywhere, Kind, Means};
use crate::outcomes::Outcomes;
use crate::processes::{Process, survivors};
use crate::trace::Trace;

/// Longest time for what a process started to end after it.
pub const LINGERING: Duration = Duration::from_secs(5);

/// What all cases of a scenario have in common.
pub struct Calm {
    /// The command, without a run directory.
    pub words: Vec<String>,
    /// Seconds for a call and for the start of a simulator, and for one process of a case.
    pub limits: Limits,
    /// Names of its episodes, in order.
    pub episodes: Vec<String>,
    /// What an undisturbed run left.
    pub outcomes: Outcomes,
}

/// Seconds.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub step: u64,
    pub start: u64,
    pub process: u64,
}

/// A case being played.
pub struct Play<'a> {
    pub case: &'a Case,
    pub calm: &'a Calm,
    /// A folder of all cases, and one of this case alone.
    pub shared: PathBuf,
    pub folder: PathBuf,
    /// The mark of its processes.
    pub mark: String,
    pub rng: Rng,
    pub trace: Trace,
}

impl Play<'_> {
    /// Plays the case. Every fault that was delivered is in `trace`, whatever the result.
    pub fn go(&mut self) -> Result<(), String> {
        std::fs::create_dir(self.home()).map_err(|error| error.to_string())?;
        let disk = self.small_disk();
        for (number, phase) in self.case.phases.iter().enumerate() {
            self.change(phase)?;
            let is_last = number + 1 == self.case.phases.len();
            if let Some(disk) = disk.as_ref().filter(|_| is_last) {
                disk.enlarge().map_err(|error| format!("cannot enlarge the disk: {error}"))?;
            }
            self.process(number, phase, disk.is_some() && !is_last)?;
        }
        self.check()
    }

    /// The parent of the run directory; the disk of a case with a small one.
    fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    fn directory(&self) -> PathBuf {
        self.home().join("run")
    }

    fn small_disk(&mut self) -> Option<SmallDisk> {
        let size = self.rng.u64(150..500);
        let wanted = self.case.has_small_disk();
        let mounted = wanted.then(|| SmallDisk::mount(&self.home(), size))?;
        let text = match &mounted {
            Ok(_) => format!("a disk of {size} KiB"),
            Err(error) => format!("no small disk: {error}"),
        };
        self.trace.note(text);
        mounted.ok()
    }

    fn change(&mut self, phase: &Phase) -> Result<(), String> {
        let Some(kind) = phase.change else { return Ok(()) };
        let Means::Directory(how) = kind.means else { return Ok(()) };
        match change(&self.directory(), how, &mut self.rng) {
            Ok(true) => self.trace.hit(kind, "done"),
            Ok(false) => {}
            // The case's disk is full already.
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => {}
            Err(error) => return Err(format!("cannot change the directory: {error}")),
        }
        Ok(())
    }

    /// Words of a process: the command, or `resume` where the seed says so and there is a run.
    fn words(&self, again: Again) -> Vec<String> {
        let directory = self.directory().display().to_string();
        if again == Again::Resume && self.directory().join("run.json").exists() {
            return resume(&directory);
        }
        let mut words = [&self.calm.words[..], &["--out".into(), directory]].concat();
        let (case, limits) = (self.case, self.calm.limits);
        let flags = [
            ("--workers", case.workers as u64),
            ("--retries", case.retries.into()),
            ("--step-timeout", limits.step),
            ("--start-timeout", limits.start),
        ];
        words.extend(flags.into_iter().flat_map(|(flag, value)| [flag.into(), value.to_string()]));
        words.extend(self.switches().into_iter().flat_map(|it| ["--sim-option".to_owned(), it]));
        words
    }

    /// Options of the fake simulator.
    fn switches(&self) -> Vec<String> {
        let mut lists = std::collections::BTreeMap::<&str, Vec<&str>>::new();
        for (kind, episode) in &self.case.listed {
            if let Means::Switch(name, _) = kind.means {
                lists.entry(name).or_default().push(&self.calm.episodes[*episode]);
            }
        }
        let listed = lists.into_iter().map(|(name, keys)| format!("{name}={}", keys.join(",")));
        let everywhere = self.case.everywhere.iter().filter_map(|kind| match kind.means {
            Means::Option(Everywhere::SlowStart) => {
                Some(format!("start_ms={}", 20 * self.case.listed.len()))
            }
            Means::Option(Everywhere::Flood) => Some(format!("flood={}", self.case.workers - 1)),
            Means::Option(Everywhere::Orphans) => Some(format!("orphans={}", self.mark)),
            _ => None,
        });
        let pace = case_pace(self.case).into_iter();
        pace.chain(listed).chain(everywhere).collect()
    }

    /// Runs one process to its end.
    fn process(&mut self, number: usize, phase: &Phase, small_disk: bool) -> Result<(), String> {
        let words = self.words(phase.again);
        let condition = phase.condition.filter(|kind| is_found(kind, small_disk));
        let output = self.folder.join(format!("process-{number}"));
        self.trace.note(format!("process {number}: udvla-eval {}", words.join(" ")));
        let rng = &mut self.rng;
        let process = Process::start(&words, &self.mark, &output, |command| match condition {
            Some(Kind { means: Means::Condition(condition), .. }) => {
                prepare(command, *condition, rng, &self.shared)
            }
            _ => Ok(()),
        });
        let mut process = process.map_err(|error| format!("cannot start the program: {error}"))?;
        if let Some(kind) = condition {
            self.trace.hit(kind, "set up");
        }
        let words = self.words(Again::SameCommand);
        let limit = Duration::from_secs(self.calm.limits.process);
        let mut injector = Injector::new(&phase.acts, self.directory(), words, limit);
        let status = injector.watch(&mut process, &mut self.rng, &mut self.trace)?;
        let mut allowed = self.allowed(condition, injector.signals());
        allowed.extend(small_disk.then_some(1));
        self.judge(&process, status, &allowed)
    }

    /// Exit codes and signals (negative) that a process may end with.
    fn allowed(&self, condition: Option<&Kind>, signals: &[Sent]) -> Vec<i32> {
        let mut allowed = vec![if self.case.is_unrunnable() { 4 } else { 0 }];
        match condition.map(|kind| kind.means) {
            Some(Means::Condition(Condition::SmallFiles)) => allowed.push(1),
            // Without a worker there is no run.
            Some(Means::Condition(Condition::FewDescriptors)) => allowed.extend([1, 2, 5]),
            _ => {}
        }
        if !signals.is_empty() {
            // Before the program listens, a signal does what it does to any process.
            let deadly = |sent: &&Sent| sent.signal == libc::SIGKILL || !sent.heard;
            allowed.extend(signals.iter().filter(deadly).map(|sent| -sent.signal));
            allowed.push(3);
            // While tables are written there is nothing left to finish.
            if signals.len() > 1 || !is_running(&self.directory()) {
                allowed.push(130);
            }
        }
        allowed
    }

    fn judge(
        &mut self,
        process: &Process,
        status: ExitStatus,
        allowed: &[i32],
    ) -> Result<(), String> {
        use std::os::unix::process::ExitStatusExt;
        let code = status.code().unwrap_or_else(|| -status.signal().unwrap_or(0));
        self.trace.note(format!("  ended with {code} after {:.2?}", process.age()));
        let left = survivors(&self.mark, LINGERING);
        let read = |path: &Path| {
            String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
        };
        let printed = read(&process.stdout) + &read(&process.stderr);
        if !left.is_empty() {
            left.iter().for_each(|orphan| _ = crate::processes::send(*orphan, libc::SIGKILL));
            return Err(format!("{} processes are left after {LINGERING:?}: {left:?}", left.len()));
        }
        if let Some(text) = panics(&printed, &self.directory().join("logs")) {
            return Err(text);
        }
        if !allowed.contains(&code) {
            return Err(format!("ended with {code} instead of one of {allowed:?}: {printed}"));
        }
        // With its output closed, full or unread, nothing can be said.
        if code == 1 && !printed.contains("error: ") {
            return Err(format!("exit code 1 without an error: {printed}"));
        }
        Ok(())
    }

    /// Compares what is left with an undisturbed run.
    fn check(&mut self) -> Result<(), String> {
        let outcomes = Outcomes::read(&self.directory())?;
        let episode = |index: &usize| &self.calm.episodes[*index];
        let always = |kind: &Kind| matches!(kind.means, Means::Switch(_, Cost::Episode));
        let listed = self.case.listed.iter();
        let unrunnable: Vec<String> = listed
            .clone()
            .filter(|(kind, _)| always(kind))
            .map(|(_, index)| episode(index).clone())
            .collect();
        for (kind, index) in listed {
            // A fault that cost no attempt was not injected, or was believed.
            if outcomes.attempts(episode(index)) < Some(2) {
                return Err(format!("{}: {} had one attempt", kind.name, episode(index)));
            }
            self.trace.hit(kind, episode(index));
        }
        for kind in &self.case.everywhere {
            self.trace.hit(kind, "every worker");
        }
        outcomes.check(&self.calm.outcomes, &unrunnable)
    }
}

/// The command that continues a run.
pub fn resume(directory: &str) -> Vec<String> {
    // The fake simulator is no part of an installation.
    ["resume", "--no-progress", "--trust", directory].map(String::from).to_vec()
}

/// Whether a condition can be had.
fn is_found(kind: &Kind, small_disk: bool) -> bool {
    small_disk || kind.means != Means::Condition(Condition::SmallDisk)
}

/// The fake simulator's delay per control step; the real ones need none.
fn case_pace(case: &Case) -> Option<String> {
    case.step_ms.map(|pause| format!("step_ms={pause}"))
}

/// The first panic in what the program or its workers printed.
fn panics(printed: &str, logs: &Path) -> Option<String> {
    let logs = std::fs::read_dir(logs).into_iter().flatten().flatten();
    let logs = logs.map(|log| std::fs::read(log.path()).unwrap_or_default());
    let texts = std::iter::once(printed.as_bytes().to_vec()).chain(logs);
    texts.map(|text| String::from_utf8_lossy(&text).into_owned()).find_map(|text| {
        let line = text.lines().find(|line| line.contains("panicked at"))?;
        Some(format!("a panic: {line}"))
    })
}
