//! Errors of a simulator worker.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::causes::likely_cause;
use crate::wire::{Cause, Reply};

/// Why a worker gave no valid reply. The worker is dead or must be dropped after any of these.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum SimError {
    /// It could not be started.
    #[error("cannot start the simulator worker `{}`", .program.display())]
    Start { program: PathBuf, source: io::Error },
    /// It died.
    #[error("the simulator worker died ({how}){}", likely(.cause.as_ref()))]
    Lost {
        /// Its exit code or signal.
        how: String,
        /// The likely cause, if the end of its log shows one.
        cause: Option<&'static str>,
    },
    /// It did not answer in time and was killed.
    #[error("the simulator worker gave no answer in {} s and was killed", .0.as_secs_f32())]
    Timeout(Duration),
    /// The simulator raised an exception.
    #[error("{message}{}", likely(likely_cause(.message).as_ref()))]
    Raised { cause: Cause, message: String, traceback: String },
    /// Its reply violates the wire, or reports what cannot be.
    #[error("the simulator worker answered {0}")]
    Wire(String),
    /// It and what it started took too much memory.
    #[error("the simulator worker took {} of memory, more than 1.5 times its limit of {}", gib(.resident), gib(.limit))]
    Memory {
        /// Resident memory, bytes.
        resident: u64,
        /// What it may take, bytes.
        limit: u64,
    },
}

impl SimError {
    /// Value of a record's `error_kind`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Start { .. } => "start",
            Self::Lost { .. } => "lost",
            Self::Timeout(_) => "timeout",
            Self::Raised { .. } => "raised",
            Self::Wire(_) => "wire",
            Self::Memory { .. } => "memory",
        }
    }

    /// Whether the set-up is at fault, so that a retry cannot help.
    pub fn is_setup(&self) -> bool {
        matches!(self, Self::Start { .. } | Self::Raised { cause: Cause::Setup, .. })
    }
}

/// The error for a reply that does not fit the request.
pub fn unexpected(reply: &Reply) -> SimError {
    let mut text = format!("{reply:?}");
    text.truncate(text.floor_char_boundary(200));
    SimError::Wire(format!("out of turn: {text}"))
}

/// A number of bytes for people, in GiB.
pub fn gib(bytes: &u64) -> String {
    format!("{:.2} GiB", *bytes as f64 / f64::from(1 << 30))
}

fn likely(cause: Option<&&'static str>) -> String {
    cause.map_or(String::new(), |cause| format!("; likely cause: {cause}"))
}
