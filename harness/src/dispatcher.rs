//! Owns the state of a run: the queue, the attempts, the records. One thread, one receiver.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender};

use anyhow::Result;
use udvla_results::early::{EarlyStop, Watch};
use udvla_results::manifest::{BatchCounts, RunStatus};
use udvla_results::record::{EpisodeRecord, Seconds, Status};
use udvla_sims::episode::{EpisodeKey, Notes};
use udvla_sims::process::SimError;

use crate::event::{Event, Remarked};
use crate::exit::{Exit, Refused};
use crate::pool::{Order, Shared};
use crate::progress::Progress;
use crate::store::Store;

/// How often failures are forgiven.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Times an episode is tried again after its simulator failed.
    pub retries: u16,
    /// Failures in a row, over all workers, after which the run gives up.
    pub failures_in_a_row: usize,
}

/// What a dispatcher has to do.
#[derive(Debug)]
pub struct Duties {
    /// Episodes without a record, to be played in this order as far as workers' loaded tasks
    /// allow.
    pub episodes: Vec<EpisodeKey>,
    /// Stages per episode of each suite.
    pub stages: HashMap<String, u16>,
    /// The run's seed for sampling noise.
    pub seed: u64,
    /// How often failures are forgiven.
    pub patience: Patience,
    /// What may stop the run early; episodes are then played in their order.
    pub watch: Option<Watch>,
}

/// The dispatcher's side of a pool thread.
#[derive(Debug)]
pub struct Seat {
    /// Orders for the thread.
    pub orders: Sender<Order>,
    /// Process id of its worker, 0 for none.
    pub process: Arc<AtomicU32>,
}

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    /// The manifest's word for it.
    pub status: RunStatus,
    /// The program's.
    pub exit: Exit,
    /// What went wrong, for the terminal.
    pub message: Option<String>,
    /// Why the run stopped early, where it did.
    pub stopped_early: Option<EarlyStop>,
    /// Batches of this process.
    pub batches: BatchCounts,
    /// How often the policy of this process said what, by kind.
    pub remarks: BTreeMap<String, u64>,
}

struct Job {
    key: EpisodeKey,
    failures: u16,
}

#[derive(PartialEq)]
enum Phase {
    Running,
    Draining,
    Stopping,
}

/// The state of a run.
pub struct Dispatcher<'a> {
    store: &'a mut Store,
    progress: &'a mut Progress,
    shared: Arc<Shared>,
    patience: Patience,
    seats: Vec<Seat>,
    queue: VecDeque<Job>,
    playing: Vec<Option<Job>>,
    task_of: Vec<Option<(String, u16)>>,
    phase: Phase,
    failures_in_a_row: usize,
    errors: usize,
    ending: Option<(RunStatus, Exit, Option<String>)>,
    batches: BatchCounts,
    remarks: BTreeMap<String, u64>,
    stages: HashMap<String, u16>,
    seed: u64,
    watch: Option<Watch>,
}

impl<'a> Dispatcher<'a> {
    /// A dispatcher for the pool threads behind `seats`.
    pub fn new(
        store: &'a mut Store,
        progress: &'a mut Progress,
        shared: Arc<Shared>,
        seats: Vec<Seat>,
        duties: Duties,
    ) -> Self {
        let Duties { episodes, stages, seed, patience, watch } = duties;
        let workers = seats.len();
        Self {
            store,
            progress,
            shared,
            patience,
            seats,
            queue: episodes.into_iter().map(|key| Job { key, failures: 0 }).collect(),
            playing: (0..workers).map(|_| None).collect(),
            task_of: vec![None; workers],
            phase: Phase::Running,
            failures_in_a_row: 0,
            errors: 0,
            ending: None,
            batches: BatchCounts::default(),
            remarks: BTreeMap::new(),
            stages,
            seed,
            watch,
        }
    }

    /// Runs until the queue is empty and every worker idle, or the run is stopped.
    ///
    /// # Errors
    /// [`Refused`] when a worker lacks something that the user has to provide; anything else
    /// when the disk refuses.
    pub fn run(mut self, events: &Receiver<Event>) -> Result<Outcome> {
        self.look_early();
        for worker in 0..self.seats.len() {
            self.hand_out(worker);
        }
        while self.playing.iter().any(Option::is_some) {
            let event = events.recv().expect("pool threads with an episode always report");
            if let Err(error) = self.take(event) {
                self.stop_now();
                return Err(error);
            }
        }
        // An interrupt during the last episodes found nothing left to interrupt.
        let drained = self.phase == Phase::Draining && self.queue.is_empty();
        let ending = self.ending.take();
        let ending = ending.filter(|(_, exit, _)| !(drained && *exit == Exit::Interrupted));
        let (status, exit, message) = ending.unwrap_or(match self.errors {
            0 => (RunStatus::Complete, Exit::Complete, None),
            _ => (RunStatus::CompleteWithErrors, Exit::WithErrors, None),
        });
        let stopped_early = self.watch.as_ref().and_then(|watch| watch.stop().cloned());
        let stopped_early = stopped_early.filter(|_| status == RunStatus::StoppedEarly);
        let Self { batches, remarks, .. } = self;
        Ok(Outcome { status, exit, message, stopped_early, batches, remarks })
    }

    fn take(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Finished { worker, record, actions, width } => {
                let job = self.playing[worker].take().expect("only given episodes finish");
                self.failures_in_a_row = 0;
                let record = EpisodeRecord { attempts: job.failures + 1, ..*record };
                let record = self.store.append(record, &actions, width)?;
                self.progress.finished(&record);
                self.watch.iter_mut().for_each(|watch| watch.observe(&record));
                self.look_early();
                self.hand_out(worker);
            }
            Event::Failed { worker, key, error } => self.failed(worker, &key, error)?,
            Event::Abandoned { worker } => {
                self.playing[worker] = None;
                self.task_of[worker] = None;
                if self.phase == Phase::Running {
                    let message = "the policy's thread is gone".to_owned();
                    self.end(RunStatus::GaveUp, Exit::GaveUp, Some(message));
                    self.stop_now();
                }
            }
            Event::Batch { rows, seconds, remarks } => {
                self.batches.batches += 1;
                self.batches.rows += rows as u64;
                self.batches.seconds += seconds;
                self.progress.batch(rows, seconds);
                remarks.iter().try_for_each(|remarked| self.remark(remarked))?;
            }
            Event::Unwritable { error } => return Err(error),
            Event::PolicyFailed { message } => {
                let message = format!("the policy failed: {message}");
                self.end(RunStatus::GaveUp, Exit::GaveUp, Some(message));
                self.stop_now();
            }
            Event::Interrupt(1) => {
                let running = self.playing.iter().flatten().count();
                self.progress.say(&format!(
                    "stopping after the {running} running episodes; Ctrl-C again to stop now"
                ));
                self.end(RunStatus::Interrupted, Exit::Interrupted, None);
                self.phase = Phase::Draining;
            }
            Event::Interrupt(_) => {
                self.ending = Some((RunStatus::Interrupted, Exit::Killed, None));
                self.stop_now();
            }
            Event::Ready { .. } => {}
            Event::NotReady { error, .. } => {
                unreachable!("only the first worker is opened without an episode: {error}")
            }
        }
        Ok(())
    }

    /// Ends the run where the watch has seen enough; running episodes are finished first.
    fn look_early(&mut self) {
        let Some(stop) = self.watch.as_ref().and_then(Watch::stop) else { return };
        if self.phase == Phase::Running {
            let running = self.playing.iter().flatten().count();
            self.progress
                .say(&format!("{}: stopping after the {running} running episodes", stop.words()));
            self.end(RunStatus::StoppedEarly, Exit::Complete, None);
            self.phase = Phase::Draining;
        }
    }

    /// Writes what the policy said to its log and counts it; the first of a kind is shown too.
    fn remark(&mut self, remarked: &Remarked) -> Result<()> {
        let Remarked { key, call, remark } = remarked;
        let line = format!("{key} call {call}: {}: {}", remark.kind, remark.text);
        self.store.log_policy(&line)?;
        let count = self.remarks.entry(remark.kind.to_owned()).or_default();
        *count += 1;
        if *count == 1 {
            self.progress.say(&format!("policy: {line} (more in logs/policy.log)"));
        }
        Ok(())
    }

    fn failed(&mut self, worker: usize, key: &EpisodeKey, error: SimError) -> Result<()> {
        let mut job = self.playing[worker].take().expect("only given episodes fail");
        self.task_of[worker] = None;
        if error.is_setup() {
            self.stop_now();
            return Err(Refused::from(&error).into());
        }
        job.failures += 1;
        self.failures_in_a_row += 1;
        self.progress.failed(key, &error, job.failures <= self.patience.retries);
        if self.failures_in_a_row >= self.patience.failures_in_a_row {
            let message = format!(
                "gave up after {} failures of the simulator in a row; the last: {error}",
                self.failures_in_a_row
            );
            self.end(RunStatus::GaveUp, Exit::GaveUp, Some(message));
            self.phase = Phase::Draining;
        }
        if job.failures <= self.patience.retries {
            self.queue.push_back(job);
        } else {
            self.record_error(&job, &error)?;
        }
        self.hand_out(worker);
        Ok(())
    }

    fn record_error(&mut self, job: &Job, error: &SimError) -> Result<()> {
        let record = EpisodeRecord {
            suite: job.key.suite.clone(),
            task: job.key.task,
            trial: job.key.trial,
            status: Status::Error,
            error_kind: Some(error.kind().into()),
            error_message: Some(error.to_string()),
            stages: self.stages.get(&job.key.suite).copied().unwrap_or(1),
            stages_completed: 0,
            steps: 0,
            calls: 0,
            attempts: job.failures,
            seed: self.seed,
            truncated: false,
            seconds: Seconds::default(),
            started: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            first_observation_sha256: None,
            final_state_sha256: None,
            notes: Notes::new(),
            actions: None,
            video: None,
        };
        let record = self.store.append(record, &[], 0)?;
        self.errors += 1;
        self.progress.finished(&record);
        Ok(())
    }

    /// Gives a worker its next episode: one of the task that it has loaded, else one of a task
    /// that no worker has loaded, else the next. Episodes that failed before wait for the end. A
    /// watched run keeps the order of its watch, which mixes tasks.
    fn hand_out(&mut self, worker: usize) {
        if self.phase != Phase::Running {
            return;
        }
        let task = |job: &Job| (job.key.suite.clone(), job.key.task);
        let fresh = |job: &&Job| job.failures == 0;
        let position = |wanted: &dyn Fn(&Job) -> bool| {
            self.queue.iter().position(|job| fresh(&job) && wanted(job))
        };
        let own = self.task_of[worker].clone();
        let index = match self.watch {
            Some(_) => 0,
            None => position(&|job| Some(task(job)) == own)
                .or_else(|| position(&|job| !self.task_of.contains(&Some(task(job)))))
                .unwrap_or(0),
        };
        let Some(job) = self.queue.remove(index) else { return };
        self.task_of[worker] = Some(task(&job));
        let order = Order::Play(job.key.clone());
        self.seats[worker].orders.send(order).expect("pool threads outlive the dispatcher");
        self.progress.started(worker, &job.key);
        self.playing[worker] = Some(job);
    }

    fn end(&mut self, status: RunStatus, exit: Exit, message: Option<String>) {
        self.ending.get_or_insert((status, exit, message));
    }

    /// Drops what is running: workers are killed, nothing is recorded for their episodes.
    fn stop_now(&mut self) {
        self.phase = Phase::Stopping;
        stop(&self.shared, &self.seats);
    }
}

/// Tells pool threads to drop their episodes and kills their workers.
pub fn stop(shared: &Shared, seats: &[Seat]) {
    shared.stop.store(true, Ordering::SeqCst);
    for seat in seats {
        let process = seat.process.load(Ordering::SeqCst);
        if let Ok(group) = libc::pid_t::try_from(process)
            && group > 0
        {
            // SAFETY: the number was stored by the pool thread that owns the worker and is set
            // to 0 once that thread has let go of it.
            unsafe { libc::kill(-group, libc::SIGKILL) };
        }
    }
}
