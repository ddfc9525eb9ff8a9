//! The threads of a run: one per policy replica, one per simulator worker.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use udvla_policies::{Policy, PolicySpec};
use udvla_results::tables::format::shorten;
use udvla_sims::episode::EpisodeKey;
use udvla_sims::process::SimError;
use udvla_sims::wire::OpenConfig;

use super::batcher::{self, Closing, Question, Queue};
use super::event::{Event, Ready};
use super::worker::{Order, Shared, StopSwitch, WorkerOptions, WorkerThread};
use crate::exit::Refused;
use crate::plan::{Plan, Video};

/// Lines of a worker's log that an error quotes.
const QUOTED_LINES: usize = 12;
/// Characters of a line that an error quotes.
const QUOTED_CHARACTERS: usize = 400;

/// The running threads.
pub struct Pool {
    workers: Vec<Seat>,
    threads: Vec<JoinHandle<()>>,
    shared: Arc<Shared>,
    run_directory: PathBuf,
    events: Receiver<Event>,
    scratch: Scratch,
}

/// What came of opening the first worker.
#[derive(Debug)]
pub enum Opened {
    /// It is open.
    Ready(Ready),
    /// It could not be opened, which may pass.
    Failed {
        /// Why.
        error: String,
        /// The end of its log.
        last_words: String,
    },
    /// The user stopped the run.
    Interrupted,
}

/// The pool's side of a worker thread.
struct Seat {
    orders: Sender<Order>,
    /// Ends its worker.
    switch: Arc<StopSwitch>,
}

impl Pool {
    /// Starts all threads; no simulator is opened yet. `events` receives what they send through
    /// `report`, which others may use as well.
    ///
    /// # Errors
    /// When a thread cannot be started or the run directory is gone.
    pub fn start(
        plan: &Plan,
        policies: Vec<Box<dyn Policy>>,
        spec: &PolicySpec,
        (report, events): (Sender<Event>, Receiver<Event>),
    ) -> Result<Self> {
        // Workers have a working directory of their own: paths must be absolute.
        let run_directory = plan.directory.canonicalize()?;
        let scratch = Scratch::new(&run_directory)?;
        let shared = Arc::new(Shared::default());
        let (policy, questions) = channel();
        let mut pool =
            Self { workers: vec![], threads: vec![], shared, run_directory, events, scratch };
        pool.start_policies(plan, policies, questions, &report)?;
        let options = Arc::new(pool.worker_options(plan, spec)?);
        for index in 0..plan.execution.workers {
            let (orders, given) = channel();
            let switch = Arc::new(StopSwitch::default());
            let thread = WorkerThread {
                index,
                options: Arc::clone(&options),
                events: report.clone(),
                policy: policy.clone(),
                shared: Arc::clone(&pool.shared),
                switch: Arc::clone(&switch),
            };
            pool.spawn(format!("worker-{index:02}"), move || thread.run(&given))?;
            pool.workers.push(Seat { orders, switch });
        }
        Ok(pool)
    }

    fn start_policies(
        &mut self,
        plan: &Plan,
        policies: Vec<Box<dyn Policy>>,
        questions: Receiver<Question>,
        events: &Sender<Event>,
    ) -> Result<()> {
        let closing = Closing {
            max_rows: plan.execution.max_batch,
            wait: plan.execution.batch_wait.map(Duration::from_millis),
        };
        let busy = Arc::clone(&self.shared.busy);
        let queue = Arc::new(Queue::new(questions, closing, busy, policies.len()));
        for (index, policy) in policies.into_iter().enumerate() {
            let (queue, events) = (Arc::clone(&queue), events.clone());
            self.spawn(format!("policy-{index}"), move || batcher::run(policy, &queue, &events))?;
        }
        Ok(())
    }

    fn spawn(&mut self, name: String, work: impl FnOnce() + Send + 'static) -> Result<()> {
        self.threads.push(std::thread::Builder::new().name(name).spawn(work)?);
        Ok(())
    }

    fn worker_options(&self, plan: &Plan, spec: &PolicySpec) -> Result<WorkerOptions> {
        Ok(WorkerOptions {
            command: plan.simulator.command()?,
            config: OpenConfig {
                protocol: plan.protocol.clone(),
                suites: plan.suites(),
                images: !spec.cameras.is_empty(),
                last_look: plan.execution.save_futures,
                video: plan.execution.video != Video::None,
                scratch: String::new(),
                options: plan.simulator.adapter_options()?,
            },
            cards: plan.simulator.cards()?.into_iter().map(|card| card.bus).collect(),
            run_directory: self.run_directory.clone(),
            scratch: self.scratch.0.clone(),
            start_timeout: plan.execution.start_timeout(),
            step_timeout: plan.execution.step_timeout(),
            video: plan.execution.video,
            first_episodes: plan.first_episodes(),
            recycle: plan.execution.recycle,
            memory: plan.execution.worker_memory,
            seed: plan.execution.seed,
            controls: plan.controls,
            save_futures: plan.execution.save_futures,
        })
    }

    /// Opens the first worker alone: what its simulator is decides whether the run may start, and
    /// it warms caches that all workers share.
    ///
    /// # Errors
    /// [`Refused`] when the user has to provide what it lacks.
    pub fn open_first_worker(&self) -> Result<Opened> {
        self.order(0, Order::Open);
        match self.next_event() {
            Event::Ready { ready, .. } => Ok(Opened::Ready(ready)),
            Event::NotReady { error } if is_for_the_user(&error) => {
                Err(Refused::from(&error).into())
            }
            Event::NotReady { error } => {
                let log = self.run_directory.join("logs/worker-00.log");
                Ok(Opened::Failed { error: error.to_string(), last_words: last_words(&log) })
            }
            Event::Interrupt(_) => {
                self.stop();
                Ok(Opened::Interrupted)
            }
            Event::Fatal { error } => Err(error),
            other => unreachable!("no episode and no batch was started yet: {other:?}"),
        }
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// Has a worker play an episode.
    pub fn play(&self, worker: usize, key: &EpisodeKey) {
        self.order(worker, Order::Play(key.clone()));
    }

    fn order(&self, worker: usize, order: Order) {
        self.workers[worker].orders.send(order).expect("worker threads live until `join`");
    }

    /// Waits for the next event.
    pub fn next_event(&self) -> Event {
        self.events.recv().expect("worker threads hold senders until `join`")
    }

    /// Drops all running episodes and kills their workers.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for seat in &self.workers {
            seat.switch.stop();
        }
    }

    /// Closes all workers and waits for all threads.
    pub fn join(self) {
        drop(self.workers);
        for thread in self.threads {
            // A panic was printed by the thread that had it.
            let _ = thread.join();
        }
    }
}

/// Whether a worker cannot start until the user changes something. A machine that is short of
/// memory, processes or descriptors may have them a moment later.
fn is_for_the_user(error: &SimError) -> bool {
    let passes = [
        libc::EAGAIN,
        libc::EINTR,
        libc::EIO,
        libc::EMFILE,
        libc::ENFILE,
        libc::ENOMEM,
        libc::ENOSPC,
        libc::ESTALE,
        libc::ETXTBSY,
    ];
    match error {
        SimError::Start { source, .. } => {
            !source.raw_os_error().is_some_and(|code| passes.contains(&code))
        }
        other => other.is_setup(),
    }
}

/// The end of a worker's log, or the beginning of the stack trace that a crash left there.
fn last_words(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let crash = lines.iter().rposition(|line| line.starts_with("Fatal Python error"));
    let from = crash.unwrap_or(lines.len().saturating_sub(QUOTED_LINES));
    let quoted = &lines[from..lines.len().min(from + QUOTED_LINES)];
    let quoted: Vec<String> = quoted.iter().map(|line| shorten(line, QUOTED_CHARACTERS)).collect();
    let quoted = quoted.join("\n  ");
    if quoted.is_empty() {
        return "the worker printed nothing".into();
    }
    format!("the worker printed last:\n  {quoted}")
}

/// A folder for workers, removed at the end; what a killed run left is removed first.
struct Scratch(PathBuf);

impl Scratch {
    fn new(run_directory: &Path) -> Result<Self> {
        let folder = run_directory.join("scratch");
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir(&folder)
            .with_context(|| format!("cannot make `{}`", folder.display()))?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
