//! A run from its beginning to its end.

use std::collections::BTreeMap;
use std::sync::mpsc::channel;

use anyhow::{Context, Result};
use udvla_policies::PolicySpec;
use udvla_results::compare::early::Watch;
use udvla_results::run::manifest::Manifest;
use udvla_results::run::record::{EpisodeRecord, Status};
use udvla_sims::episode::EpisodeKey;

use super::dispatcher::{Assignment, Dispatcher, Outcome, Patience};
use super::pool::Pool;
use super::store::Store;
use super::{early, manifest, signals};
use crate::plan::Plan;
use crate::policy;
use crate::report::{Reporter, Running, Show};

/// Failures in a row, per worker, after which a run gives up.
const FAILURES_PER_WORKER: usize = 3;

/// Runs a plan; `command` is stored for information.
///
/// `None` when it was interrupted before it began.
///
/// # Errors
/// [`crate::exit::Refused`] for what cannot work; anything else for a fault of the program or the
/// machine.
pub fn evaluate(plan: &Plan, show: Show, command: Vec<String>) -> Result<Option<Outcome>> {
    let policies = policy::open(plan)?;
    let spec = policy::spec(&policies);
    let mut store = Store::open(&plan.directory)?;
    let outcome = (|| {
        let events = channel();
        signals::listen(events.0.clone()).context("cannot listen for Ctrl-C")?;
        let pool = Pool::start(plan, policies, &spec, events)?;
        let outcome =
            Run { plan, policy: &spec, show, pool: &pool, store: &mut store }.run(command);
        pool.join();
        outcome
    })();
    store.discard_if_empty();
    outcome
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
    watch: Option<Watch>,
}

impl Run<'_> {
    fn run(mut self, command: Vec<String>) -> Result<Option<Outcome>> {
        let Some(ready) = self.pool.open_first_worker()? else { return Ok(None) };
        policy::check_fit(self.policy, &ready.spec)?;
        let manifest = manifest::new(self.plan, self.policy, ready.setting, command)?;
        let remaining = self.remaining(manifest)?;
        self.store.write_manifest(&remaining.manifest)?;
        self.play(remaining).map(Some)
    }

    /// What the run directory leaves to do; a run that is in it already is continued.
    fn remaining(&mut self, mut manifest: Manifest) -> Result<Remaining> {
        let mut records = BTreeMap::new();
        if let Some(before) = self.store.previous_run()? {
            manifest::continue_run(&mut manifest, &before, self.plan)?;
            records = before.records;
        }
        let reference = self.plan.execution.stop_early.as_deref();
        let mut watch =
            reference.map(|reference| early::watch(reference, &manifest)).transpose()?;
        let mut episodes = self.plan.episodes();
        if let Some(watch) = &watch {
            let positions: BTreeMap<_, _> = watch.order().iter().zip(0..).collect();
            episodes.sort_by_key(|key| positions.get(key).copied());
        }
        records.retain(|key, record| record.status == Status::Ok && episodes.contains(key));
        if let Some(watch) = &mut watch {
            records.values().for_each(|record| watch.observe(record));
        }
        episodes.retain(|key| !records.contains_key(key));
        Ok(Remaining { manifest, done: records.into_values().collect(), episodes, watch })
    }

    /// Plays what is left and completes the manifest, however the run ends.
    fn play(self, remaining: Remaining) -> Result<Outcome> {
        let Remaining { manifest, done, episodes, watch } = remaining;
        let Self { plan, show, pool, store, .. } = self;
        let running = Running::of(plan);
        let mut reporter =
            Reporter::new(show, done.len() + episodes.len(), plan.execution.replicas, running);
        reporter.start(&manifest::heading(plan, &manifest, done.len()), &done);
        let assignment = Assignment {
            protocol: &plan.protocol,
            episodes,
            seed: plan.execution.seed,
            patience: Patience {
                retries: plan.execution.retries,
                failures_in_a_row: FAILURES_PER_WORKER * plan.execution.workers,
            },
            watch,
        };
        let outcome = Dispatcher::new(store, &mut reporter, pool, assignment).run();
        reporter.close();
        let written = manifest::finish(store, manifest, outcome.as_ref().ok());
        let outcome = outcome.with_context(|| {
            let directory = plan.directory.display();
            format!("the run stopped; `udvla-eval resume {directory}` continues it")
        })?;
        written?;
        Ok(outcome)
    }
}
