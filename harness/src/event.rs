//! Everything that can happen during a run.

use std::collections::BTreeMap;

use udvla_policies::Remark;
use udvla_results::record::EpisodeRecord;
use udvla_sims::episode::EpisodeKey;
use udvla_sims::observation::SimSpec;
use udvla_sims::process::SimError;

/// A remark of the policy with the question that it belongs to.
#[derive(Debug, Clone)]
pub struct Remarked {
    /// The episode that asked.
    pub key: EpisodeKey,
    /// How many times it had asked before.
    pub call: u32,
    /// What the policy said.
    pub remark: Remark,
}

/// What reaches the dispatcher, from every thread.
#[derive(Debug)]
pub enum Event {
    /// A worker is open.
    Ready {
        /// Index of its pool thread.
        worker: usize,
        /// What its simulator offers.
        spec: SimSpec,
        /// Versions, renderer, assets.
        setting: BTreeMap<String, String>,
    },
    /// A worker could not be opened.
    NotReady {
        /// Index of its pool thread.
        worker: usize,
        /// Why.
        error: SimError,
    },
    /// An episode ran to its end.
    Finished {
        /// Index of the pool thread.
        worker: usize,
        /// Its record; `attempts`, `actions` and `seed` are filled in by the dispatcher.
        record: Box<EpisodeRecord>,
        /// The executed actions, step by step.
        actions: Vec<f32>,
        /// Numbers per action.
        width: usize,
    },
    /// The simulator failed in an episode; its worker is gone.
    Failed {
        /// Index of the pool thread.
        worker: usize,
        /// The episode.
        key: EpisodeKey,
        /// How it failed.
        error: SimError,
    },
    /// An episode was dropped because the run stops.
    Abandoned {
        /// Index of the pool thread.
        worker: usize,
    },
    /// The policy answered a batch.
    Batch {
        /// Rows in it.
        rows: usize,
        /// Seconds inside the policy.
        seconds: f64,
        /// What the policy has to say about its answers.
        remarks: Vec<Remarked>,
    },
    /// The policy failed; no further batch will be answered.
    PolicyFailed {
        /// Why.
        message: String,
    },
    /// A file of the run directory could not be written.
    Unwritable {
        /// Which, and why.
        error: anyhow::Error,
    },
    /// Ctrl-C or SIGTERM, counted from 1.
    Interrupt(u8),
}
