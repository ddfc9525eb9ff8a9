//! What the threads of all clients share.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use udvla_results::out::printable::printable;

use super::session::Served;
use super::statistics::Statistics;
use super::token::Token;
use crate::clients::Protocol;
use crate::run::batcher::{Closing, Question};

/// How clients are served.
#[derive(Clone)]
pub struct Options {
    /// What clients speak.
    pub protocol: Protocol,
    /// What clients must show.
    pub token: Option<Token>,
    /// Clients at once, at most.
    pub max_connections: usize,
    /// Bytes of a message, at most.
    pub max_message: usize,
    /// Longest time from a message's first byte to its last.
    pub message_timeout: Duration,
    /// Longest silence of a client.
    pub idle_timeout: Duration,
    /// When a batch is closed.
    pub closing: Closing,
    /// Seed of the sampling noise.
    pub seed: u64,
    /// Whether connections are logged.
    pub log: bool,
}

/// Whether new work is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Yes.
    Serving,
    /// Only of clients whose episode is running.
    Draining,
    /// No; what is not answered stays so.
    Stopping,
}

/// What the threads of all clients share.
pub struct Shared {
    /// How clients are served.
    pub options: Options,
    /// What sessions know of the policy.
    pub served: Arc<Served>,
    /// The batcher's queue.
    pub questions: Sender<Question>,
    /// Clients that batches wait for.
    pub busy: Arc<AtomicUsize>,
    pub(super) phase: AtomicU8,
    /// Threads of accepted connections.
    pub(super) threads: AtomicUsize,
    /// Clients with a WebSocket.
    pub(super) clients: AtomicUsize,
    pub(super) statistics: Mutex<Statistics>,
}

impl Shared {
    /// Whether new work is taken.
    pub fn phase(&self) -> Phase {
        [Phase::Serving, Phase::Draining, Phase::Stopping]
            [usize::from(self.phase.load(Ordering::SeqCst))]
    }

    /// Takes a place for a client, if one is free.
    pub fn enter(&self) -> bool {
        let limit = self.options.max_connections;
        let more = |clients| (clients < limit).then_some(clients + 1);
        let is_serving = self.phase() == Phase::Serving;
        is_serving && self.clients.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).is_ok()
    }

    /// Gives a place back.
    pub fn leave(&self) {
        self.clients.fetch_sub(1, Ordering::SeqCst);
    }

    /// The counts.
    pub fn statistics(&self) -> MutexGuard<'_, Statistics> {
        // Counts have no state in which a panic could leave them inconsistent.
        self.statistics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a line of the log.
    pub fn log(&self, text: &str) {
        if self.options.log {
            eprintln!("{} {}", crate::run::now(), printable(text));
        }
    }
}
