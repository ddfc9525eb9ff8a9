//! A run: policy, workers, records, tables.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use udvla_policies::{Policy, PolicySpec};
use udvla_results::manifest::{BatchCounts, EpisodeCounts, Manifest, RunStatus};
use udvla_results::record::{EpisodeRecord, Status};
use udvla_sims::episode::EpisodeKey;
use udvla_sims::observation::SimSpec;
use udvla_sims::process::SimError;
use udvla_sims::wire::OpenConfig;

use crate::batcher::{self, Closing, Queue};
use crate::dispatcher::{self, Dispatcher, Duties, Patience, Seat};
use crate::event::Event;
use crate::exit::{Exit, Refused};
use crate::plan::{self, Plan};
use crate::pool::{Order, PoolOptions, PoolThread, Shared, Video};
use crate::progress::{Progress, Show};
use crate::store::{self, Store};
use crate::{early, identity, signals, subject};

/// Runs a plan, or prints it.
///
/// # Errors
/// [`Refused`] for what cannot work, anything else for faults of program or machine.
pub fn run(plan: Plan, show: Show, command: Vec<String>) -> Result<Exit> {
    plan::not_empty(&plan)?;
    if plan.run.dry_run {
        print!("{}", identity::describe(&plan));
        return Ok(Exit::Complete);
    }
    let policies = subject::open(&plan)?;
    let mut store = Store::open(&plan.directory)?;
    let done = prepared(&plan, policies, &mut store, show, command);
    store.discard_if_empty();
    done
}

fn prepared(
    plan: &Plan,
    policies: Vec<Box<dyn Policy>>,
    store: &mut Store,
    show: Show,
    command: Vec<String>,
) -> Result<Exit> {
    let spec = subject::spec(&policies);
    let (events, happened) = channel();
    signals::listen(events.clone()).context("cannot listen for Ctrl-C")?;
    let scratch = Scratch::make(store.directory())?;
    let pool = Pool::start(plan, &spec, policies, store, &scratch, &events)?;
    let outcome = pool
        .first_worker(&store.directory().join("logs/worker-00.log"), &happened)
        .and_then(|ready| {
            let Some((sim, setting)) = ready else { return Ok(Exit::Interrupted) };
            subject::fits(&spec, &sim)?;
            evaluate(plan, &spec, setting, store, show, command, &pool, &happened)
        });
    pool.join();
    outcome
}

/// Everything after the first worker told what it is.
#[expect(clippy::too_many_arguments, reason = "the one place where all parts meet")]
fn evaluate(
    plan: &Plan,
    spec: &PolicySpec,
    mut setting: BTreeMap<String, String>,
    store: &mut Store,
    show: Show,
    command: Vec<String>,
    pool: &Pool,
    happened: &Receiver<Event>,
) -> Result<Exit> {
    setting.extend(spec.setting.clone());
    setting.extend(plan.simulator.adapters.clone().map(|digest| ("adapters".into(), digest)));
    let mut manifest = identity::manifest(plan, spec, setting, command);
    let mut records = BTreeMap::new();
    if let Some(before) = store.run()? {
        store::same_run(store.directory(), &before.manifest, &manifest)?;
        manifest.continues(before.manifest);
        records = before.records;
    }
    let mut watch = match &plan.run.stop_early {
        Some(asked) => Some(early::watch(asked, &manifest)?),
        None => None,
    };
    let mut episodes = plan.episodes();
    if let Some(watch) = &watch {
        let places: BTreeMap<_, _> = watch.order().iter().zip(0..).collect();
        episodes.sort_by_key(|key| places.get(key).copied());
    }
    records.retain(|key, record| record.status == Status::Ok && episodes.contains(key));
    manifest.episodes.asked = manifest.episodes().len() as u32;
    store.write_manifest(&manifest)?;
    let before: Vec<EpisodeRecord> = records.values().cloned().collect();
    watch.iter_mut().for_each(|watch| before.iter().for_each(|record| watch.observe(record)));
    let open = episodes.iter().filter(|key| !records.contains_key(*key)).cloned().collect();
    if show != Show::Nothing {
        eprint!("{}", identity::heading(plan, &manifest, before.len()));
    }
    let progress = Progress::new(show, episodes.len(), &before);
    let mut progress = progress.shared_by(plan.run.devices.len());
    let duties = Duties {
        episodes: open,
        stages: plan.stages(),
        seed: plan.run.seed,
        patience: Patience { retries: plan.run.retries, failures_in_a_row: 3 * plan.workers },
        watch,
    };
    let shared = Arc::clone(&pool.shared);
    let dispatcher = Dispatcher::new(store, &mut progress, shared, pool.seats(), duties);
    let outcome = dispatcher.run(happened);
    progress.close();
    let (status, batches) = match &outcome {
        Ok(outcome) => {
            manifest.stopped_early.clone_from(&outcome.stopped_early);
            (outcome.status, outcome.batches)
        }
        Err(_) => (RunStatus::Interrupted, BatchCounts::default()),
    };
    if let Ok(outcome) = &outcome {
        for (kind, count) in &outcome.remarks {
            *manifest.remarks.entry(kind.clone()).or_default() += count;
        }
    }
    let written = end(store, manifest, status, batches);
    let outcome = outcome.with_context(|| {
        format!("the run stopped; `udvla-eval resume {}` continues it", plan.directory.display())
    })?;
    written?;
    if let Some(message) = &outcome.message {
        eprintln!("error: {message}");
    }
    finish(plan, &outcome)
}

/// Writes the manifest of a run that ended, however it ended.
fn end(
    store: &mut Store,
    mut manifest: Manifest,
    status: RunStatus,
    batches: BatchCounts,
) -> Result<()> {
    let records = store::read(store.directory())?.records;
    let episodes = manifest.episodes();
    let count = |status| {
        let wanted = |key: &&EpisodeKey| records.get(key).is_some_and(|one| one.status == status);
        episodes.iter().filter(wanted).count() as u32
    };
    let (ok, error) = (count(Status::Ok), count(Status::Error));
    manifest.episodes = EpisodeCounts { asked: episodes.len() as u32, ok, error };
    manifest.status = status;
    manifest.batches.batches += batches.batches;
    manifest.batches.rows += batches.rows;
    manifest.batches.seconds += batches.seconds;
    manifest.ended = Some(identity::now());
    store.write_manifest(&manifest)
}

/// Tables, plots, and how to go on.
fn finish(plan: &Plan, outcome: &dispatcher::Outcome) -> Result<Exit> {
    super::report::run(&plan.directory)?;
    match outcome.status {
        RunStatus::Complete => {}
        RunStatus::StoppedEarly => eprintln!(
            "\nhint: the same command with `--out {}` and without `--stop-early` plays the rest",
            plan.directory.display()
        ),
        _ => eprintln!("\nhint: udvla-eval resume {}", plan.directory.display()),
    }
    Ok(outcome.exit)
}

/// The policy's threads and the pool's.
struct Pool {
    seats: Vec<(Sender<Order>, Arc<AtomicU32>)>,
    threads: Vec<JoinHandle<()>>,
    shared: Arc<Shared>,
}

impl Pool {
    fn start(
        plan: &Plan,
        spec: &PolicySpec,
        policies: Vec<Box<dyn Policy>>,
        store: &Store,
        scratch: &Scratch,
        events: &Sender<Event>,
    ) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let (ask, questions) = channel();
        let closing = Closing {
            max_rows: usize::from(plan.run.max_batch),
            wait: plan.run.batch_wait.map(Duration::from_millis),
        };
        let mut threads = vec![];
        let busy = Arc::clone(&shared.busy);
        let queue = Arc::new(Queue::new(questions, closing, busy, policies.len()));
        for (index, policy) in policies.into_iter().enumerate() {
            let (queue, events) = (Arc::clone(&queue), events.clone());
            let batcher = move || batcher::run(policy, &queue, &events);
            let name = format!("policy-{index}");
            threads.push(std::thread::Builder::new().name(name).spawn(batcher)?);
        }
        // Workers have a working directory of their own to write to: paths must be absolute.
        let directory = store.directory().canonicalize()?;
        let options = PoolOptions {
            command: plan.simulator.command.clone(),
            config: OpenConfig {
                protocol: plan.protocol.clone(),
                suites: plan.suites(),
                images: !spec.cameras.is_empty(),
                last_look: plan.run.save_futures,
                video: plan.run.video != Video::None,
                scratch: String::new(),
                options: plan.simulator.options.clone(),
            },
            run_directory: directory,
            scratch: scratch.0.clone(),
            start_timeout: plan.start_timeout(),
            step_timeout: plan.step_timeout(),
            video: plan.run.video,
            firsts: plan.firsts(),
            seed: plan.run.seed,
            futures: plan.run.save_futures,
        };
        let mut seats = vec![];
        for index in 0..plan.workers {
            let (orders, given) = channel();
            let process = Arc::new(AtomicU32::new(0));
            let thread = PoolThread {
                index,
                options: options.clone(),
                events: events.clone(),
                policy: ask.clone(),
                shared: Arc::clone(&shared),
                process: Arc::clone(&process),
            };
            let name = format!("pool-{index:02}");
            threads.push(std::thread::Builder::new().name(name).spawn(move || thread.run(&given))?);
            seats.push((orders, process));
        }
        Ok(Self { seats, threads, shared })
    }

    /// Opens the first worker alone: what it is decides whether the run may start, and caches
    /// that all workers share are warm for the others. `None` after an interrupt.
    fn first_worker(
        &self,
        log: &Path,
        happened: &Receiver<Event>,
    ) -> Result<Option<(SimSpec, BTreeMap<String, String>)>> {
        self.seats[0].0.send(Order::Open).expect("the pool thread waits for orders");
        match happened.recv().expect("the pool thread reports") {
            Event::Ready { spec, setting, .. } => Ok(Some((spec, setting))),
            Event::NotReady { error, .. } => {
                let refused = Refused::from(&error);
                let explained = matches!(error, SimError::Raised { .. } | SimError::Start { .. });
                Err(if explained { refused } else { refused.hint(last_words(log)) }.into())
            }
            Event::Interrupt(_) => {
                dispatcher::stop(&self.shared, &self.seats());
                Ok(None)
            }
            other => unreachable!("nothing else can happen yet: {other:?}"),
        }
    }

    fn seats(&self) -> Vec<Seat> {
        let seat = |(orders, process): &(Sender<Order>, Arc<AtomicU32>)| Seat {
            orders: orders.clone(),
            process: Arc::clone(process),
        };
        self.seats.iter().map(seat).collect()
    }

    fn join(self) {
        drop(self.seats);
        for thread in self.threads {
            // A panic was printed by the thread that had it.
            let _ = thread.join();
        }
    }
}

/// The end of a worker's log, or the beginning of the stack that a crash left there, for an error
/// of a run whose directory is removed again.
fn last_words(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let crash = lines.iter().rposition(|line| line.starts_with("Fatal Python error"));
    let from = crash.unwrap_or(lines.len().saturating_sub(12));
    match lines[from..lines.len().min(from + 12)].join("\n  ") {
        words if words.is_empty() => "the worker printed nothing".into(),
        words => format!("the worker printed last:\n  {words}"),
    }
}

/// A folder for workers, removed at the end; what a killed run left is removed first.
struct Scratch(PathBuf);

impl Scratch {
    fn make(run_directory: &Path) -> Result<Self> {
        let folder = run_directory.canonicalize()?.join("scratch");
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
