//! What a run left, and how it differs from an undisturbed run of the same episodes.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

/// Fields of a record that may differ between two runs of an episode. The last three tie a line to
/// its run and to the line before it.
const VOLATILE: [&str; 7] =
    ["attempts", "seconds", "started", "video", "run", "previous", "sha256"];
/// The table that has the number of retries.
const SUMMARY: &str = "tables/summary.md";
/// Tables without times.
const TABLES: [&str; 3] = [SUMMARY, "tables/summary.csv", "tables/tasks.csv"];

/// Everything of a run directory that must not depend on faults.
#[derive(Debug, Default)]
pub struct Outcomes {
    /// The last record of each episode, by the episode's name.
    pub records: BTreeMap<String, Map<String, Value>>,
    /// Lines that are not an episode's last, with their number.
    earlier: Vec<(usize, String, Map<String, Value>)>,
    /// Files of executed actions and tables.
    files: BTreeMap<String, Vec<u8>>,
}

impl Outcomes {
    /// Reads a run directory.
    pub fn read(directory: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(directory.join("episodes.jsonl"))
            .map_err(|error| format!("episodes.jsonl: {error}"))?;
        let mut outcomes = Self::default();
        for (number, line) in (1..).zip(text.lines()) {
            let record: Map<String, Value> = serde_json::from_str(line)
                .map_err(|error| format!("line {number} is not a record: {error}"))?;
            let name = episode(&record).ok_or(format!("line {number} has no episode"))?;
            if let Some(before) = outcomes.records.insert(name.clone(), record) {
                outcomes.earlier.push((number, name, before));
            }
        }
        let actions = outcomes.records.values().filter_map(|record| record.get("actions"));
        let actions: Vec<String> = actions.filter_map(Value::as_str).map(String::from).collect();
        for name in actions.iter().map(String::as_str).chain(TABLES) {
            let bytes = std::fs::read(directory.join(name)).map_err(|e| format!("{name}: {e}"))?;
            let bytes = if name == SUMMARY { without_retries(&bytes) } else { bytes };
            outcomes.files.insert(name.into(), bytes);
        }
        Ok(outcomes)
    }

    /// Fails with the first difference from an undisturbed run. `unrunnable` episodes must have
    /// the record of an error.
    pub fn check(&self, calm: &Self, unrunnable: &[String]) -> Result<(), String> {
        let [here, there] = [self, calm].map(|run| run.records.keys().collect::<Vec<_>>());
        if here != there {
            return Err(format!("episodes {here:?} instead of {there:?}"));
        }
        if let Some((number, name, _)) = self.earlier.iter().find(|(_, _, r)| !is_error(r)) {
            return Err(format!("{name} was played to its end twice (again in line {number})"));
        }
        for (name, record) in &self.records {
            if is_error(record) != unrunnable.contains(name) {
                return Err(format!("{name}: {}", Value::from(record.clone())));
            }
            if !is_error(record) {
                same(name, record, &calm.records[name])?;
            }
        }
        self.check_files(calm, unrunnable.is_empty())
    }

    fn check_files(&self, calm: &Self, with_tables: bool) -> Result<(), String> {
        for (name, bytes) in &self.files {
            let compared = with_tables || !TABLES.contains(&name.as_str());
            if compared && calm.files.get(name) != Some(bytes) {
                let show = |bytes: &[u8]| match name.starts_with("tables") {
                    true => String::from_utf8_lossy(bytes).into_owned(),
                    false => format!("{} bytes", bytes.len()),
                };
                let other = calm.files.get(name).map_or("nothing".into(), |bytes| show(bytes));
                return Err(format!("{name} differs: {}\ninstead of {other}", show(bytes)));
            }
        }
        Ok(())
    }

    /// Attempts at an episode.
    pub fn attempts(&self, name: &str) -> Option<u64> {
        self.records.get(name)?.get("attempts")?.as_u64()
    }
}

/// The summary without its number of retried episodes, which depends on faults.
fn without_retries(bytes: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes);
    let line = |line: &str| match line.rsplit_once(", ") {
        Some((before, after)) if after.ends_with(" retried") => before.to_owned(),
        _ => line.to_owned(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n").into_bytes()
}

fn is_error(record: &Map<String, Value>) -> bool {
    record.get("status").and_then(Value::as_str) != Some("ok")
}

fn episode(record: &Map<String, Value>) -> Option<String> {
    let number = |field: &str| record.get(field)?.as_u64();
    let suite = record.get("suite")?.as_str()?;
    Some(format!("{suite}-task{:02}-trial{:03}", number("task")?, number("trial")?))
}

/// Compares two records byte for byte, times and attempts aside.
fn same(name: &str, one: &Map<String, Value>, other: &Map<String, Value>) -> Result<(), String> {
    let kept = |record: &Map<String, Value>| {
        let mut record = record.clone();
        record.retain(|field, _| !VOLATILE.contains(&field.as_str()));
        Value::from(record).to_string()
    };
    let (one, other) = (kept(one), kept(other));
    if one == other { Ok(()) } else { Err(format!("{name} differs: {one}\ninstead of {other}")) }
}
