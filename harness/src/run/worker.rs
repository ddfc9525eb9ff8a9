//! A thread per simulator worker: opens it, plays one episode at a time, reports events.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use udvla_policies::{Answer, PolicyInput};
use udvla_sims::checks::Checks;
use udvla_sims::episode::EpisodeKey;
use udvla_sims::observation::SimSpec;
use udvla_sims::process::{SimError, Stopper, Worker, WorkerCommand, gib, unexpected};
use udvla_sims::wire::{OpenConfig, Reply, Request, VideoRequest};

use super::batcher::Question;
use super::controls::EpisodeControls;
use super::episode::{Episode, Interruption, Simulator};
use super::event::{Event, Played, Ready};
use super::failure::Failure;
use super::manifest::MACHINE;
use super::record::EpisodeIdentity;
use crate::plan::{CARD, Controls, Video};

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
    /// Bus addresses of the cards that the workers draw on in turn; empty for the adapter's choice.
    pub cards: Vec<String>,
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
    /// Episodes after which a worker is replaced.
    pub recycle: Option<u32>,
    /// Resident memory of a worker above which it is replaced, bytes.
    pub memory: Option<u64>,
    /// The run's seed for sampling noise.
    pub seed: u64,
    /// What is withheld from the policy.
    pub controls: Controls,
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
    /// What the run's first worker reported; all others must report the same.
    pub ready: OnceLock<Ready>,
}

/// Ends a thread's worker from another thread.
#[derive(Debug, Default)]
pub struct StopSwitch(Mutex<Option<Stopper>>);

impl StopSwitch {
    /// Ends the worker, if there is one.
    pub fn stop(&self) {
        if let Some(stopper) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            stopper.stop();
        }
    }

    fn set(&self, stopper: Option<Stopper>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = stopper;
    }
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
    /// Ends its worker from another thread.
    pub switch: Arc<StopSwitch>,
}

/// An open worker.
struct OpenWorker {
    worker: Worker,
    spec: SimSpec,
    /// Episodes that it played to their end.
    played: u32,
}

impl WorkerThread {
    /// Follows orders until there are no more.
    pub fn run(self, orders: &Receiver<Order>) {
        // The dispatcher must not wait for this thread forever.
        let outcome = catch_unwind(AssertUnwindSafe(|| self.follow(orders)));
        if outcome.is_err() {
            let error = anyhow::anyhow!("worker thread {} panicked (see above)", self.index);
            self.report(Event::Fatal { error });
        }
    }

    fn follow(&self, orders: &Receiver<Order>) {
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
            let event = self.play(opened, &key);
            // A simulator is not trusted after an error: the next episode gets a new one.
            let is_sound = matches!(event, Event::Finished { .. });
            open = open.filter(|_| is_sound);
            self.report(event);
            open = open.and_then(|open| self.keep(open, &key));
        }
        if let Some(open) = open {
            self.close(open.worker);
        }
    }

    /// The worker, unless it has to be replaced after the episode `key`: by the number of its
    /// episodes, or because it takes too much memory.
    fn keep(&self, mut open: OpenWorker, key: &EpisodeKey) -> Option<OpenWorker> {
        open.played += 1;
        let reason = match open.worker.above_memory_limit() {
            Some(resident) => {
                format!("it takes {} of memory, more than `--worker-memory`", gib(&resident))
            }
            None if self.options.recycle == Some(open.played) => {
                format!("it played {} episodes (`--recycle`)", open.played)
            }
            None => return Some(open),
        };
        open.worker.note(&format!("the worker is replaced after {key}: {reason}"));
        self.close(open.worker);
        None
    }

    fn close(&self, worker: Worker) {
        worker.close(Duration::from_secs(5));
        self.switch.set(None);
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
        if let Some(card) = self.options.cards.get(self.index % self.options.cards.len().max(1)) {
            config.options.insert(CARD.into(), card.clone());
        }
        let timeout = self.options.start_timeout;
        let opened = Worker::open(&command, config, timeout, |stopper| self.started(stopper));
        let (mut worker, reply) = opened?;
        let Reply::Ready { spec, setting, .. } = reply else { return Err(unexpected(&reply)) };
        let ready = Ready { spec: spec.clone(), setting };
        self.check_equal(&ready)?;
        if let Some(limit) = self.options.memory {
            worker.limit_memory(limit);
        }
        self.report(Event::Ready { worker: self.index, ready });
        Ok(OpenWorker { worker, spec, played: 0 })
    }

    /// Lets other threads stop the worker that is being opened. A stop that came before it could
    /// be reached is made up for.
    fn started(&self, stopper: Stopper) {
        self.switch.set(Some(stopper));
        if self.shared.stop.load(Ordering::SeqCst) {
            self.switch.stop();
        }
    }

    /// The run stores what its first worker reports: another one must be the same simulator.
    fn check_equal(&self, ready: &Ready) -> Result<(), SimError> {
        let first = self.shared.ready.get_or_init(|| ready.clone());
        let differs = |(name, was): &(&String, &String)| {
            !name.starts_with(MACHINE) && ready.setting.get(*name) != Some(*was)
        };
        let what = match first.setting.iter().find(differs) {
            Some((name, was)) => {
                let is = ready.setting.get(name).map_or("missing", String::as_str);
                format!("that its {name} is {is}; that of the run's first worker was {was}")
            }
            None if first.spec != ready.spec => {
                "with other cameras, state or actions than the run's first worker".into()
            }
            None => return Ok(()),
        };
        Err(SimError::Wire(what))
    }

    /// Plays an episode and returns the event that reports it.
    fn play(&self, open: &mut OpenWorker, key: &EpisodeKey) -> Event {
        self.shared.busy.fetch_add(1, Ordering::SeqCst);
        let outcome = without_panic(key, || self.play_episode(open, key));
        self.shared.busy.fetch_sub(1, Ordering::SeqCst);
        match outcome {
            Ok(played) => Event::Finished { worker: self.index, played: Box::new(played) },
            Err(Interruption::Simulator(error)) => self.failed(key.clone(), error.into()),
            Err(Interruption::Server(reason)) => self.failed(key.clone(), Failure::Server(reason)),
            Err(Interruption::Stopped) => Event::Abandoned { worker: self.index },
            Err(Interruption::Fatal(error)) => Event::Fatal { error },
        }
    }

    fn play_episode(
        &self,
        open: &mut OpenWorker,
        key: &EpisodeKey,
    ) -> Result<Played, Interruption> {
        let OpenWorker { worker, spec, .. } = open;
        let config = &self.options.config;
        let identity = EpisodeIdentity::new(&config.protocol, key, self.options.seed)?;
        let checks = Checks::new(config, spec, key).map_err(anyhow::Error::from)?;
        let options = &self.options;
        let controls = EpisodeControls::new(&options.controls, &config.protocol, key, options.seed);
        let episode = Episode::new(identity, spec, checks).with_controls(controls);
        let mut episode = episode.with_video(self.video(key));
        if self.options.save_futures {
            episode = episode.with_futures(&self.options.run_directory)?;
        }
        let advanced = |stage, steps| {
            self.report(Event::Advanced { key: key.clone(), stage, steps });
        };
        let timeout = self.options.step_timeout;
        let mut simulator = WorkerSimulator { worker, timeout, advanced: &advanced };
        episode.play(&mut simulator, &mut |input| self.ask_policy(input))
    }

    fn ask_policy(&self, input: PolicyInput) -> Result<Answer, Interruption> {
        if self.shared.stop.load(Ordering::SeqCst) {
            return Err(Interruption::Stopped);
        }
        let (reply, answer) = sync_channel(1);
        let input = PolicyInput { seat: self.index, ..input };
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
    fn failed(&self, key: EpisodeKey, error: Failure) -> Event {
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

/// What `play` returns. A panic is a defect of this program, never an error of the simulator's: it
/// ends the run.
fn without_panic(
    key: &EpisodeKey,
    play: impl FnOnce() -> Result<Played, Interruption>,
) -> Result<Played, Interruption> {
    catch_unwind(AssertUnwindSafe(play)).unwrap_or_else(|_| {
        let error = anyhow::anyhow!("internal error while playing {key} (see above)");
        Err(Interruption::Fatal(error))
    })
}

/// A worker with the timeout of its calls.
struct WorkerSimulator<'a> {
    worker: &'a mut Worker,
    timeout: Duration,
    /// Told the stages completed and the steps played after every observation.
    advanced: &'a dyn Fn(u16, u32),
}

impl Simulator for WorkerSimulator<'_> {
    fn ask(&mut self, request: &Request, body: &[u8]) -> Result<(Reply, Vec<u8>), SimError> {
        let reply = self.worker.ask(request, body, self.timeout)?;
        if let Reply::Observed { stage, steps, .. } = &reply.0 {
            (self.advanced)(*stage, *steps);
        }
        Ok(reply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_ends_the_run_and_is_no_error_of_the_episode() {
        let key = EpisodeKey { suite: "long".into(), task: 3, trial: 1 };
        let outcome = without_panic(&key, || panic!("a defect"));
        let Err(Interruption::Fatal(error)) = outcome else { panic!("{outcome:?}") };
        assert!(error.to_string().contains("internal error while playing long-task03"), "{error}");
    }
}
