//! The kinds of faults: what is injected, and what a run must do about it.

/// A kind of fault.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its name in the table of `docs/reliability.md`.
    pub name: &'static str,
    /// What is injected.
    pub injected: &'static str,
    /// What a run does about it.
    pub outcome: &'static str,
    /// How it is injected.
    pub means: Means,
}

/// How a fault is injected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Means {
    /// An option of the fake simulator that lists episodes.
    Switch(&'static str, Cost),
    /// An option of the fake simulator for every worker and episode of a run.
    Option(Everywhere),
    /// A signal to one worker, with or without a SIGCONT soon after it.
    Worker(i32),
    WorkerPause,
    /// Signals to the orchestrator, up to 50 ms apart.
    Orchestrator(&'static [i32]),
    OrchestratorPause,
    /// How the orchestrator is started.
    Condition(Condition),
    /// A second process on the same directory while the run is going on.
    Beside(Second),
    /// A change of the directory between two processes.
    Directory(Change),
}

/// What a fault of the fake simulator costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cost {
    /// The episode is played again.
    Attempt,
    /// The fault comes back with every attempt: the episode gets a record of an error.
    Episode,
}

/// What every worker of a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Everywhere {
    /// Opens after some hundred milliseconds.
    SlowStart,
    /// Prints some MiB in every episode.
    Flood,
    /// Starts processes that leave their session and outlive their parent.
    Orphans,
}

/// What the orchestrator finds when it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// A file system of some hundred kilobytes.
    SmallDisk,
    /// No file may grow beyond some kilobytes.
    SmallFiles,
    /// A dozen or so file descriptors.
    FewDescriptors,
    /// Descriptors 0, 1 and 2 are closed.
    ClosedOutput,
    /// Standard output or standard error on `/dev/full`.
    FullOutput,
    /// Both are a pipe that nobody reads.
    BrokenPipe,
    /// A wall clock that jumps by up to ten years at every look.
    Clock,
}

/// What the second process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Second {
    /// The same command.
    Run,
    Resume,
    /// Readers: `report` and `export`.
    Readers,
}

/// How the directory changes between two processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The last line loses its end.
    TornLine,
    /// A block of zeros after the last line.
    Zeros,
    /// The beginning of a line of random bytes after the last line.
    Garbage,
    /// Temporary files, a scratch folder and a lock file that no process holds.
    Leftovers,
}

const fn kind(
    name: &'static str,
    means: Means,
    injected: &'static str,
    outcome: &'static str,
) -> Kind {
    Kind { name, injected, outcome, means }
}

use Condition::{
    BrokenPipe, Clock, ClosedOutput, FewDescriptors, FullOutput, SmallDisk, SmallFiles,
};
use Cost::{Attempt, Episode};
use Means::{
    Beside, Condition as Started, Directory, Option, Orchestrator, OrchestratorPause, Switch,
    Worker, WorkerPause,
};

const RETRIED: &str = "worker replaced, episode played again";
const CONTINUED: &str = "`resume` or the same command completes the run";
const DRAINED: &str =
    "running episodes are finished, exit 3 (130 while tables are written); resumed";
const UNMOVED: &str = "no effect";

/// Every kind that is injected.
pub const KINDS: &[Kind] = &[
    kind("worker aborts", Switch("crash", Attempt), "`abort()` in a reset", RETRIED),
    kind("worker hangs", Switch("hang", Attempt), "a reset that takes an hour", RETRIED),
    kind("worker raises", Switch("raise", Attempt), "an exception in a reset", RETRIED),
    kind(
        "worker always raises",
        Switch("poison", Episode),
        "an exception in every reset of an episode",
        "one record with `status` `error` after the retries, exit 4",
    ),
    kind("garbage", Switch("garbage", Attempt), "bytes that are no frame", RETRIED),
    kind("cut frame", Switch("cut", Attempt), "half a frame, then the end", RETRIED),
    kind("stalled frame", Switch("stall", Attempt), "half a frame, then nothing", RETRIED),
    kind("huge frame", Switch("huge", Attempt), "a frame of 4 GiB", RETRIED),
    kind("doubled reply", Switch("double", Attempt), "the same reply twice", RETRIED),
    kind("reply out of turn", Switch("number", Attempt), "the number of another request", RETRIED),
    kind("early end", Switch("early", Attempt), "an episode that is over before a step", RETRIED),
    kind(
        "one image too many",
        Switch("images", Attempt),
        "an image that was not announced",
        RETRIED,
    ),
    kind("NaN", Switch("nan", Attempt), "NaN in the state", RETRIED),
    kind("steps go back", Switch("back", Attempt), "fewer steps than before", RETRIED),
    kind("too many steps", Switch("far", Attempt), "more steps than were asked for", RETRIED),
    kind("impossible stage", Switch("stage", Attempt), "stage 99", RETRIED),
    kind("forged actions", Switch("forged", Attempt), "actions that were not sent", RETRIED),
    kind("slow start", Option(Everywhere::SlowStart), "workers open after 40 to 100 ms", UNMOVED),
    kind("log flood", Option(Everywhere::Flood), "1 or 2 MiB of output in every episode", UNMOVED),
    kind(
        "runaway children",
        Option(Everywhere::Orphans),
        "processes that leave their session in every episode",
        "ended with the run",
    ),
    kind("worker killed", Worker(libc::SIGKILL), "SIGKILL at a random moment", RETRIED),
    kind("worker segfaults", Worker(libc::SIGSEGV), "SIGSEGV at a random moment", RETRIED),
    kind("worker terminated", Worker(libc::SIGTERM), "SIGTERM at a random moment", RETRIED),
    kind("worker stopped", Worker(libc::SIGSTOP), "SIGSTOP without an end", RETRIED),
    kind("worker paused", WorkerPause, "SIGSTOP, SIGCONT within 0.3 s", UNMOVED),
    kind("run killed", Orchestrator(&[libc::SIGKILL]), "SIGKILL at a random moment", CONTINUED),
    kind("run interrupted", Orchestrator(&[libc::SIGINT]), "SIGINT at a random moment", DRAINED),
    kind("run terminated", Orchestrator(&[libc::SIGTERM]), "SIGTERM at a random moment", DRAINED),
    kind("terminal hung up", Orchestrator(&[libc::SIGHUP]), "SIGHUP at a random moment", DRAINED),
    kind(
        "run interrupted twice",
        Orchestrator(&[libc::SIGINT, libc::SIGINT]),
        "SIGINT twice within 50 ms",
        "running episodes are dropped, exit 130; resumed",
    ),
    kind("run paused", OrchestratorPause, "SIGSTOP, SIGCONT within 0.3 s", UNMOVED),
    kind(
        "disk full",
        Started(SmallDisk),
        "a file system of 150 to 500 KiB, enlarged before the last process",
        "exit 1, an error that names the file; resumed",
    ),
    kind(
        "file too large",
        Started(SmallFiles),
        "files of at most 1 to 12 KiB (RLIMIT_FSIZE)",
        "exit 1, an error that names the file; resumed",
    ),
    kind(
        "few descriptors",
        Started(FewDescriptors),
        "12 to 40 file descriptors (RLIMIT_NOFILE)",
        "runs, or ends with an error; resumed",
    ),
    kind("output closed", Started(ClosedOutput), "descriptors 0 to 2 closed", UNMOVED),
    kind("output full", Started(FullOutput), "stdout or stderr on `/dev/full`", UNMOVED),
    kind("output unread", Started(BrokenPipe), "stdout and stderr a closed pipe", UNMOVED),
    kind("clock jumps", Started(Clock), "a wall clock that jumps by up to ten years", UNMOVED),
    kind(
        "second run",
        Beside(Second::Run),
        "the same command beside the run",
        "the second is refused, exit 2; the first goes on",
    ),
    kind(
        "second resume",
        Beside(Second::Resume),
        "`resume` beside the run",
        "the second is refused, exit 2; the first goes on",
    ),
    kind("readers", Beside(Second::Readers), "`report` and `export` beside the run", UNMOVED),
    kind(
        "torn line",
        Directory(Change::TornLine),
        "the last record loses its end after a kill",
        "the line is cut off, its episode played again",
    ),
    kind("zeros", Directory(Change::Zeros), "zeros after the last record", "cut off"),
    kind("garbage at the end", Directory(Change::Garbage), "random bytes after it", "cut off"),
    kind("leftovers", Directory(Change::Leftovers), "temporary files, scratch, lock", UNMOVED),
];

/// The kind of this name.
pub fn named(name: &str) -> &'static Kind {
    KINDS.iter().find(|kind| kind.name == name).unwrap_or_else(|| panic!("no kind `{name}`"))
}
