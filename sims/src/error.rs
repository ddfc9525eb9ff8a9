//! What can go wrong with a simulator worker.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::causes::likely_cause;
use crate::wire::Cause;

/// Why a worker gave no useful answer. Whatever it is, the worker is dead or must be dropped.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// It could not be started.
    #[error("cannot start the simulator worker `{}`", .program.display())]
    Start {
        /// The executable.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It died.
    #[error("the simulator worker died ({how}){}", likely(.cause.as_ref()))]
    Lost {
        /// Its exit status in words.
        how: String,
        /// The likely cause, where its last words tell.
        cause: Option<&'static str>,
    },
    /// It did not answer in time and was killed.
    #[error("the simulator worker gave no answer in {} s and was killed", .0.as_secs_f32())]
    Timeout(Duration),
    /// The simulator raised an exception.
    #[error("{message}{}", likely(likely_cause(.message).as_ref()))]
    Raised {
        /// Whether trying again can help.
        cause: Cause,
        /// The exception in one line.
        message: String,
        /// Its traceback.
        traceback: String,
    },
    /// It answered something that the wire does not allow.
    #[error("the simulator worker answered {0}")]
    Wire(String),
}

impl SimError {
    /// The word for it in a record's `error_kind`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Start { .. } => "start",
            Self::Lost { .. } => "lost",
            Self::Timeout(_) => "timeout",
            Self::Raised { .. } => "raised",
            Self::Wire(_) => "wire",
        }
    }

    /// Whether the machine lacks something, so that no retry can help.
    pub fn is_setup(&self) -> bool {
        matches!(self, Self::Start { .. } | Self::Raised { cause: Cause::Setup, .. })
    }
}

fn likely(cause: Option<&&'static str>) -> String {
    cause.map_or(String::new(), |cause| format!("; likely cause: {cause}"))
}
