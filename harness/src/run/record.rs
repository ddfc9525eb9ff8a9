//! Makes the records of a run's episodes.

use anyhow::Result;
use udvla_results::run::record::{EpisodeRecord, Seconds, Status};
use udvla_sims::episode::{EpisodeKey, Notes};
use udvla_sims::protocol::Protocol;

use super::clock;
use super::failure::Failure;

/// What all attempts at an episode have in common.
#[derive(Debug, Clone, Copy)]
pub struct EpisodeIdentity<'a> {
    /// The episode.
    pub key: &'a EpisodeKey,
    /// Its stages in the protocol.
    pub stages: u16,
    /// The run's seed for sampling noise.
    pub seed: u64,
}

/// How an episode ended in the simulator.
#[derive(Debug)]
pub struct EpisodeEnd {
    pub stages_completed: u16,
    pub steps: u32,
    pub calls: u32,
    pub truncated: bool,
    pub seconds: Seconds,
    pub started: String,
    pub first_observation_sha256: Option<String>,
    pub final_state_sha256: String,
    pub notes: Notes,
    pub video: Option<String>,
}

impl<'a> EpisodeIdentity<'a> {
    /// The identity of an episode of `protocol`.
    ///
    /// # Errors
    /// When the protocol has no such suite.
    pub fn new(protocol: &Protocol, key: &'a EpisodeKey, seed: u64) -> Result<Self> {
        Ok(Self { key, stages: protocol.stages(key)?, seed })
    }

    /// The record of an episode that ran to its end at the first attempt.
    pub fn played(&self, end: EpisodeEnd) -> EpisodeRecord {
        EpisodeRecord {
            status: Status::Ok,
            stages_completed: end.stages_completed,
            steps: end.steps,
            calls: end.calls,
            truncated: end.truncated,
            seconds: end.seconds,
            first_observation_sha256: end.first_observation_sha256,
            final_state_sha256: Some(end.final_state_sha256),
            notes: end.notes,
            video: end.video,
            ..self.blank(end.started)
        }
    }

    /// The record of an episode that could not be run in `attempts` attempts.
    pub fn error(&self, error: &Failure, attempts: u16) -> EpisodeRecord {
        EpisodeRecord {
            error_kind: Some(error.kind().into()),
            error_message: Some(error.to_string()),
            attempts,
            ..self.blank(clock::now())
        }
    }

    /// The record of an episode of which nothing is known yet: an error without a cause.
    pub fn blank(&self, started: String) -> EpisodeRecord {
        EpisodeRecord {
            suite: self.key.suite.clone(),
            task: self.key.task,
            trial: self.key.trial,
            status: Status::Error,
            error_kind: None,
            error_message: None,
            stages: self.stages,
            stages_completed: 0,
            steps: 0,
            calls: 0,
            attempts: 1,
            seed: self.seed,
            truncated: false,
            seconds: Seconds::default(),
            started,
            first_observation_sha256: None,
            final_state_sha256: None,
            notes: Notes::new(),
            actions: None,
            actions_sha256: None,
            video: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use udvla_sims::process::SimError;

    use super::*;

    #[test]
    fn stages_come_from_the_protocol_and_an_unknown_suite_is_an_error() {
        let protocol = Protocol::calvin();
        let suite = protocol.suites[0].name.clone();
        let key = EpisodeKey { suite, task: 0, trial: 3 };
        let identity = EpisodeIdentity::new(&protocol, &key, 5).unwrap();
        let record = identity.error(&SimError::Wire("nonsense".into()).into(), 2);
        assert_eq!((record.stages, record.attempts, record.seed), (5, 2, 5));
        assert_eq!(record.error_kind.as_deref(), Some("wire"));
        assert_eq!(record.success(), None);
        let unknown = EpisodeKey { suite: "kitchen".into(), ..key };
        let error = EpisodeIdentity::new(&protocol, &unknown, 5).unwrap_err();
        assert!(error.to_string().contains("no suite `kitchen`"), "{error}");
    }
}
