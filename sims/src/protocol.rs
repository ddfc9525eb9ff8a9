//! Evaluation protocols: the simulator's side of a published number, as data.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

pub use crate::details::{Details, ListReference, NamedTask};
use crate::episode::EpisodeKey;

/// One suite of a protocol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suite {
    /// The suite's name in records and on the command line.
    pub name: String,
    /// The instruction of each task, in task order.
    pub tasks: Vec<String>,
    /// Episodes per task.
    pub trials: u16,
    /// Stages per episode.
    pub stages: u16,
    /// Maximum number of control steps per stage.
    pub max_steps: u32,
    /// Fields of one benchmark only.
    #[serde(default)]
    pub details: Details,
}

/// The part of a protocol that all its suites share: control, cameras, settling, success rule,
/// reset mode, seeds.
///
/// Kept as the JSON that the adapter reads, so that the fingerprint covers every part of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Environment(BTreeMap<String, Value>);

/// When the goal of an episode must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SuccessRule {
    /// After the last control step.
    LastStep,
    /// After any control step.
    AnyStep,
}

impl SuccessRule {
    /// Its name in protocols and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::LastStep => "last-step",
            Self::AnyStep => "any-step",
        }
    }
}

impl Environment {
    /// What is reset between episodes, if the protocol has a choice.
    pub fn reset_mode(&self) -> Option<&str> {
        self.0.get("reset_mode")?.as_str()
    }

    /// When the goal must hold, if the protocol has a choice.
    pub fn success(&self) -> Option<SuccessRule> {
        let name = self.0.get("success")?.as_str()?;
        [SuccessRule::LastStep, SuccessRule::AnyStep].into_iter().find(|rule| rule.name() == name)
    }

    /// The action that leaves the robot where it is: a number per action dimension.
    ///
    /// # Errors
    /// When the protocol has none.
    pub fn idle_action(&self) -> Result<Vec<f32>, serde_json::Error> {
        let value = ["idle_action", "settle_action"].iter().find_map(|name| self.0.get(*name));
        serde_json::from_value(value.cloned().unwrap_or_default())
    }

    /// Indexes of action dimensions that are -1 or 1; empty by default.
    ///
    /// # Errors
    /// When they are not a list of indexes.
    pub fn action_signs(&self) -> Result<Vec<usize>, serde_json::Error> {
        self.0.get("action_signs").cloned().map_or(Ok(vec![]), serde_json::from_value)
    }

    /// Every value by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Sets a value.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }
}

/// The simulator's side of an evaluation: everything that may change an outcome, apart from the
/// policy. The number of trials of a run is not part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protocol {
    /// For example `libero`.
    pub name: String,
    /// Increased with every change that can change an outcome.
    pub version: u16,
    /// The benchmark: the adapter's module name.
    pub benchmark: String,
    /// Its suites, in the order of the tables.
    pub suites: Vec<Suite>,
    /// Control, cameras, settling, success rule, reset mode, seeds, as the adapter reads them.
    pub environment: Environment,
}

impl Protocol {
    /// LIBERO's four suites as in UD-VLA's evaluation.
    pub fn libero() -> Self {
        serde_json::from_str(include_str!("../protocols/libero.json"))
            .expect("the protocol files of this crate are tested")
    }

    /// CALVIN's chains of five sub-tasks in environment D, with CALVIN's own list.
    pub fn calvin() -> Self {
        serde_json::from_str(include_str!("../protocols/calvin-abcd-d.json"))
            .expect("the protocol files of this crate are tested")
    }

    /// SimplerEnv's four WidowX tasks as in its visual-matching evaluation.
    pub fn simpler() -> Self {
        serde_json::from_str(include_str!("../protocols/simpler-widowx.json"))
            .expect("the protocol files of this crate are tested")
    }

    /// The paper's three tasks on a real robot, seen and unseen.
    pub fn real() -> Self {
        serde_json::from_str(include_str!("../protocols/real.json"))
            .expect("the protocol files of this crate are tested")
    }

    /// `sha256:` and the SHA-256 of the protocol's canonical JSON (sorted keys, no spaces).
    pub fn fingerprint(&self) -> String {
        let value = serde_json::to_value(self).expect("a protocol holds only JSON values");
        format!("sha256:{}", hex(&Sha256::digest(value.to_string().as_bytes())))
    }

    /// Whether its success rule or step limits were changed by the user.
    pub fn has_own_rules(&self) -> bool {
        self.name.ends_with("-own")
    }

    /// Appends a suffix to the name, which marks it as different from the bundled protocol.
    pub fn rename(&mut self, suffix: &str) {
        self.name += suffix;
    }

    /// The suite of that name.
    pub fn suite(&self, name: &str) -> Option<&Suite> {
        self.suites.iter().find(|suite| suite.name == name)
    }

    /// Number of stages of an episode.
    ///
    /// # Errors
    /// [`UnknownSuite`] when the protocol does not have the episode's suite.
    pub fn stages(&self, key: &EpisodeKey) -> Result<u16, UnknownSuite> {
        self.known_suite(key).map(|suite| suite.stages)
    }

    /// Maximum number of control steps of each stage of an episode.
    ///
    /// # Errors
    /// [`UnknownSuite`] when the protocol does not have the episode's suite.
    pub fn max_steps(&self, key: &EpisodeKey) -> Result<u32, UnknownSuite> {
        let suite = self.known_suite(key)?;
        let task = suite.details.named_tasks().into_iter().nth(usize::from(key.task));
        Ok(task.map_or(suite.max_steps, |task| task.max_steps))
    }

    fn known_suite(&self, key: &EpisodeKey) -> Result<&Suite, UnknownSuite> {
        self.suite(&key.suite)
            .ok_or_else(|| UnknownSuite { protocol: self.name.clone(), suite: key.suite.clone() })
    }
}

/// An episode's suite is not part of the protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("protocol `{protocol}` has no suite `{suite}`")]
#[expect(missing_docs, reason = "the message names the fields")]
pub struct UnknownSuite {
    pub protocol: String,
    pub suite: String,
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protocol() -> Protocol {
        Protocol {
            name: "toy".into(),
            version: 1,
            benchmark: "toy".into(),
            suites: vec![],
            environment: Environment(BTreeMap::from([("hz".into(), Value::from(20))])),
        }
    }

    #[test]
    fn the_fingerprints_of_the_bundled_protocols_do_not_move() {
        let protocols =
            [Protocol::libero(), Protocol::calvin(), Protocol::simpler(), Protocol::real()];
        let fingerprints = protocols.map(|protocol| protocol.fingerprint());
        assert_eq!(
            fingerprints,
            [
                "sha256:d65eaef07b292febf5db441f616a2ad1af88543ad591e9228b56556fc1585c63",
                "sha256:1afc8513370df48a9023aefc4db32082aad7db39ba9364b3e8655bbbc228f7ae",
                "sha256:b20f60f4aa79bccc2034334a9ac13c3274f8084f247ba12ee9a985041c67b219",
                "sha256:a3b2ecc638b96e394be2ebe601af23f917fa21257ede83a71eb8aa2ec33f2bad",
            ]
        );
    }

    #[test]
    fn a_fingerprint_changes_with_any_field() {
        let other = Protocol { environment: Environment::default(), ..protocol() };
        assert_ne!(protocol().fingerprint(), other.fingerprint());
        assert_eq!(protocol().fingerprint(), protocol().fingerprint());
    }

    #[test]
    fn libero_has_four_suites_of_ten_tasks() {
        let protocol = Protocol::libero();
        let names: Vec<&str> = protocol.suites.iter().map(|suite| suite.name.as_str()).collect();
        assert_eq!(names, ["spatial", "object", "goal", "long"]);
        assert!(protocol.suites.iter().all(|suite| suite.tasks.len() == 10));
        let steps: Vec<u32> = protocol.suites.iter().map(|suite| suite.max_steps).collect();
        assert_eq!(steps, [220, 280, 300, 520]);
    }

    #[test]
    fn calvin_has_chains_of_five_and_34_sub_tasks() {
        let protocol = Protocol::calvin();
        let [suite] = protocol.suites.as_slice() else { panic!("one suite") };
        assert_eq!((suite.name.as_str(), suite.trials, suite.stages), ("abcd-d", 1000, 5));
        assert_eq!(suite.max_steps, 360);
        assert_eq!(suite.details.subtasks().len(), 34);
        let text = serde_json::to_string(&protocol).unwrap();
        let back: Protocol = serde_json::from_str(&text).unwrap();
        assert_eq!(back.fingerprint(), protocol.fingerprint());
    }

    #[test]
    fn simpler_has_four_tasks_of_24_episodes() {
        let protocol = Protocol::simpler();
        let [suite] = protocol.suites.as_slice() else { panic!("one suite") };
        assert_eq!((suite.name.as_str(), suite.trials, suite.stages), ("widowx", 24, 1));
        let tasks = suite.details.named_tasks();
        let names: Vec<_> = tasks.iter().map(|task| task.name.as_str()).collect();
        assert_eq!(names, ["spoon", "carrot", "stack", "eggplant"]);
        let steps: Vec<_> = tasks.iter().map(|task| task.max_steps).collect();
        assert_eq!((steps.as_slice(), suite.max_steps), ([60, 60, 60, 120].as_slice(), 120));
        let text = serde_json::to_string(&protocol).unwrap();
        let back: Protocol = serde_json::from_str(&text).unwrap();
        assert_eq!(back.fingerprint(), protocol.fingerprint());
    }

    #[test]
    fn the_stages_of_an_episode_are_those_of_its_suite() {
        let key = |suite: &str| EpisodeKey { suite: suite.into(), task: 0, trial: 0 };
        assert_eq!(Protocol::calvin().stages(&key("abcd-d")), Ok(5));
        assert_eq!(Protocol::libero().stages(&key("long")), Ok(1));
        let error = Protocol::libero().stages(&key("abcd-d")).unwrap_err();
        assert_eq!(error.to_string(), "protocol `libero` has no suite `abcd-d`");
    }

    #[test]
    fn the_step_limit_of_an_episode_is_that_of_its_task_or_else_of_its_suite() {
        let key = |suite: &str, task| EpisodeKey { suite: suite.into(), task, trial: 0 };
        assert_eq!(Protocol::simpler().max_steps(&key("widowx", 0)), Ok(60));
        assert_eq!(Protocol::simpler().max_steps(&key("widowx", 3)), Ok(120));
        assert_eq!(Protocol::libero().max_steps(&key("long", 3)), Ok(520));
        assert!(Protocol::libero().max_steps(&key("widowx", 0)).is_err());
    }

    #[test]
    fn a_fingerprint_survives_a_round_trip_through_json() {
        let text = serde_json::to_string(&protocol()).unwrap();
        let back: Protocol = serde_json::from_str(&text).unwrap();
        assert_eq!(back.fingerprint(), protocol().fingerprint());
    }
}
