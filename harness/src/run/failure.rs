//! Why an attempt at an episode failed, though nothing was wrong with the policy's actions.

use udvla_sims::process::SimError;

/// What failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The simulator.
    #[error(transparent)]
    Simulator(#[from] SimError),
    /// The policy's server, or the way to it.
    #[error("{0}")]
    Server(String),
}

impl Failure {
    /// Value of a record's `error_kind`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Simulator(error) => error.kind(),
            Self::Server(_) => "server",
        }
    }
}
