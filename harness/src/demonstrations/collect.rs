//! Plays the episodes of a collection, one simulator per thread, each whole episodes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use udvla_policies::Policy;
use udvla_sims::episode::EpisodeKey;
use udvla_sims::process::SimError;

use super::directory::{Directory, Manifest, recorded};
use super::episode::record;
use super::plan::Collection;
use super::recording::{Interruption, Recording};
use super::start::Learner;
use crate::exit::Exit;
use crate::policy;
use crate::report::Progress;
use crate::run::event::Event;
use crate::run::signals;
use crate::simulator::{Purpose, Simulator};

/// Attempts at an episode, each with a simulator of its own after the first.
const ATTEMPTS: u32 = 2;
/// Episodes in a row that fail before the collection ends.
const FAILURES: u32 = 3;

/// Trials that a task may be ahead of another: another task is another model, which takes a
/// simulator about as long to load as an episode to play.
const AHEAD: u16 = 10;

/// What a collection came to.
#[derive(Debug)]
pub struct Outcome {
    /// How it ended.
    pub exit: Exit,
    /// Its description, as it is stored.
    pub manifest: Manifest,
}

/// Records the episodes that are missing in the folder.
///
/// # Errors
/// [`crate::exit::Refused`] when another collection is in the folder or a simulator does not start;
/// when a file cannot be written.
pub fn collect(collection: &Collection, progress: &mut Progress) -> Result<Outcome> {
    let policies = policies(collection)?;
    let first = open(collection)?;
    let mut subject = BTreeMap::new();
    if let Some(policy) = policies.first() {
        let spec = lock(policy).spec().clone();
        policy::check_fit(&spec, &first.spec)?;
        subject = spec.subject.into();
    }
    let setting = setting(collection, &first)?;
    let mut manifest = Manifest::start(collection, &first.spec, setting, subject);
    let directory = Directory::open(&collection.directory, &mut manifest)?;
    let mut open_episodes = VecDeque::new();
    for key in collection.keys() {
        match recorded(&collection.directory, &key)? {
            Some(summary) => progress.before(summary.success),
            None => open_episodes.push_back(key),
        }
    }
    let (events, inbox) = mpsc::channel();
    let work = Work {
        collection,
        policies: &policies,
        directory: &directory,
        episodes: Mutex::new(open_episodes),
        stopped: AtomicBool::new(false),
    };
    listen(events.clone())?;
    let exit = play(&work, first, &events, &inbox, progress)?;
    directory.finish(&mut manifest)?;
    Ok(Outcome { exit, manifest })
}

/// Starts a simulator for a collection.
pub fn open(collection: &Collection) -> Result<Simulator> {
    let purpose = Purpose { suites: collection.suites(), images: true, video: false };
    Simulator::open(&collection.simulator, &collection.protocol, purpose)
}

/// The replicas of the policy that is corrected; none without one.
fn policies(collection: &Collection) -> Result<Vec<Mutex<Box<dyn Policy>>>> {
    let Some(plan) = &collection.policy else { return Ok(vec![]) };
    let workers = usize::from(collection.workers);
    let policies = policy::open_one(plan, &collection.protocol, workers, false)?;
    Ok(policies.into_iter().map(Mutex::new).collect())
}

/// What the simulator reports, with the digest of the adapters.
fn setting(collection: &Collection, simulator: &Simulator) -> Result<BTreeMap<String, String>> {
    let mut setting = simulator.setting.clone();
    let adapters = collection.simulator.adapters_digest()?;
    setting.extend(adapters.map(|digest| ("adapters".into(), digest)));
    Ok(setting)
}

/// What all threads share.
struct Work<'a> {
    collection: &'a Collection,
    policies: &'a [Mutex<Box<dyn Policy>>],
    directory: &'a Directory,
    episodes: Mutex<VecDeque<EpisodeKey>>,
    stopped: AtomicBool,
}

/// What happens during a collection.
enum News {
    Recorded {
        success: bool,
    },
    Failed {
        key: EpisodeKey,
        error: String,
    },
    Fatal(anyhow::Error),
    Interrupt(u8),
    /// A thread is at its end.
    Idle,
}

/// Turns signals into news.
fn listen(news: Sender<News>) -> Result<()> {
    let (events, inbox) = mpsc::channel();
    signals::listen(events).context("cannot listen for Ctrl-C")?;
    std::thread::Builder::new()
        .name("interrupts".into())
        .spawn(move || {
            for event in inbox {
                if let Event::Interrupt(count) = event
                    && news.send(News::Interrupt(count)).is_err()
                {
                    return;
                }
            }
        })
        .context("cannot start a thread")?;
    Ok(())
}

fn play(
    work: &Work,
    first: Simulator,
    events: &Sender<News>,
    inbox: &Receiver<News>,
    progress: &mut Progress,
) -> Result<Exit> {
    let count = lock(&work.episodes).len().clamp(1, usize::from(work.collection.workers));
    progress.start();
    std::thread::scope(|scope| {
        let mut first = Some(first);
        for seat in 0..count {
            let (simulator, events) = (first.take(), events.clone());
            let policy = work.policies.get(seat % work.policies.len().max(1));
            let learner = policy.map(|policy| Learner { policy, seat });
            scope.spawn(move || {
                if let Err(error) = work_off(work, simulator, learner, &events) {
                    let _ = events.send(News::Fatal(error));
                }
                let _ = events.send(News::Idle);
            });
        }
        let ending = watch(work, count, inbox, progress);
        work.stopped.store(true, Ordering::Relaxed);
        ending
    })
}

/// Follows the threads until all are at their end.
fn watch(
    work: &Work,
    mut busy: usize,
    inbox: &Receiver<News>,
    progress: &mut Progress,
) -> Result<Exit> {
    let (mut exit, mut fatal, mut in_a_row) = (Exit::Complete, None, 0);
    let stop = || work.stopped.store(true, Ordering::Relaxed);
    while busy > 0 {
        match inbox.recv().context("every thread says when it ends")? {
            News::Recorded { success } => {
                in_a_row = 0;
                progress.recorded(success);
            }
            News::Failed { key, error } => {
                in_a_row += 1;
                progress.note(&format!("episode {key} could not be recorded: {error}"));
                if exit == Exit::Complete {
                    exit = Exit::WithErrors;
                }
                if in_a_row == FAILURES {
                    progress.note(&format!("{FAILURES} episodes in a row failed"));
                    exit = Exit::GaveUp;
                    stop();
                }
            }
            News::Fatal(error) => {
                fatal = fatal.or(Some(error));
                stop();
            }
            News::Interrupt(1) => {
                progress.note("running episodes are finished first; Ctrl-C again stops at once");
                exit = Exit::Interrupted;
                stop();
            }
            News::Interrupt(_) => {
                progress.close();
                // Every worker ends with this process, and files are written as a whole.
                std::process::exit(Exit::Killed as i32);
            }
            News::Idle => busy -= 1,
        }
    }
    progress.close();
    fatal.map_or(Ok(exit), Err)
}

/// Records episodes until none is left.
fn work_off(
    work: &Work,
    mut simulator: Option<Simulator>,
    learner: Option<Learner>,
    events: &Sender<News>,
) -> Result<()> {
    let mut last = None;
    while !work.stopped.load(Ordering::Relaxed) {
        let Some(key) = next(&mut lock(&work.episodes), last.as_ref()) else { break };
        last = Some(key.clone());
        let news = match attempt(work, &mut simulator, learner, &key)? {
            Ok(recording) => {
                work.directory.write_recording(work.collection, &recording)?;
                News::Recorded { success: recording.success }
            }
            Err(error) => News::Failed { key, error: error.to_string() },
        };
        let _ = events.send(news);
    }
    simulator.into_iter().for_each(Simulator::close);
    Ok(())
}

/// Records an episode, with another simulator where one fails.
fn attempt(
    work: &Work,
    simulator: &mut Option<Simulator>,
    learner: Option<Learner>,
    key: &EpisodeKey,
) -> Result<Result<Recording, SimError>> {
    let mut attempts = 0;
    loop {
        let mut current = match simulator.take() {
            Some(simulator) => simulator,
            None => open(work.collection)?,
        };
        attempts += 1;
        match record(work.collection, &mut current, key, learner) {
            Ok(recording) => {
                *simulator = Some(current);
                return Ok(Ok(recording));
            }
            Err(Interruption::Policy(error)) => return Err(error.context("the policy failed")),
            Err(Interruption::Simulator(error)) if attempts == ATTEMPTS => return Ok(Err(error)),
            Err(Interruption::Simulator(_)) => {}
        }
    }
}

/// The next episode of a simulator that played `last`: one of the same task, unless another task
/// is too far behind.
fn next(episodes: &mut VecDeque<EpisodeKey>, last: Option<&EpisodeKey>) -> Option<EpisodeKey> {
    let limit = episodes.front()?.trial.saturating_add(AHEAD);
    let same = |key: &EpisodeKey| {
        last.is_some_and(|last| last.suite == key.suite && last.task == key.task)
            && key.trial < limit
    };
    let index = episodes.iter().position(same).unwrap_or(0);
    episodes.remove(index)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_simulator_keeps_its_task_until_another_is_far_behind() {
        let key = |task, trial| EpisodeKey { suite: "object".into(), task, trial };
        let trials = 0..40;
        let mut episodes: VecDeque<_> =
            trials.flat_map(|trial| [0, 7, 8].map(|task| key(task, trial))).collect();
        let mut last = [None, None];
        let (mut loads, mut played) = (0, BTreeMap::<u16, u16>::new());
        for turn in 0.. {
            let last = &mut last[turn % 2];
            let Some(key) = next(&mut episodes, last.as_ref()) else { break };
            loads += u16::from(last.as_ref().is_none_or(|last| last.task != key.task));
            let count = played.entry(key.task).or_default();
            assert_eq!(key.trial, *count, "trials of a task are played in order");
            *count += 1;
            let counts = [0, 7, 8].map(|task| played.get(&task).copied().unwrap_or(0));
            let least = counts.into_iter().min().expect("three tasks");
            let most = counts.into_iter().max().expect("three tasks");
            assert!(most - least <= AHEAD, "{played:?}");
            *last = Some(key);
        }
        assert_eq!(played, BTreeMap::from([(0, 40), (7, 40), (8, 40)]));
        assert!(loads <= 20, "{loads} loads for 120 episodes");
    }
}
