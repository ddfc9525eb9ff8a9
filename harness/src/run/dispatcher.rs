//! Owns the state of a run: attempts, records, how it ends. The only writer of records.

use std::collections::BTreeMap;

use anyhow::Result;
use udvla_results::compare::early::Watch;
use udvla_results::run::manifest::{BatchCounts, EarlyStop, RunStatus};
use udvla_results::run::record::EpisodeRecord;
use udvla_results::run::timeline::Timeline;
use udvla_sims::episode::EpisodeKey;
use udvla_sims::protocol::Protocol;

use super::event::{EpisodeError, Event, Played};
use super::pool::Pool;
use super::record::EpisodeIdentity;
use super::schedule::{Job, PlayOrder, Schedule};
use super::store::Store;
use crate::exit::{Exit, Refused};
use crate::report::{GaveUp, Notice, PolicyRemark, Reporter};

/// How often failures are forgiven.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Further attempts at an episode after its simulator failed.
    pub retries: u16,
    /// Failures in a row, over all workers, after which the run gives up.
    pub failures_in_a_row: usize,
}

/// What a dispatcher has to do.
#[derive(Debug)]
pub struct Assignment<'a> {
    /// Where the episodes are defined.
    pub protocol: &'a Protocol,
    /// Episodes without a record.
    pub episodes: Vec<EpisodeKey>,
    /// The run's seed for sampling noise.
    pub seed: u64,
    /// How often failures are forgiven.
    pub patience: Patience,
    /// What may stop the run early; episodes are then played in the order given.
    pub watch: Option<Watch>,
}

/// How a run ended.
#[derive(Debug)]
pub enum Ending {
    /// Every episode has a record without error.
    Complete,
    /// Every episode has a record, some could not be run.
    CompleteWithErrors,
    /// The watch reached a decision.
    StoppedEarly,
    /// Interrupted; running episodes were finished.
    Interrupted,
    /// Interrupted twice; running episodes were dropped.
    Killed,
    /// Failures that do not end by themselves.
    GaveUp(GaveUp),
}

impl Ending {
    /// The word for it in the manifest.
    pub fn status(&self) -> RunStatus {
        match self {
            Self::Complete => RunStatus::Complete,
            Self::CompleteWithErrors => RunStatus::CompleteWithErrors,
            Self::StoppedEarly => RunStatus::StoppedEarly,
            Self::Interrupted | Self::Killed => RunStatus::Interrupted,
            Self::GaveUp(_) => RunStatus::GaveUp,
        }
    }

    /// How the program ends.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Complete | Self::StoppedEarly => Exit::Complete,
            Self::CompleteWithErrors => Exit::WithErrors,
            Self::Interrupted => Exit::Interrupted,
            Self::Killed => Exit::Killed,
            Self::GaveUp(_) => Exit::GaveUp,
        }
    }
}

/// What the dispatcher of a run leaves.
#[derive(Debug)]
pub struct Outcome {
    /// How the run ended.
    pub ending: Ending,
    /// Why it stopped early, if it did.
    pub stopped_early: Option<EarlyStop>,
    /// Batches of this process.
    pub batches: BatchCounts,
    /// How often the policy of this process remarked on a decision, by kind.
    pub remarks: BTreeMap<String, u64>,
}

#[derive(PartialEq)]
enum Phase {
    Running,
    /// No episode starts any more; running ones are finished.
    Draining,
    /// Running episodes are dropped.
    Stopping,
}

/// The state of a run.
pub struct Dispatcher<'a> {
    store: &'a mut Store,
    reporter: &'a mut Reporter,
    pool: &'a Pool,
    protocol: &'a Protocol,
    seed: u64,
    patience: Patience,
    watch: Option<Watch>,
    schedule: Schedule,
    playing: Vec<Option<Job>>,
    phase: Phase,
    ending: Option<Ending>,
    failures_in_a_row: usize,
    errors: usize,
    batches: BatchCounts,
    remarks: BTreeMap<String, u64>,
}

impl<'a> Dispatcher<'a> {
    /// A dispatcher for the workers of `pool`.
    pub fn new(
        store: &'a mut Store,
        reporter: &'a mut Reporter,
        pool: &'a Pool,
        assignment: Assignment<'a>,
    ) -> Self {
        let Assignment { protocol, episodes, seed, patience, watch } = assignment;
        // A watch needs its own order, which mixes tasks.
        let order = if watch.is_some() { PlayOrder::Fixed } else { PlayOrder::ByTask };
        Self {
            store,
            reporter,
            pool,
            protocol,
            seed,
            patience,
            watch,
            schedule: Schedule::new(episodes, pool.workers(), order),
            playing: vec![None; pool.workers()],
            phase: Phase::Running,
            ending: None,
            failures_in_a_row: 0,
            errors: 0,
            batches: BatchCounts::default(),
            remarks: BTreeMap::new(),
        }
    }

    /// Runs until no episode waits and every worker is idle, or the run is stopped.
    ///
    /// # Errors
    /// [`Refused`] when a worker lacks something that the user has to provide; anything else
    /// when a file cannot be written.
    pub fn run(mut self) -> Result<Outcome> {
        self.stop_if_decided();
        for worker in 0..self.playing.len() {
            self.start_next(worker);
        }
        while self.running() > 0 {
            let event = self.pool.next_event();
            if let Err(error) = self.handle(event) {
                self.stop_now();
                return Err(error);
            }
        }
        Ok(self.outcome())
    }

    fn handle(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Finished { worker, played } => self.finished(worker, *played),
            Event::Failed { worker, key, error } => self.failed(worker, &key, error),
            Event::Abandoned { worker } => {
                self.playing[worker] = None;
                self.schedule.unload(worker);
                if self.phase == Phase::Running {
                    self.give_up_now(GaveUp::PolicyGone);
                }
                Ok(())
            }
            Event::Batch { rows, seconds, remarks } => {
                self.batches.batches += 1;
                self.batches.rows += rows as u64;
                self.batches.seconds += seconds;
                self.reporter.batch(rows, seconds);
                remarks.into_iter().try_for_each(|remark| self.log_remark(remark))
            }
            Event::PolicyFailed { message } => {
                self.give_up_now(GaveUp::PolicyFailed { message });
                Ok(())
            }
            Event::Fatal { error } => Err(error),
            Event::Interrupt(count) => {
                self.interrupted(count);
                Ok(())
            }
            Event::Ready { .. } => Ok(()),
            Event::NotReady { error } => {
                unreachable!("only the first worker is opened without an episode: {error}")
            }
        }
    }

    fn finished(&mut self, worker: usize, played: Played) -> Result<()> {
        let job = self.playing[worker].take().expect("only started episodes finish");
        self.failures_in_a_row = 0;
        let Played { record, actions, width, timeline } = played;
        let record = EpisodeRecord { attempts: job.failures + 1, ..record };
        let record = self.store.append(record, &actions, width, &timeline)?;
        self.reporter.finished(&record);
        if let Some(watch) = &mut self.watch {
            watch.observe(&record);
        }
        self.stop_if_decided();
        self.start_next(worker);
        Ok(())
    }

    fn failed(&mut self, worker: usize, key: &EpisodeKey, error: EpisodeError) -> Result<()> {
        let mut job = self.playing[worker].take().expect("only started episodes fail");
        self.schedule.unload(worker);
        if let EpisodeError::Simulator(error) = &error
            && error.is_setup()
        {
            return Err(Refused::from(error).into());
        }
        job.failures += 1;
        self.failures_in_a_row += 1;
        let (key, text) = (key.clone(), error.to_string());
        if job.failures <= self.patience.retries {
            self.reporter.notice(&Notice::Retrying { key, error: text });
            self.schedule.retry(job);
        } else {
            self.reporter.notice(&Notice::NotRunnable { key, error: text });
            self.record_error(&job, &error)?;
        }
        if self.failures_in_a_row >= self.patience.failures_in_a_row {
            let (count, last) = (self.failures_in_a_row, error.to_string());
            self.drain(Ending::GaveUp(GaveUp::Failures { count, last }));
        }
        self.start_next(worker);
        Ok(())
    }

    fn record_error(&mut self, job: &Job, error: &EpisodeError) -> Result<()> {
        let identity = EpisodeIdentity::new(self.protocol, &job.key, self.seed)?;
        let record = identity.error(error, job.failures);
        let record = self.store.append(record, &[], 0, &Timeline::default())?;
        self.errors += 1;
        self.reporter.finished(&record);
        Ok(())
    }

    fn interrupted(&mut self, count: u8) {
        if count == 1 {
            self.reporter.notice(&Notice::Draining { running: self.running() });
            self.drain(Ending::Interrupted);
        } else {
            self.ending = Some(Ending::Killed);
            self.stop_now();
        }
    }

    /// Ends the run when the watch has reached a decision; running episodes are finished first.
    fn stop_if_decided(&mut self) {
        let Some(stop) = self.watch.as_ref().and_then(Watch::stop) else { return };
        if self.phase == Phase::Running {
            let (stop, running) = (stop.clone(), self.running());
            self.reporter.notice(&Notice::EarlyStop { stop, running });
            self.drain(Ending::StoppedEarly);
        }
    }

    /// Writes a remark to the policy's log and counts it; the first of a kind is shown too.
    fn log_remark(&mut self, remark: PolicyRemark) -> Result<()> {
        self.store.log_policy(&remark.to_string())?;
        let count = self.remarks.entry(remark.remark.kind.to_owned()).or_default();
        *count += 1;
        if *count == 1 {
            self.reporter.notice(&Notice::Remark(remark));
        }
        Ok(())
    }

    fn start_next(&mut self, worker: usize) {
        if self.phase != Phase::Running {
            return;
        }
        let Some(job) = self.schedule.next(worker) else { return };
        self.pool.play(worker, &job.key);
        self.reporter.started(&job.key);
        self.playing[worker] = Some(job);
    }

    fn running(&self) -> usize {
        self.playing.iter().flatten().count()
    }

    /// Starts no further episode. The first reason to end is the one that counts.
    fn drain(&mut self, ending: Ending) {
        self.ending.get_or_insert(ending);
        self.phase = Phase::Draining;
    }

    fn give_up_now(&mut self, reason: GaveUp) {
        self.ending.get_or_insert(Ending::GaveUp(reason));
        self.stop_now();
    }

    /// Drops what is running: workers are killed, nothing is recorded for their episodes.
    fn stop_now(&mut self) {
        self.phase = Phase::Stopping;
        self.pool.stop();
    }

    fn outcome(self) -> Outcome {
        // An interrupt while the last episodes ran had nothing to interrupt.
        let drained = self.phase == Phase::Draining && self.schedule.is_empty();
        let ending = match self.ending {
            Some(Ending::Interrupted) if drained => None,
            ending => ending,
        };
        let ending = ending.unwrap_or(match self.errors {
            0 => Ending::Complete,
            _ => Ending::CompleteWithErrors,
        });
        let stopped_early = match ending {
            Ending::StoppedEarly => self.watch.as_ref().and_then(Watch::stop).cloned(),
            _ => None,
        };
        Outcome { ending, stopped_early, batches: self.batches, remarks: self.remarks }
    }
}
