//! Early stopping: as soon as the policy is significantly better or worse than a reference.
//!
//! Episodes are counted in an order that is drawn at random for every run, from its id, before it
//! starts. Tasks differ in difficulty, so an order that is the same for all runs could favor a
//! direction. Episodes end in another order, because failures take longer than successes, and
//! counting them as they end would favor successes: an episode is counted only after all before it
//! have ended.

use std::collections::HashMap;

use udvla_sims::episode::EpisodeKey;

use crate::paper::{Paper, PaperTable};
use crate::run::differences;
use crate::run::manifest::{EarlyStop, Manifest};
use crate::run::read::Run;
use crate::run::record::EpisodeRecord;
use crate::statistics::random::hash_bytes;
use crate::statistics::sequential::{Direction, Evidence, Reach};
use crate::tables::verdict::withheld;

/// Why a run cannot be watched.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum WatchError {
    #[error("the run and its baseline have different protocols: {}", .0.join("; "))]
    Protocol(Vec<String>),
    #[error("the baseline lacks {lacking} of {asked} episodes, {first} among them")]
    Lacking { lacking: usize, asked: usize, first: EpisodeKey },
    #[error("the run says nothing about the paper's number: {0}")]
    Withheld(String),
    /// Outcomes depend on the order of the episodes.
    #[error("reset mode `{0}` plays episodes in an order of its own")]
    Order(String),
}

/// The reference number for an episode.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Reference {
    value: f64,
    reach: Reach,
}

/// Watches a run and decides when it may stop.
#[derive(Debug, Clone)]
pub struct Watch {
    against: String,
    order: Vec<EpisodeKey>,
    references: HashMap<EpisodeKey, Reference>,
    outcomes: HashMap<EpisodeKey, f64>,
    counted: usize,
    evidence: Evidence,
    stop: Option<EarlyStop>,
}

impl Watch {
    /// Compares the run of `manifest` with the same episodes of a baseline.
    ///
    /// # Errors
    /// When the baseline has another protocol or lacks an episode, or the order matters.
    pub fn baseline(manifest: &Manifest, baseline: &Run) -> Result<Self, WatchError> {
        let fields = differences::protocols(manifest, &baseline.manifest, "baseline");
        if !fields.is_empty() {
            return Err(WatchError::Protocol(fields));
        }
        let reference = |key: &EpisodeKey| {
            let value = outcome(baseline.records.get(key)?)?;
            Some(Reference { value, reach: Reach::OF_A_PAIR })
        };
        Self::new(manifest, format!("the baseline {}", baseline.manifest.run), reference)
    }

    /// Compares the run of `manifest` with the paper's numbers, taken as exact.
    ///
    /// # Errors
    /// When the run says nothing about them, or the order matters.
    pub fn paper(manifest: &Manifest, paper: &Paper) -> Result<Self, WatchError> {
        let benchmark = &manifest.protocol.benchmark;
        let table = paper
            .table(benchmark)
            .ok_or_else(|| WatchError::Withheld(format!("it has none for {benchmark}")))?;
        if let Some(reason) = withheld(manifest, table) {
            return Err(WatchError::Withheld(reason));
        }
        let named = manifest.published.as_ref().map(|row| table.compared_with(row));
        let table = named.as_ref().unwrap_or(table);
        let rate = |suite: &str, task: u16, stages: u16| published(table, suite, task, stages);
        let rates: HashMap<(&str, u16), Option<f64>> = manifest
            .plan
            .iter()
            .map(|task| ((&*task.suite, task.task), rate(&task.suite, task.task, task.stages)))
            .collect();
        let reference = |key: &EpisodeKey| {
            let value = (*rates.get(&(key.suite.as_str(), key.task))?)?;
            Some(Reference { value, reach: Reach::around(value) })
        };
        let against = match &manifest.published {
            Some(row) => row.label(),
            None => format!("the paper's {}", table.source),
        };
        Self::new(manifest, against, reference)
    }

    fn new(
        manifest: &Manifest,
        against: String,
        reference: impl Fn(&EpisodeKey) -> Option<Reference>,
    ) -> Result<Self, WatchError> {
        let mode = manifest.protocol.environment.reset_mode();
        if let Some(mode) = mode.filter(|mode| ["reference", "exact"].contains(mode)) {
            return Err(WatchError::Order(mode.into()));
        }
        let order = shuffled(manifest.episodes(), manifest.id.as_deref().unwrap_or_default());
        let references: HashMap<EpisodeKey, Reference> =
            order.iter().filter_map(|key| Some((key.clone(), reference(key)?))).collect();
        if let Some(first) = order.iter().find(|key| !references.contains_key(*key)) {
            let (asked, first) = (order.len(), first.clone());
            return Err(WatchError::Lacking { lacking: asked - references.len(), asked, first });
        }
        let (outcomes, evidence) = (HashMap::new(), Evidence::default());
        Ok(Self { against, order, references, outcomes, counted: 0, evidence, stop: None })
    }

    /// The run's episodes in the order in which they are counted, and should be played.
    pub fn order(&self) -> &[EpisodeKey] {
        &self.order
    }

    /// Adds a record; an episode that could not be run blocks those after it.
    pub fn observe(&mut self, record: &EpisodeRecord) {
        if let Some(outcome) = outcome(record) {
            self.outcomes.insert(record.key(), outcome);
        }
        while self.stop.is_none()
            && let Some(key) = self.order.get(self.counted)
            && let Some(&outcome) = self.outcomes.get(key)
        {
            let Reference { value, reach } = self.references[key];
            self.evidence.observe(outcome - value, reach);
            self.counted += 1;
            self.stop = self.evidence.decided().map(|direction| EarlyStop {
                against: self.against.clone(),
                direction: match direction {
                    Direction::Above => "above".into(),
                    Direction::Below => "below".into(),
                },
                episodes: self.counted as u32,
                evidence: self.evidence.value(direction),
                threshold: Evidence::threshold(),
            });
        }
    }

    /// Why the run may stop, once it may.
    pub fn stop(&self) -> Option<&EarlyStop> {
        self.stop.as_ref()
    }
}

/// The share of stages completed, 0 to 1; `None` where the episode could not be run.
fn outcome(record: &EpisodeRecord) -> Option<f64> {
    record.success().map(|_| record.progress())
}

/// The paper's number for a task, as a share of its scale.
fn published(table: &PaperTable, suite: &str, task: u16, stages: u16) -> Option<f64> {
    if stages > 1 {
        return Some(table.average_length(suite, stages)?.estimate.value / f64::from(stages));
    }
    let published = table.task(suite, task).or_else(|| table.suite(suite))?;
    Some(published.estimate.value)
}

/// The episodes in a random order that a run keeps when it is resumed: by a hash of their names
/// and its id, which is drawn at random. Runs without an id all have the same order.
fn shuffled(mut episodes: Vec<EpisodeKey>, id: &str) -> Vec<EpisodeKey> {
    let hash = |key: &EpisodeKey| hash_bytes(format!("{id}{key}").as_bytes());
    episodes.sort_by_cached_key(|key| (hash(key), key.clone()));
    episodes
}
