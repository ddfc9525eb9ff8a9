//! Owns the state of a run: attempts, records, how it ends. The only writer of records.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use udvla_results::compare::early::Watch;
use udvla_results::run::manifest::BatchCounts;
use udvla_results::run::record::EpisodeRecord;
use udvla_results::run::timeline::Timeline;
use udvla_sims::episode::EpisodeKey;
use udvla_sims::process::SimError;
use udvla_sims::protocol::Protocol;

use super::breaker::Breaker;
use super::ending::{Ending, Outcome};
use super::event::{Event, Played};
use super::failure::Failure;
use super::pool::Pool;
use super::record::EpisodeIdentity;
use super::schedule::{Job, PlayOrder, Schedule};
use super::store::Store;
use crate::exit::Refused;
use crate::report::{GaveUp, Notice, PolicyRemark, Reporter};

/// What a dispatcher has to do.
#[derive(Debug)]
pub struct Assignment<'a> {
    /// Where the episodes are defined.
    pub protocol: &'a Protocol,
    /// Episodes to play.
    pub episodes: Vec<EpisodeKey>,
    /// Those of them that an earlier process recorded as errors.
    pub errors: BTreeSet<EpisodeKey>,
    /// The run's seed for sampling noise.
    pub seed: u64,
    /// Further attempts at an episode after its simulator failed, and at opening a worker.
    pub retries: u16,
    /// When the run gives up.
    pub breaker: Breaker,
    /// What may stop the run early; episodes are then played in the order given.
    pub watch: Option<Watch>,
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
    retries: u16,
    breaker: Breaker,
    watch: Option<Watch>,
    schedule: Schedule,
    playing: Vec<Option<Job>>,
    /// How often in a row each worker could not be opened; more than `retries`: it is not used.
    not_opened: Vec<u16>,
    phase: Phase,
    ending: Option<Ending>,
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
        let Assignment { protocol, episodes, errors, seed, retries, breaker, watch } = assignment;
        // A watch needs its own order, which mixes tasks.
        let order = if watch.is_some() { PlayOrder::Fixed } else { PlayOrder::ByTask };
        Self {
            store,
            reporter,
            pool,
            protocol,
            seed,
            retries,
            breaker,
            watch,
            schedule: Schedule::new(episodes, &errors, pool.workers(), order),
            playing: (0..pool.workers()).map(|_| None).collect(),
            not_opened: vec![0; pool.workers()],
            phase: Phase::Running,
            ending: None,
            errors: 0,
            batches: BatchCounts::default(),
            remarks: BTreeMap::new(),
        }
    }

    /// Runs until no episode waits and every worker is idle, or the run is stopped.
    ///
    /// # Errors
    /// [`Refused`] when the first episode lacks something that the user has to provide; anything
    /// else when a file cannot be written.
    pub fn run(mut self) -> Result<Outcome> {
        self.stop_if_decided();
        self.start_idle_workers();
        while self.running() > 0 {
            let event = self.pool.next_event();
            if let Err(error) = self.handle(event) {
                self.stop_now();
                return Err(error);
            }
        }
        self.record_what_failed()?;
        Ok(self.outcome())
    }

    fn handle(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Finished { worker, played } => self.finished(worker, *played),
            Event::Failed { worker, error, .. } => self.failed(worker, error),
            Event::Abandoned { worker } => {
                self.playing[worker] = None;
                self.schedule.unload(worker);
                if self.phase == Phase::Running {
                    self.give_up_now(GaveUp::PolicyGone);
                }
                Ok(())
            }
            Event::Advanced { key, stage, steps } => {
                self.reporter.advanced(&key, stage, steps);
                Ok(())
            }
            Event::Batch { rows, seconds, remarks } => {
                self.count_batch(rows, seconds);
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
            Event::Ready { worker, .. } => {
                self.not_opened[worker] = 0;
                Ok(())
            }
            Event::NotOpened { worker, error } => {
                self.not_opened(worker, &error);
                Ok(())
            }
            Event::NotReady { error } => {
                unreachable!("only the first worker is opened without an episode: {error}")
            }
        }
    }

    fn finished(&mut self, worker: usize, played: Played) -> Result<()> {
        let job = self.playing[worker].take().expect("only started episodes finish");
        self.breaker.succeeded(&job.key);
        self.schedule.succeeded(&job.key);
        let Played { record, actions, width, timeline } = played;
        let record = EpisodeRecord { attempts: job.failures + 1, ..record };
        let record = self.store.append(record, &actions, width, &timeline)?;
        self.reporter.finished(&record);
        if let Some(watch) = &mut self.watch {
            watch.observe(&record);
        }
        self.stop_if_decided();
        self.start_idle_workers();
        Ok(())
    }

    fn failed(&mut self, worker: usize, error: Failure) -> Result<()> {
        let mut job = self.playing[worker].take().expect("only started episodes fail");
        self.schedule.unload(worker);
        self.reporter.ended(&job.key);
        let setup = match &error {
            Failure::Simulator(error) if error.is_setup() => Some(error),
            Failure::Simulator(_) | Failure::Server(_) => None,
        };
        if let Some(error) = setup
            && !self.store.has_records()
        {
            return Err(Refused::from(error).into());
        }
        let is_setup = setup.is_some();
        if job.is_fresh() {
            self.breaker.failed(&job.key);
        }
        self.schedule.failed(&job.key);
        let tries_again = !is_setup && job.failures < self.retries;
        let (key, text) = (job.key.clone(), error.to_string());
        job.failures += 1;
        job.last_error = Some(error);
        if tries_again {
            self.reporter.notice(&Notice::Retrying { key, error: text.clone() });
            self.schedule.retry(job);
        } else {
            self.reporter.notice(&Notice::NotRunnable { key, error: text.clone() });
            self.record_error(&job)?;
        }
        if let Some(count) = self.breaker.tripped() {
            self.drain(Ending::GaveUp(GaveUp::Failures { count, last: text }));
        }
        self.start_idle_workers();
        Ok(())
    }

    /// A worker was not there to play its episode: that costs the worker, when it happens too often
    /// in a row, and never the episode.
    fn not_opened(&mut self, worker: usize, error: &SimError) {
        let job = self.playing[worker].take().expect("workers are opened for an episode");
        self.reporter.ended(&job.key);
        self.schedule.unload(worker);
        self.schedule.put_back(job);
        self.not_opened[worker] += 1;
        let (again, last) = (self.is_usable(worker), error.to_string());
        self.reporter.notice(&Notice::NotOpened { worker, error: last.clone(), again });
        if !(0..self.playing.len()).any(|worker| self.is_usable(worker)) {
            self.drain(Ending::GaveUp(GaveUp::NoWorkers { last }));
        }
        self.start_idle_workers();
    }

    fn is_usable(&self, worker: usize) -> bool {
        self.not_opened[worker] <= self.retries
    }

    /// Where failures ended the run, those that led to it become errors: a run that goes on begins
    /// with other episodes.
    fn record_what_failed(&mut self) -> Result<()> {
        if matches!(self.ending, Some(Ending::GaveUp(GaveUp::Failures { .. }))) {
            let failed = self.schedule.take_failed();
            failed.iter().try_for_each(|job| self.record_error(job))?;
        }
        Ok(())
    }

    fn record_error(&mut self, job: &Job) -> Result<()> {
        let error = job.last_error.as_ref().expect("an attempt failed");
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

    fn count_batch(&mut self, rows: usize, seconds: f64) {
        self.batches.batches += 1;
        self.batches.rows += rows as u64;
        self.batches.seconds += seconds;
        self.reporter.batch(rows, seconds);
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

    fn start_idle_workers(&mut self) {
        for worker in 0..self.playing.len() {
            let is_idle = self.playing[worker].is_none() && self.is_usable(worker);
            if self.phase != Phase::Running || !is_idle {
                continue;
            }
            let Some(job) = self.schedule.next(worker) else { return };
            self.pool.play(worker, &job.key);
            self.reporter.started(&job.key);
            self.playing[worker] = Some(job);
        }
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
