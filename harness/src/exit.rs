//! How the program ends: exit codes, and refusals that tell the next step.

use std::fmt;
use std::process::ExitCode;

use udvla_sims::process::SimError;

/// Every way the program can end. 3, 4, 5 and 130 can be resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All that was asked is done.
    Complete = 0,
    /// A fault of the program or of the machine (full disk, …), or a golden file that differs.
    Internal = 1,
    /// Wrong usage or set-up; nothing was run.
    Refused = 2,
    /// Stopped by the user; running episodes were finished first.
    Interrupted = 3,
    /// Finished, but some episodes could not be run.
    WithErrors = 4,
    /// Stopped after repeated failures.
    GaveUp = 5,
    /// A gate's number is too low, a replay differs, or `audit --strict` found something.
    GateFailed = 6,
    /// A gate needs more episodes.
    GateInconclusive = 7,
    /// Stopped at once by a second interrupt.
    Killed = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Something that cannot work as asked: what is wrong, and what to type next.
#[derive(Debug)]
pub struct Refused {
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Refused {
    /// Refuses with a message: lower case, no full stop.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, source: None }
    }

    /// Adds the next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The next step, if one is known.
    pub fn next_step(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl From<&SimError> for Refused {
    /// A worker's complaint about the machine.
    fn from(error: &SimError) -> Self {
        match error {
            SimError::Raised { message, .. } => Self::new(message.clone()),
            SimError::Start { source, .. } => {
                Self::new(error.to_string()).because(source.to_string())
            }
            other => Self::new(other.to_string()),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refused {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}
