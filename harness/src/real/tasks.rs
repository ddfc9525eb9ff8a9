//! The tasks of a real robot: the paper's, or those of a user's file.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use serde::Deserialize;
use serde_json::Value;
use udvla_sims::protocol::{Details, Environment, Protocol, Suite};

use crate::exit::Refused;

/// Longest name of a suite, which is part of file names.
const LONGEST_NAME: usize = 32;

/// A user's file of tasks.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TaskFile {
    suites: Vec<SuiteEntry>,
    /// What may be said of robot, cameras and control, for the protocol.
    #[serde(default)]
    environment: BTreeMap<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SuiteEntry {
    name: String,
    /// One instruction per task.
    tasks: Vec<String>,
    /// Trials per task.
    trials: u16,
    /// Control steps of a trial, at most, where the robot is driven.
    #[serde(default = "default_max_steps")]
    max_steps: u32,
    /// Names of the stages before success, in order.
    #[serde(default)]
    partial: Vec<String>,
}

fn default_max_steps() -> u32 {
    600
}

/// The bundled protocol, or that of a file; the latter is named `real-own`.
///
/// # Errors
/// [`Refused`] when the file cannot be read, or has no usable tasks.
pub fn protocol(file: Option<&Path>) -> Result<Protocol> {
    let Some(path) = file else { return Ok(Protocol::real()) };
    let refused = |text: String| {
        Refused::new(format!("`{}` is not a file of tasks", path.display()))
            .because(text)
            .hint("docs/real-robot.md shows one")
    };
    let text = std::fs::read_to_string(path).map_err(|error| {
        Refused::new(format!("cannot read the tasks in `{}`", path.display())).because(error)
    })?;
    let file: TaskFile = serde_json::from_str(&text).map_err(|error| refused(error.to_string()))?;
    check(&file).map_err(refused)?;
    let mut environment = Environment::default();
    let bundled = Protocol::real();
    let rules = bundled.environment.iter().filter(|(name, _)| *name != "control");
    rules.for_each(|(name, value)| environment.set(name, value.clone()));
    file.environment.into_iter().for_each(|(name, value)| environment.set(&name, value));
    Ok(Protocol {
        name: "real-own".into(),
        version: bundled.version,
        benchmark: bundled.benchmark,
        suites: file.suites.into_iter().map(suite).collect(),
        environment,
    })
}

fn suite(entry: SuiteEntry) -> Suite {
    let SuiteEntry { name, tasks, trials, max_steps, partial } = entry;
    let mut details = Details::default();
    if !partial.is_empty() {
        details.set("partial", partial);
    }
    Suite { name, tasks, trials, stages: 1, max_steps, details }
}

fn check(file: &TaskFile) -> Result<(), String> {
    let mut names = Vec::new();
    for suite in &file.suites {
        let SuiteEntry { name, tasks, trials, max_steps, partial } = suite;
        let is_plain =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(is_plain) {
            return Err(format!(
                "the suite's name `{name}` is not 1 to {LONGEST_NAME} of a-z, 0-9 and -"
            ));
        }
        if names.contains(&name) {
            return Err(format!("two suites are called `{name}`"));
        }
        names.push(name);
        let texts = tasks.iter().chain(partial);
        if tasks.is_empty() || texts.into_iter().any(|text| text.trim().is_empty()) {
            return Err(format!("suite `{name}` has no tasks, or an empty text"));
        }
        if *trials == 0 || *max_steps == 0 {
            return Err(format!("suite `{name}` has 0 trials or 0 steps"));
        }
    }
    if names.is_empty() { Err("it has no suites".into()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Protocol> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tasks.json");
        std::fs::write(&path, text).unwrap();
        protocol(Some(&path))
    }

    #[test]
    fn a_file_of_tasks_is_a_protocol_of_its_own() {
        let text =
            r#"{"suites": [{"name": "drawer", "tasks": ["open it", "close it"], "trials": 5}]}"#;
        let own = read(text).unwrap();
        assert_eq!((own.name.as_str(), own.benchmark.as_str()), ("real-own", "real"));
        assert_eq!(own.suite("drawer").unwrap().tasks, ["open it", "close it"]);
        assert_ne!(own.fingerprint(), read(&text.replace("5}", "6}")).unwrap().fingerprint());
    }

    #[test]
    fn an_unusable_file_is_refused_with_the_reason() {
        let suite = |fields: &str| format!(r#"{{"suites": [{{{fields}}}]}}"#);
        for (text, expected) in [
            (suite(r#""name": "a", "tasks": [], "trials": 3"#), "no tasks"),
            (suite(r#""name": "a", "tasks": [" "], "trials": 3"#), "empty text"),
            (suite(r#""name": "../a", "tasks": ["x"], "trials": 3"#), "`../a` is not"),
            (suite(r#""name": "a", "tasks": ["x"], "trials": 0"#), "0 trials"),
            (suite(r#""name": "a", "tasks": ["x"], "trials": 3, "steps": 1"#), "`steps`"),
            (r#"{"suites": []}"#.into(), "no suites"),
            ("[".into(), "EOF"),
        ] {
            let error = read(&text).unwrap_err();
            let chain = format!("{error:#}");
            assert!(chain.contains(expected), "no `{expected}` in {chain}");
        }
    }
}
