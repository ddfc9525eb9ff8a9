//! What the dispatcher reacts to, from every thread.

use std::collections::BTreeMap;

use udvla_results::run::record::EpisodeRecord;
use udvla_results::run::timeline::Timeline;
use udvla_sims::episode::EpisodeKey;
use udvla_sims::observation::SimSpec;
use udvla_sims::process::SimError;

use super::failure::Failure;
use crate::report::PolicyRemark;

/// What a simulator reports when its worker is open.
#[derive(Debug, Clone)]
pub struct Ready {
    /// Cameras, state and actions of the simulator.
    pub spec: SimSpec,
    /// Versions, renderer, assets.
    pub setting: BTreeMap<String, String>,
}

/// An episode that ran to its end.
#[derive(Debug)]
pub struct Played {
    /// Its record; the dispatcher sets `attempts`, the store sets `actions`.
    pub record: EpisodeRecord,
    /// The executed actions, step by step.
    pub actions: Vec<f32>,
    /// Numbers per action.
    pub width: usize,
    /// When the policy was asked, and with which words.
    pub timeline: Timeline,
}

/// What happened during a run. `worker` is the index of a worker thread.
#[derive(Debug)]
#[expect(missing_docs, reason = "the variants say what their fields are")]
pub enum Event {
    /// A worker is open.
    Ready { worker: usize, ready: Ready },
    /// A worker that was asked to open without an episode could not be opened.
    NotReady { error: SimError },
    /// An episode ran to its end.
    Finished { worker: usize, played: Box<Played> },
    /// A worker that was given an episode could not be opened; the episode was not started.
    NotOpened { worker: usize, error: SimError },
    /// An attempt at an episode failed; its worker is gone.
    Failed { worker: usize, key: EpisodeKey, error: Failure },
    /// An episode was dropped because the run stops.
    Abandoned { worker: usize },
    /// A running episode has completed `stage` stages and played `steps` control steps.
    Advanced { key: EpisodeKey, stage: u16, steps: u32 },
    /// The policy answered a batch of `rows` observations within `seconds`.
    Batch { rows: usize, seconds: f64, remarks: Vec<PolicyRemark> },
    /// The policy failed; no further batch will be answered.
    PolicyFailed { message: String },
    /// The run cannot go on, for example because a file could not be written.
    Fatal { error: anyhow::Error },
    /// Ctrl-C, SIGTERM or SIGHUP, counted from 1.
    Interrupt(u8),
}
