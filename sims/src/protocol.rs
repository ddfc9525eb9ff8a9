//! What a published number means on the simulator's side, as data.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

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
    /// Control steps per stage, at most.
    pub max_steps: u32,
    /// What else belongs to the suite: upstream name, hashes of its files.
    #[serde(default)]
    pub details: BTreeMap<String, Value>,
}

/// The environment's side of an evaluation: everything that may change an outcome and is not
/// the policy's. The number of trials that are run is not part of its fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protocol {
    /// Its name, for example `libero`.
    pub name: String,
    /// Rises with every change that can move a number.
    pub version: u16,
    /// The benchmark: the adapter's module name.
    pub benchmark: String,
    /// Its suites, in the order of the tables.
    pub suites: Vec<Suite>,
    /// Control, cameras, settling, success rule, reset mode, seeds, as the adapter reads them.
    pub environment: BTreeMap<String, Value>,
}

impl Protocol {
    /// LIBERO's four suites as UD-VLA's evaluation plays them.
    pub fn libero() -> Self {
        serde_json::from_str(include_str!("../protocols/libero.json"))
            .expect("the protocol files of this crate are tested")
    }

    /// CALVIN's chains of five sub-tasks in environment D, with CALVIN's own list.
    pub fn calvin() -> Self {
        serde_json::from_str(include_str!("../protocols/calvin-abcd-d.json"))
            .expect("the protocol files of this crate are tested")
    }

    /// SimplerEnv's four WidowX tasks as its visual-matching evaluation plays them.
    pub fn simpler() -> Self {
        serde_json::from_str(include_str!("../protocols/simpler-widowx.json"))
            .expect("the protocol files of this crate are tested")
    }

    /// `sha256:` and the SHA-256 of the protocol's canonical JSON (sorted keys, no spaces).
    pub fn fingerprint(&self) -> String {
        let value = serde_json::to_value(self).expect("a protocol holds only JSON values");
        format!("sha256:{}", hex(&Sha256::digest(value.to_string().as_bytes())))
    }

    /// The suite of that name.
    pub fn suite(&self, name: &str) -> Option<&Suite> {
        self.suites.iter().find(|suite| suite.name == name)
    }
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
            environment: BTreeMap::from([("hz".into(), Value::from(20))]),
        }
    }

    #[test]
    fn a_fingerprint_changes_with_any_field() {
        let other = Protocol { environment: BTreeMap::new(), ..protocol() };
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
        assert_eq!(suite.details["subtasks"].as_array().map(Vec::len), Some(34));
        let text = serde_json::to_string(&protocol).unwrap();
        let back: Protocol = serde_json::from_str(&text).unwrap();
        assert_eq!(back.fingerprint(), protocol.fingerprint());
    }

    #[test]
    fn simpler_has_four_tasks_of_24_episodes() {
        let protocol = Protocol::simpler();
        let [suite] = protocol.suites.as_slice() else { panic!("one suite") };
        assert_eq!((suite.name.as_str(), suite.trials, suite.stages), ("widowx", 24, 1));
        let tasks = suite.details["tasks"].as_array().unwrap();
        let names: Vec<_> = tasks.iter().map(|task| task["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["spoon", "carrot", "stack", "eggplant"]);
        let steps: Vec<_> = tasks.iter().map(|task| task["max_steps"].as_u64().unwrap()).collect();
        assert_eq!((steps.as_slice(), suite.max_steps), ([60, 60, 60, 120].as_slice(), 120));
        let text = serde_json::to_string(&protocol).unwrap();
        let back: Protocol = serde_json::from_str(&text).unwrap();
        assert_eq!(back.fingerprint(), protocol.fingerprint());
    }

    #[test]
    fn a_fingerprint_survives_a_round_trip_through_json() {
        let text = serde_json::to_string(&protocol()).unwrap();
        let back: Protocol = serde_json::from_str(&text).unwrap();
        assert_eq!(back.fingerprint(), protocol().fingerprint());
    }
}
