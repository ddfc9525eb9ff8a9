//! A thread per simulator worker: opens it, plays one episode at a time, reports.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, sync_channel};
use std::time::{Duration, Instant};

use udvla_policies::{Answer, PolicyInput};
use udvla_results::record::{EpisodeRecord, Seconds, Status};
use udvla_sims::episode::EpisodeKey;
use udvla_sims::observation::SimSpec;
use udvla_sims::process::{SimError, Worker, WorkerCommand, unexpected};
use udvla_sims::wire::{self, OpenConfig, Reply, Request, VideoRequest};

use crate::batcher::Question;
use crate::bodies;
use crate::event::Event;
use crate::futures::Futures;

/// Which episodes are filmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Video {
    /// None.
    None,
    /// The first of each suite.
    First,
    /// Those that fail.
    Failures,
    /// All.
    All,
}

/// What the dispatcher tells a pool thread.
#[derive(Debug)]
pub enum Order {
    /// Open the worker, so that what it is becomes known.
    Open,
    /// Play an episode.
    Play(EpisodeKey),
}

/// What every pool thread of a run is made with.
#[derive(Debug, Clone)]
pub struct PoolOptions {
    /// The worker's executable and arguments; the log is set per worker.
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
    /// Which episodes are filmed.
    pub video: Video,
    /// The first episode of each suite, for [`Video::First`].
    pub firsts: Vec<EpisodeKey>,
    /// The run's seed for sampling noise.
    pub seed: u64,
    /// Whether pictures of what the policy expects are saved.
    pub futures: bool,
}

/// What pool threads and the dispatcher share: two flags and the process to kill.
#[derive(Debug, Default)]
pub struct Shared {
    /// Set when running episodes are to be dropped.
    pub stop: AtomicBool,
    /// Workers that are in an episode, for the batcher.
    pub busy: Arc<AtomicUsize>,
}

/// One pool thread.
pub struct PoolThread {
    /// Its number, from 0.
    pub index: usize,
    /// What it is made with.
    pub options: PoolOptions,
    /// Where it reports.
    pub events: Sender<Event>,
    /// Where it asks the policy.
    pub policy: Sender<Question>,
    /// Shared with the dispatcher.
    pub shared: Arc<Shared>,
    /// Process id of its worker, 0 for none: the dispatcher kills it to stop at once.
    pub process: Arc<AtomicU32>,
}

/// Why an episode has no record.
enum Interruption {
    Simulator(SimError),
    Stopped,
    Disk(anyhow::Error),
}

impl From<anyhow::Error> for Interruption {
    fn from(error: anyhow::Error) -> Self {
        Self::Disk(error)
    }
}

impl From<SimError> for Interruption {
    fn from(error: SimError) -> Self {
        Self::Simulator(error)
    }
}

/// An episode that ran to its end.
struct Played {
    record: EpisodeRecord,
    actions: Vec<f32>,
    width: usize,
}

struct Open {
    worker: Worker,
    spec: SimSpec,
}

impl PoolThread {
    /// Follows orders until there are no more.
    pub fn run(self, orders: &Receiver<Order>) {
        let mut open: Option<Open> = None;
        while let Ok(order) = orders.recv() {
            if open.is_none() {
                match self.open() {
                    Ok(opened) => open = Some(opened),
                    Err(error) => {
                        self.report(match order {
                            Order::Play(key) => self.failed(key, error),
                            Order::Open => Event::NotReady { worker: self.index, error },
                        });
                        continue;
                    }
                }
            }
            let Order::Play(key) = order else { continue };
            let opened = open.as_mut().expect("opened above");
            self.shared.busy.fetch_add(1, Ordering::SeqCst);
            // A defect of ours in one episode must not leave the dispatcher waiting for it.
            let outcome = catch_unwind(AssertUnwindSafe(|| self.play(opened, &key)))
                .unwrap_or_else(|_| Err(SimError::Wire("what made us panic".into()).into()));
            self.shared.busy.fetch_sub(1, Ordering::SeqCst);
            let event = match outcome {
                Ok(Played { record, actions, width }) => {
                    let record = Box::new(record);
                    Event::Finished { worker: self.index, record, actions, width }
                }
                // A simulator is not trusted after an error: the next episode gets a new one.
                Err(Interruption::Simulator(error)) => {
                    self.process.store(0, Ordering::SeqCst);
                    open = None;
                    self.failed(key, error)
                }
                Err(Interruption::Stopped) => Event::Abandoned { worker: self.index },
                Err(Interruption::Disk(error)) => Event::Unwritable { error },
            };
            self.report(event);
        }
        self.process.store(0, Ordering::SeqCst);
        if let Some(open) = open {
            open.worker.close(Duration::from_secs(5));
        }
    }

    fn failed(&self, key: EpisodeKey, error: SimError) -> Event {
        if self.shared.stop.load(Ordering::SeqCst) {
            return Event::Abandoned { worker: self.index };
        }
        Event::Failed { worker: self.index, key, error }
    }

    fn report(&self, event: Event) {
        // The dispatcher is gone only when the run is over; nobody needs the event then.
        let _ = self.events.send(event);
    }

    fn open(&self) -> Result<Open, SimError> {
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
        self.report(Event::Ready { worker: self.index, spec: spec.clone(), setting });
        Ok(Open { worker, spec })
    }

    fn play(&self, open: &mut Open, key: &EpisodeKey) -> Result<Played, Interruption> {
        let begun = Instant::now();
        let started = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let timeout = self.options.step_timeout;
        let mut seconds = Seconds::default();
        let mut first_observation = None;
        let mut calls = 0;
        let video = self.video(key);
        let futures = self.options.futures.then(|| Futures::of(&self.options.run_directory, key));
        let mut futures = futures.transpose()?;
        let mut request = Request::Reset { key: key.clone(), video: video.clone() };
        let mut body = vec![];
        loop {
            let asked = Instant::now();
            let (reply, bytes) = open.worker.ask(&request, &body, timeout)?;
            seconds.sim += asked.elapsed().as_secs_f64();
            let (observation, played) = match reply {
                Reply::Observed { stage, steps, instruction, images } => {
                    first_observation.get_or_insert_with(|| bodies::digest(&bytes, &instruction));
                    (bodies::observation(&open.spec, stage, &instruction, &images, &bytes)?, steps)
                }
                Reply::Finished {
                    stages_completed,
                    steps,
                    truncated,
                    final_state_sha256,
                    video,
                    notes,
                    images,
                } => {
                    let width = open.spec.action.len();
                    let (actions, seen) = bodies::end(width, steps, &images, &bytes)?;
                    if let Some(futures) = &mut futures {
                        futures.happened(steps, &seen)?;
                    }
                    let stages = self.options.config.protocol.suite(&key.suite);
                    let stages = stages.map_or(1, |suite| suite.stages);
                    seconds.wall = begun.elapsed().as_secs_f64();
                    let record = EpisodeRecord {
                        suite: key.suite.clone(),
                        task: key.task,
                        trial: key.trial,
                        status: Status::Ok,
                        error_kind: None,
                        error_message: None,
                        stages,
                        stages_completed,
                        steps,
                        calls,
                        attempts: 1,
                        seed: self.options.seed,
                        truncated,
                        seconds,
                        started,
                        first_observation_sha256: first_observation,
                        final_state_sha256: Some(final_state_sha256),
                        notes,
                        actions: None,
                        video: video.then(|| format!("videos/{key}.mp4")),
                    };
                    return Ok(Played { record, actions, width });
                }
                other => return Err(unexpected(&other).into()),
            };
            let mut seen = vec![];
            if let Some(futures) = &mut futures {
                futures.happened(played, &observation.images)?;
                seen.clone_from(&observation.images);
            }
            let asked = Instant::now();
            let input =
                PolicyInput { key: key.clone(), call: calls, seed: self.options.seed, observation };
            let answer = self.ask(input)?;
            seconds.policy += asked.elapsed().as_secs_f64();
            (request, body) = match answer {
                Answer::Chunk(decision) => {
                    if let Some(futures) = &mut futures {
                        futures.expect(calls, played, seen, decision.future);
                    }
                    let chunk = decision.actions;
                    let width = u16::try_from(chunk.width).unwrap_or(u16::MAX);
                    (Request::Play { width }, wire::to_bytes(&chunk.values))
                }
                Answer::Script { steps } => (Request::Script { steps }, vec![]),
            };
            calls += 1;
        }
    }

    fn ask(&self, input: PolicyInput) -> Result<Answer, Interruption> {
        if self.shared.stop.load(Ordering::SeqCst) {
            return Err(Interruption::Stopped);
        }
        let (reply, answer) = sync_channel(1);
        let sent = self.policy.send(Question { input, reply });
        sent.map_err(|_| Interruption::Stopped)?;
        answer.recv().map_err(|_| Interruption::Stopped)
    }

    fn video(&self, key: &EpisodeKey) -> Option<VideoRequest> {
        let path = self.options.run_directory.join("videos").join(format!("{key}.mp4"));
        let path = path.to_string_lossy().into_owned();
        match self.options.video {
            Video::None => None,
            Video::First if !self.options.firsts.contains(key) => None,
            Video::Failures => Some(VideoRequest { path, every: 2, failures_only: true }),
            Video::First | Video::All => {
                Some(VideoRequest { path, every: 2, failures_only: false })
            }
        }
    }
}
