//! Messages of a run, and their text.

use std::fmt;

use udvla_policies::Remark;
use udvla_results::out::printable::printable;
use udvla_results::run::manifest::EarlyStop;
use udvla_results::tables::format::plural;
use udvla_sims::episode::EpisodeKey;

use super::color;

/// Something a user should see while a run goes on.
#[derive(Debug)]
#[expect(missing_docs, reason = "the variants say what their fields are")]
pub enum Notice {
    /// The simulator or the policy's server failed in an episode, which is tried again.
    Retrying { key: EpisodeKey, error: String },
    /// An episode that has no attempt left is recorded as an error.
    NotRunnable { key: EpisodeKey, error: String },
    /// A worker could not be opened; `again` if it is tried once more.
    NotOpened { worker: usize, error: String, again: bool },
    /// Interrupted: `running` episodes are finished first.
    Draining { running: usize },
    /// The run stops early after `running` episodes.
    EarlyStop { stop: EarlyStop, running: usize },
    /// The first remark of its kind.
    Remark(PolicyRemark),
}

/// Why a run gave up.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants say what their fields are")]
pub enum GaveUp {
    /// So many episodes in a row failed at their first attempt.
    Failures { count: usize, last: String },
    /// The first simulator did not start in so many attempts.
    NoStart { attempts: u16, last: String, last_words: String },
    /// No worker is left: none could be opened again.
    NoWorkers { last: String },
    /// The policy failed.
    PolicyFailed { message: String },
    /// The policy's thread ended without a message.
    PolicyGone,
}

/// A remark of the policy with the question it belongs to.
#[derive(Debug, Clone)]
pub struct PolicyRemark {
    /// The episode that asked.
    pub key: EpisodeKey,
    /// How many times it had asked before.
    pub call: u32,
    /// The remark.
    pub remark: Remark,
}

impl fmt::Display for PolicyRemark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, call, remark } = self;
        write!(f, "{key} call {call}: {}: {}", remark.kind, remark.text)
    }
}

impl fmt::Display for GaveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failures { count, last } => {
                write!(
                    f,
                    "gave up after {count} failures in a row at different episodes; the last: {last}"
                )
            }
            Self::NoStart { attempts, last, last_words } => {
                write!(f, "the simulator did not start ({attempts} attempts): {last}; {last_words}")
            }
            Self::NoWorkers { last } => {
                write!(f, "gave up: no simulator is left, none starts any more; the last: {last}")
            }
            Self::PolicyFailed { message } => write!(f, "the policy failed: {message}"),
            Self::PolicyGone => f.write_str("the policy's thread ended without a message"),
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retrying { key, error } => write!(f, "{key}: {error}; it will be tried again"),
            Self::NotRunnable { key, error } => write!(f, "{key}: {error}; recorded as an error"),
            Self::NotOpened { worker, error, again } => {
                let next = if *again { "it is started again" } else { "it is not used any more" };
                write!(f, "worker {worker}: {error}; {next}")
            }
            Self::Draining { running } => {
                let running = plural(*running as u32, "running episode");
                write!(f, "stopping after {running}; Ctrl-C again to stop now")
            }
            Self::EarlyStop { stop, running } => {
                let running = plural(*running as u32, "running episode");
                write!(f, "{}: stopping after {running}", stop.reason())
            }
            Self::Remark(remark) => write!(f, "policy: {remark} (more in logs/policy.log)"),
        }
    }
}

impl Notice {
    /// The text in the color of its meaning, for stderr.
    pub(super) fn painted(&self) -> String {
        let text = printable(&self.to_string());
        match self {
            Self::NotRunnable { .. } => color::bad(&text),
            Self::Retrying { .. } | Self::NotOpened { .. } | Self::Draining { .. } => {
                color::warning(&text)
            }
            Self::EarlyStop { .. } | Self::Remark(_) => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_name_the_episode_and_what_happens_next() {
        let key = EpisodeKey { suite: "long".into(), task: 3, trial: 7 };
        let error = "the simulator did not answer within 120 s".to_owned();
        let retrying = Notice::Retrying { key: key.clone(), error: error.clone() }.to_string();
        assert_eq!(retrying, format!("long-task03-trial007: {error}; it will be tried again"));
        let recorded = Notice::NotRunnable { key, error }.to_string();
        assert!(recorded.ends_with("; recorded as an error"), "{recorded}");
        let last = "it died".to_owned();
        let gave_up = GaveUp::Failures { count: 6, last }.to_string();
        assert_eq!(
            gave_up,
            "gave up after 6 failures in a row at different episodes; the last: it died"
        );
    }
}
