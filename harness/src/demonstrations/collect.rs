//! Plays the episodes of a collection, one simulator per thread, each whole episodes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use udvla_sims::episode::EpisodeKey;
use udvla_sims::process::SimError;

use super::directory::{Directory, Manifest, recorded};
use super::plan::Collection;
use super::recording::{Recording, record};
use crate::exit::Exit;
use crate::report::Progress;
use crate::run::event::Event;
use crate::run::signals;
use crate::simulator::{Purpose, Simulator};

/// Attempts at an episode, each with a simulator of its own after the first.
const ATTEMPTS: u32 = 2;
/// Episodes in a row that fail before the collection ends.
const FAILURES: u32 = 3;

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
    let first = open(collection)?;
    let setting = setting(collection, &first)?;
    let mut manifest = Manifest::start(collection, &first.spec, setting);
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
        directory: &directory,
        episodes: Mutex::new(open_episodes),
        stopped: AtomicBool::new(false),
    };
    listen(events.clone())?;
    let exit = play(&work, first, &events, &inbox, progress);
    let exit = exit?;
    directory.finish(&mut manifest)?;
    Ok(Outcome { exit, manifest })
}

/// Starts a simulator for a collection.
pub fn open(collection: &Collection) -> Result<Simulator> {
    let purpose = Purpose { suites: collection.suites(), images: true, video: false };
    Simulator::open(&collection.simulator, &collection.protocol, purpose)
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
        for _ in 0..count {
            let (simulator, events) = (first.take(), events.clone());
            scope.spawn(move || {
                if let Err(error) = work_off(work, simulator, &events) {
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
fn work_off(work: &Work, mut simulator: Option<Simulator>, events: &Sender<News>) -> Result<()> {
    while !work.stopped.load(Ordering::Relaxed) {
        let Some(key) = lock(&work.episodes).pop_front() else { break };
        let news = match attempt(work, &mut simulator, &key)? {
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
    key: &EpisodeKey,
) -> Result<Result<Recording, SimError>> {
    let mut attempts = 0;
    loop {
        let mut current = match simulator.take() {
            Some(simulator) => simulator,
            None => open(work.collection)?,
        };
        attempts += 1;
        match record(work.collection, &mut current, key) {
            Ok(recording) => {
                *simulator = Some(current);
                return Ok(Ok(recording));
            }
            Err(error) if attempts == ATTEMPTS => return Ok(Err(error)),
            Err(_) => {}
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
