//! The part of a suite that only one benchmark has.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Fields of a suite that only one benchmark has: an upstream name, file hashes, CALVIN's
/// sub-tasks and list of sequences, SimplerEnv's scenes.
///
/// Kept as the JSON that the adapter reads, so that the fingerprint covers every part of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Details(BTreeMap<String, Value>);

/// A list stored in a protocol, by reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListReference {
    /// Name of the list, for example `canonical`.
    pub name: String,
    /// SHA-256 (hex) of its content.
    pub sha256: String,
}

/// A task that has a name and a step limit of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedTask {
    /// Name on the command line, for example `spoon`.
    pub name: String,
    /// Maximum number of control steps per episode.
    pub max_steps: u32,
}

impl Details {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names of CALVIN's sub-tasks, in the protocol's order; empty for other benchmarks.
    pub fn subtasks(&self) -> Vec<String> {
        let entries = self.0.get("subtasks").and_then(Value::as_array).into_iter().flatten();
        entries.filter_map(|entry| Some(entry["name"].as_str()?.to_owned())).collect()
    }

    /// Names and instructions of CALVIN's sub-tasks.
    pub fn instructions(&self) -> Vec<(String, String)> {
        let entries = self.0.get("subtasks").and_then(Value::as_array).into_iter().flatten();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        entries
            .filter_map(|entry| Some((text(&entry["name"])?, text(&entry["instruction"])?)))
            .collect()
    }

    /// The simulator's files, by path in its repository, with their Git object names; empty where
    /// the protocol names none.
    pub fn files(&self) -> BTreeMap<String, String> {
        let entries = self.0.get("files").and_then(Value::as_object).into_iter().flatten();
        entries.filter_map(|(path, name)| Some((path.clone(), name.as_str()?.to_owned()))).collect()
    }

    /// The list of sequences, encoded as text (see [`crate::sequences`]).
    pub fn sequences(&self) -> Option<&str> {
        self.0.get("sequences")?["list"].as_str()
    }

    /// The stored list of that name (`sequences` or `annotations`), by reference.
    pub fn list(&self, name: &str) -> Option<ListReference> {
        let list = self.0.get(name)?;
        Some(ListReference {
            name: list["name"].as_str()?.to_owned(),
            sha256: list["sha256"].as_str()?.to_owned(),
        })
    }

    /// Tasks with a name and a step limit of their own, in task order; empty where they have
    /// neither.
    pub fn named_tasks(&self) -> Vec<NamedTask> {
        let entries = self.0.get("tasks").and_then(Value::as_array).into_iter().flatten();
        let task = |entry: &Value| {
            let name = entry["name"].as_str()?.to_owned();
            let max_steps = u32::try_from(entry["max_steps"].as_u64()?).ok()?;
            Some(NamedTask { name, max_steps })
        };
        entries.filter_map(task).collect()
    }

    /// Names of the stages that a failed trial on a real robot may have reached, in order; empty
    /// where none are named.
    pub fn partial(&self) -> Vec<String> {
        let names = self.0.get("partial").and_then(Value::as_array).into_iter().flatten();
        names.filter_map(|name| Some(name.as_str()?.to_owned())).collect()
    }

    /// Sets a value.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// Gives every task of [`Details::named_tasks`] this step limit.
    pub fn limit_steps(&mut self, max_steps: u32) {
        for task in self.entries_mut("tasks") {
            task["max_steps"] = max_steps.into();
        }
    }

    /// Mutable entries of a list.
    pub(crate) fn entries_mut(&mut self, name: &str) -> impl Iterator<Item = &mut Value> {
        self.0.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten()
    }
}
