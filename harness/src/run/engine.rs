//! A run from its beginning to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::channel;

use anyhow::{Context, Result};
use udvla_policies::{Policy, PolicySpec};
use udvla_results::compare::early::Watch;
use udvla_results::out::printable::printable;
use udvla_results::run::damage::Damage;
use udvla_results::run::manifest::Manifest;
use udvla_results::run::read::Run as PreviousRun;
use udvla_results::run::record::{EpisodeRecord, Status};
use udvla_sims::episode::EpisodeKey;

use super::breaker::Breaker;
use super::dispatcher::{Assignment, Dispatcher};
use super::ending::{Ending, Evaluated};
use super::event::Ready;
use super::pool::{Opened, Pool};
use super::store::Store;
use super::{directory, early, manifest, signals};
use crate::exit::Refused;
use crate::plan::Plan;
use crate::policy;
use crate::report::{GaveUp, Notice, Reporter, Running, Show};

/// Runs a plan; `command` is stored for information.
///
/// The directory holds a manifest that `resume` can start from before anything slow begins: weights
/// are loaded and simulators opened after it is written.
///
/// # Errors
/// [`Refused`] for what cannot work, after which a directory that was made for the run is removed;
/// anything else for a fault of the program or the machine.
pub fn evaluate(plan: &Plan, show: Show, command: Vec<String>) -> Result<Evaluated> {
    evaluate_with(plan, show, command, policy::open)
}

/// The same with a policy of the caller's instead of the plan's.
///
/// # Errors
/// As [`evaluate`].
pub fn evaluate_with(
    plan: &Plan,
    show: Show,
    command: Vec<String>,
    open: impl FnOnce(&Plan) -> Result<Vec<Box<dyn Policy>>>,
) -> Result<Evaluated> {
    let mut store = Store::open(&plan.directory, plan.take_over)?;
    let evaluated = start(plan, show, &mut store, command, open);
    if let Err(error) = &evaluated
        && error.is::<Refused>()
    {
        store.discard_if_unused();
    }
    evaluated
}

/// Checks without changing anything that a run of the plan would not be refused for its directory or
/// for what `--stop-early` names.
///
/// # Errors
/// [`Refused`] as [`evaluate`] would give.
pub fn check(plan: &Plan) -> Result<()> {
    if plan.directory.exists() {
        directory::check_contents(&plan.directory)?;
    }
    if let Some(reference) = &plan.execution.stop_early {
        early::watch(reference, &manifest::start(plan, Vec::new())?, plan.damage)?;
    }
    Ok(())
}

fn start(
    plan: &Plan,
    show: Show,
    store: &mut Store,
    command: Vec<String>,
    open: impl FnOnce(&Plan) -> Result<Vec<Box<dyn Policy>>>,
) -> Result<Evaluated> {
    let before = previous_run(store, plan.damage)?;
    let manifest = manifest::start(plan, command)?;
    if before.is_none() {
        store.write_manifest(&manifest)?;
    }
    let policies = open(plan)?;
    let spec = policy::spec(&policies);
    let events = channel();
    signals::listen(events.0.clone()).context("cannot listen for Ctrl-C")?;
    let pool = Pool::start(plan, policies, &spec, events)?;
    let run = Run { plan, policy: &spec, show, pool: &pool, store };
    let evaluated = run.run(manifest, before);
    pool.join();
    evaluated
}

/// The run that is in the directory already. One that was stopped before its first simulator was
/// open is none: nothing was played, and any command may use the directory.
fn previous_run(store: &mut Store, damage: Damage) -> Result<Option<PreviousRun>> {
    let run = store.previous_run(damage)?;
    Ok(run.filter(|run| store.has_records() || !manifest::is_of_a_start(&run.manifest)))
}

/// A run whose threads are started.
struct Run<'a> {
    plan: &'a Plan,
    policy: &'a PolicySpec,
    show: Show,
    pool: &'a Pool,
    store: &'a mut Store,
}

/// What is left to do of a run.
struct Remaining {
    manifest: Manifest,
    /// Records that stay.
    done: Vec<EpisodeRecord>,
    /// Episodes to play, in order.
    episodes: Vec<EpisodeKey>,
    /// Those of them that have an error as their record.
    errors: BTreeSet<EpisodeKey>,
    breaker: Breaker,
    watch: Option<Watch>,
}

impl Run<'_> {
    fn run(mut self, mut manifest: Manifest, before: Option<PreviousRun>) -> Result<Evaluated> {
        let ready = match self.open_first_worker()? {
            Ok(ready) => ready,
            Err(ending) => {
                if before.is_none() {
                    manifest::write_ended(self.store, manifest, Some(&ending))?;
                }
                return Ok(Evaluated::NotStarted(ending));
            }
        };
        policy::check_fit(self.policy, &ready.spec)?;
        manifest::identify(&mut manifest, self.plan, self.policy, ready.setting)?;
        let remaining = self.remaining(manifest, before)?;
        self.store.write_manifest(&remaining.manifest)?;
        self.play(remaining).map(Evaluated::Played)
    }

    /// What the first worker's simulator is, or how the run ends without one.
    fn open_first_worker(&self) -> Result<Result<Ready, Ending>> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let (error, last_words) = match self.pool.open_first_worker()? {
                Opened::Ready(ready) => return Ok(Ok(ready)),
                Opened::Interrupted => return Ok(Err(Ending::Interrupted)),
                Opened::Failed { error, last_words } => (error, last_words),
            };
            if attempts > self.plan.execution.retries {
                let reason = GaveUp::NoStart { attempts, last: error, last_words };
                return Ok(Err(Ending::GaveUp(reason)));
            }
            if self.show != Show::Nothing {
                let notice = Notice::NotOpened { worker: 0, error, again: true };
                eprintln!("{}", printable(&notice.to_string()));
            }
        }
    }

    /// What the run directory leaves to do; a run that is in it already is continued.
    fn remaining(
        &mut self,
        mut manifest: Manifest,
        before: Option<PreviousRun>,
    ) -> Result<Remaining> {
        let mut records = BTreeMap::new();
        if let Some(before) = before {
            manifest::continue_run(&mut manifest, &before, self.plan)?;
            records = before.records;
        }
        let breaker = Breaker::new(self.plan.execution.workers, records.values());
        let reference = self.plan.execution.stop_early.as_deref();
        let damage = self.plan.damage;
        let mut watch =
            reference.map(|reference| early::watch(reference, &manifest, damage)).transpose()?;
        let mut episodes = self.plan.episodes();
        if let Some(watch) = &watch {
            let positions: BTreeMap<_, _> = watch.order().iter().zip(0..).collect();
            episodes.sort_by_key(|key| positions.get(key).copied());
        }
        let errors = records.values().filter(|record| record.status == Status::Error);
        let errors = errors.map(EpisodeRecord::key).collect();
        records.retain(|_, record| record.status == Status::Ok);
        // It counts the run's episodes in its own order, of which this plan may be a part.
        if let Some(watch) = &mut watch {
            records.values().for_each(|record| watch.observe(record));
        }
        let planned: BTreeSet<&EpisodeKey> = episodes.iter().collect();
        records.retain(|key, _| planned.contains(key));
        episodes.retain(|key| !records.contains_key(key));
        let done = records.into_values().collect();
        Ok(Remaining { manifest, done, episodes, errors, breaker, watch })
    }

    /// Plays what is left and completes the manifest, however the run ends.
    fn play(self, remaining: Remaining) -> Result<Ending> {
        let Remaining { manifest, done, episodes, errors, breaker, watch } = remaining;
        let Self { plan, show, pool, store, .. } = self;
        let running = Running::of(plan);
        let mut reporter =
            Reporter::new(show, done.len() + episodes.len(), plan.execution.replicas, running);
        reporter.start(&manifest::heading(plan, &manifest, done.len()), &done);
        let assignment = Assignment {
            protocol: &plan.protocol,
            episodes,
            errors,
            seed: plan.execution.seed,
            retries: plan.execution.retries,
            breaker,
            watch,
        };
        let outcome = Dispatcher::new(store, &mut reporter, pool, assignment).run();
        reporter.close();
        let (outcome, failure) = match outcome {
            Ok(outcome) => (Some(outcome), None),
            Err(error) => (None, Some(error)),
        };
        let ended = manifest::finish(store, manifest, outcome);
        if let Some(error) = failure {
            if error.is::<Refused>() {
                return Err(error);
            }
            let directory = plan.directory.display();
            let text = format!("the run stopped; `udvla-eval resume {directory}` continues it");
            return Err(error.context(text));
        }
        Ok(ended?.expect("an outcome has an ending"))
    }
}
