//! The protocols of policy servers.

use serde::{Deserialize, Serialize};

/// The protocol of a policy server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum ServerProtocol {
    /// openpi's
    Openpi,
    /// RoboArena's variant of openpi's
    Roboarena,
    /// vla-eval's
    VlaEval,
}

impl ServerProtocol {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Openpi, Self::Roboarena, Self::VlaEval];

    /// Its name on the command line and in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Openpi => "openpi",
            Self::Roboarena => "roboarena",
            Self::VlaEval => "vla-eval",
        }
    }
}
