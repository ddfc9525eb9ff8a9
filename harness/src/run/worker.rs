//! A thread per simulator worker: opens it, plays one episode at a time, reports events.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, sync_channel};
use std::time::Duration;

use udvla_policies::{Answer, PolicyInput};
use udvla_sims::episode::EpisodeKey;
use udvla_sims::observation::SimSpec;
use udvla_sims::process::{SimError, Worker, WorkerCommand, unexpected};
use udvla_sims::wire::{OpenConfig, Reply, Request, VideoRequest};

use super::batcher::Question;
use super::episode::{Episode, Interruption, Simulator};
use super::event::{EpisodeError, Event, Played, Ready};
use super::record::EpisodeIdentity;
use crate::plan::Video;

/// A video shows every second control step.
const VIDEO_EVERY: u16 = 2;

/// What a worker thread is told to do.
#[derive(Debug)]
pub enum Order {
    /// Open the worker and report what its simulator is.
    Open,
    /// Play an episode.
    Play(EpisodeKey),
}

/// What all worker threads of a run are made with.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// The worker's executable and arguments; `log` is set per worker.
    pub command: WorkerCommand,
    /// What its adapter is made with; `scratch` is set per worker.
    pub config: OpenConfig,
    /// The run directory.
    pub run_directory: PathBuf,
    /// A folder for the workers' scratch folders.
    pub scratch: PathBuf,
    /// Longest time for opening a worker.
    pub start_timeout: Duration,
    /// Longest time for any other call.
    pub step_timeout: Duration,
    /// Episodes to record as video.
    pub video: Video,
    /// The first episode of each suite, for [`Video::First`].
    pub first_episodes: Vec<EpisodeKey>,
    /// The run's seed for sampling noise.
    pub seed: u64,
    /// Whether images of the predicted future are saved.
    pub save_futures: bool,
}

/// What all threads of a run share.
#[derive(Debug, Default)]
pub struct Shared {
    /// Set when running episodes are to be dropped.
    pub stop: AtomicBool,
    /// Workers that are in an episode, for the batcher.
    pub busy: Arc<AtomicUsize>,
}

/// One worker thread.
pub struct WorkerThread {
    /// Its index, from 0.
    pub index: usize,
    /// What it is made with.
    pub options: Arc<WorkerOptions>,
    /// Where it reports.
    pub events: Sender<Event>,
    /// Where it asks the policy.
    pub policy: Sender<Question>,
    /// Shared with all other threads.
    pub shared: Arc<Shared>,
    /// Process id of its worker, 0 for none; used to kill the worker from another thread.
    pub process: Arc<AtomicU32>,
}

/// An open worker.
struct OpenWorker {
    worker: Worker,
    spec: SimSpec,
}

impl WorkerThread {
    /// Follows orders until there are no more.
    pub fn run(self, orders: &Receiver<Order>) {
        let mut open: Option<OpenWorker> = None;
        while let Ok(order) = orders.recv() {
            let opened = match &mut open {
                Some(opened) => opened,
                None => match self.open() {
                    Ok(opened) => open.insert(opened),
                    Err(error) => {
                        self.report(match order {
                            Order::Play(_) => self.not_opened(error),
                            Order::Open => Event::NotReady { error },
                        });
                        continue;
                    }
                },
            };
            let Order::Play(key) = order else { continue };
            let event = self.play(opened, key);
            // A simulator is not trusted after an error: the next episode gets a new one.
            if matches!(event, Event::Failed { .. } | Event::Abandoned { .. }) {
                self.process.store(0, Ordering::SeqCst);
                open = None;
            }
            self.report(event);
        }
        self.process.store(0, Ordering::SeqCst);
        if let Some(open) = open {
            open.worker.close(Duration::from_secs(5));
        }
    }

    fn open(&self) -> Result<OpenWorker, SimError> {
        let name = format!("worker-{:02}", self.index);
        let mut command = self.options.command.clone();
        command.log = self.options.run_directory.join("logs").join(format!("{name}.log"));
        let scratch = self.options.scratch.join(name);
        std::fs::create_dir_all(&scratch)
            .map_err(|source| SimError::Start { program: scratch.clone(), source })?;
        let mut config = self.options.config.clone();
        config.scratch = scratch.to_string_lossy().into_owned();
        let started = |process| self.process.store(process, Ordering::SeqCst);
        let opened = Worker::open(&command, config, self.options.start_timeout, started);
        let (worker, reply) = opened.inspect_err(|_| self.process.store(0, Ordering::SeqCst))?;
        let Reply::Ready { spec, setting, .. } = reply else { return Err(unexpected(&reply)) };
        let ready = Ready { spec: spec.clone(), setting };
        self.report(Event::Ready { worker: self.index, ready });
        Ok(OpenWorker { worker, spec })
    }

    /// Plays an episode and returns the event that reports it.
    fn play(&self, open: &mut OpenWorker, key: EpisodeKey) -> Event {
        self.shared.busy.fetch_add(1, Ordering::SeqCst);
        // After a panic in one episode the dispatcher must not wait for it forever.
        let outcome = catch_unwind(AssertUnwindSafe(|| self.play_episode(open, &key)));
        self.shared.busy.fetch_sub(1, Ordering::SeqCst);
        match outcome {
            Ok(Ok(played)) => Event::Finished { worker: self.index, played: Box::new(played) },
            Ok(Err(Interruption::Simulator(error))) => self.failed(key, error.into()),
            Ok(Err(Interruption::Stopped)) => Event::Abandoned { worker: self.index },
            Ok(Err(Interruption::Fatal(error))) => Event::Fatal { error },
            Err(_) => self.failed(key, EpisodeError::Internal),
        }
    }

    fn play_episode(
        &self,
        open: &mut OpenWorker,
        key: &EpisodeKey,
    ) -> Result<Played, Interruption> {
        let OpenWorker { worker, spec } = open;
        let identity = EpisodeIdentity::new(&self.options.config.protocol, key, self.options.seed)?;
        let mut episode = Episode::new(identity, spec).with_video(self.video(key));
        if self.options.save_futures {
            episode = episode.with_futures(&self.options.run_directory)?;
        }
        let mut simulator = WorkerSimulator { worker, timeout: self.options.step_timeout };
        episode.play(&mut simulator, &mut |input| self.ask_policy(input))
    }

    fn ask_policy(&self, input: PolicyInput) -> Result<Answer, Interruption> {
        if self.shared.stop.load(Ordering::SeqCst) {
            return Err(Interruption::Stopped);
        }
        let (reply, answer) = sync_channel(1);
        let sent = self.policy.send(Question { input, reply });
        sent.map_err(|_| Interruption::Stopped)?;
        answer.recv().map_err(|_| Interruption::Stopped)
    }

    /// The event for a worker that could not be opened for an episode.
    fn not_opened(&self, error: SimError) -> Event {
        if self.shared.stop.load(Ordering::SeqCst) {
            return Event::Abandoned { worker: self.index };
        }
        Event::NotOpened { worker: self.index, error }
    }

    /// The event for a failed attempt; while the run stops, workers fail because they are killed.
    fn failed(&self, key: EpisodeKey, error: EpisodeError) -> Event {
        if self.shared.stop.load(Ordering::SeqCst) {
            return Event::Abandoned { worker: self.index };
        }
        Event::Failed { worker: self.index, key, error }
    }

    fn report(&self, event: Event) {
        // Without a receiver the run is over and nobody needs the event.
        let _ = self.events.send(event);
    }

    fn video(&self, key: &EpisodeKey) -> Option<VideoRequest> {
        let failures_only = match self.options.video {
            Video::None => return None,
            Video::First if !self.options.first_episodes.contains(key) => return None,
            Video::First | Video::All => false,
            Video::Failures => true,
        };
        let path = self.options.run_directory.join("videos").join(format!("{key}.mp4"));
        let path = path.to_string_lossy().into_owned();
        Some(VideoRequest { path, every: VIDEO_EVERY, failures_only })
    }
}

/// A worker with the timeout of its calls.
struct WorkerSimulator<'a> {
    worker: &'a mut Worker,
    timeout: Duration,
}

impl Simulator for WorkerSimulator<'_> {
    fn ask(&mut self, request: &Request, body: &[u8]) -> Result<(Reply, Vec<u8>), SimError> {
        self.worker.ask(request, body, self.timeout)
    }
}
