//! Stopping a run early: as soon as the policy is certainly better or worse than a reference.
//!
//! Episodes are counted in an order that is fixed before the run. They end in another one, for
//! failures take longer than successes, and counting them as they end would favour successes: an
//! episode waits until all before it have ended.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use udvla_sims::episode::EpisodeKey;

use crate::differences;
use crate::manifest::Manifest;
use crate::paper::{Paper, PaperTable};
use crate::read::Run;
use crate::record::EpisodeRecord;
use crate::statistics::sequential::{Direction, Evidence, Reach};
use crate::verdict::withheld;

/// Why a run stopped before its last episode; stands in the manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EarlyStop {
    /// What the policy was held against.
    pub against: String,
    /// `above` or `below`: how the policy does.
    pub direction: String,
    /// Episodes that were counted until it was certain.
    pub episodes: u32,
    /// The capital of the bet on that direction.
    pub evidence: f64,
    /// The capital at which a bet is won.
    pub threshold: f64,
}

impl EarlyStop {
    /// `below the baseline after 57 episodes`.
    pub fn words(&self) -> String {
        format!("{} {} after {} episodes", self.direction, self.against, self.episodes)
    }
}

/// Why a run cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The reference has another protocol.
    #[error("the run and its baseline have different protocols: {}", .0.join("; "))]
    Protocol(Vec<String>),
    /// The reference did not run all of the episodes.
    #[error("the baseline lacks {lacking} of {asked} episodes, {first} among them")]
    Lacking {
        /// Episodes without an outcome in the baseline.
        lacking: usize,
        /// Episodes of the run.
        asked: usize,
        /// One of them.
        first: EpisodeKey,
    },
    /// The run says nothing about the paper's numbers.
    #[error("the run says nothing about the paper's number: {0}")]
    Withheld(String),
    /// Results depend on what ran before.
    #[error("reset mode `{0}` plays episodes in an order of its own")]
    Order(String),
}

/// What an episode is held against.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Reference {
    value: f64,
    reach: Reach,
}

/// Watches a run and says when it may stop.
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
    /// Holds the run of `manifest` against equal episodes of a baseline.
    ///
    /// # Errors
    /// When it has another protocol, lacks an episode, or the order matters.
    pub fn baseline(manifest: &Manifest, baseline: &Run) -> Result<Self, WatchError> {
        let fields = differences::protocols(manifest, &baseline.manifest, "baseline");
        if !fields.is_empty() {
            return Err(WatchError::Protocol(fields));
        }
        let reference = |key: &EpisodeKey| {
            let value = outcome(baseline.records.get(key)?)?;
            Some(Reference { value, reach: Reach::OF_A_PAIR })
        };
        let against = format!("the baseline {}", baseline.manifest.run);
        Self::new(manifest, against, reference)
    }

    /// Holds the run of `manifest` against the paper's numbers, taken as exact.
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
        let mut rates: BTreeMap<(&str, u16), Option<f64>> = BTreeMap::new();
        for task in &manifest.plan {
            let rate = published(table, &task.suite, task.task, task.stages);
            rates.insert((&task.suite, task.task), rate);
        }
        let reference = |key: &EpisodeKey| {
            let value = (*rates.get(&(key.suite.as_str(), key.task))?)?;
            Some(Reference { value, reach: Reach::around(value) })
        };
        Self::new(manifest, format!("the paper's {}", table.source), reference)
    }

    fn new(
        manifest: &Manifest,
        against: String,
        reference: impl Fn(&EpisodeKey) -> Option<Reference>,
    ) -> Result<Self, WatchError> {
        let mode = manifest.protocol.environment.get("reset_mode").and_then(|mode| mode.as_str());
        if let Some(mode) = mode.filter(|mode| ["reference", "exact"].contains(mode)) {
            return Err(WatchError::Order(mode.into()));
        }
        let order = shuffled(manifest.episodes());
        let mut references = HashMap::new();
        let mut lacking = Vec::new();
        for key in &order {
            match reference(key) {
                Some(found) => drop(references.insert(key.clone(), found)),
                None => lacking.push(key.clone()),
            }
        }
        if let Some(first) = lacking.first() {
            let (first, asked) = (first.clone(), order.len());
            return Err(WatchError::Lacking { lacking: lacking.len(), asked, first });
        }
        let (outcomes, evidence) = (HashMap::new(), Evidence::default());
        Ok(Self { against, order, references, outcomes, counted: 0, evidence, stop: None })
    }

    /// The run's episodes in the order in which they are counted, which is the one to play them.
    pub fn order(&self) -> &[EpisodeKey] {
        &self.order
    }

    /// Takes a record into account; an episode that could not be run holds up those after it.
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
                evidence: self.evidence.capital(direction),
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
    record.success()?;
    Some(f64::from(record.stages_completed) / f64::from(record.stages.max(1)))
}

/// The paper's number for a task, as a share of its scale.
fn published(table: &PaperTable, suite: &str, task: u16, stages: u16) -> Option<f64> {
    if stages > 1 {
        return Some(table.average_length(suite, stages)?.estimate.value / f64::from(stages));
    }
    let published = table.task(suite, task).or_else(|| table.suite(suite))?;
    Some(published.estimate.value)
}

/// The episodes in an order that has nothing to do with their outcomes: by a hash of their names.
fn shuffled(mut episodes: Vec<EpisodeKey>) -> Vec<EpisodeKey> {
    // SplitMix64 over the bytes.
    let hash = |key: &EpisodeKey| {
        key.to_string().bytes().fold(0x9e37_79b9_7f4a_7c15_u64, |state, byte| {
            let mut z = state.wrapping_add(u64::from(byte)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        })
    };
    episodes.sort_by_cached_key(|key| (hash(key), key.clone()));
    episodes
}
