//! What the page shows of an episode besides its record, as data for its script.
//!
//! One file for a group of trials: a browser that opens a page from disk can load a script beside it,
//! but not read another file.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use udvla_sims::episode::EpisodeKey;
use udvla_sims::protocol::Suite;
use udvla_sims::sequences;

use crate::run::evidence::{self, EvidenceError, StoredActions, StoredRemark};
use crate::run::files::read_inside;
use crate::run::read::Run;
use crate::run::record::EpisodeRecord;
use crate::run::timeline::Timeline;
use crate::tables::subtasks::StageOutcome;

/// Folder of the files, in the run directory.
pub(super) const FOLDER: &str = "timelines";
/// Trials in a file.
const GROUP: u16 = 20;
/// Name of a number of an action, its unit and its meaning, by benchmark.
const COMPONENTS: &str = include_str!("../../../actions.json");

/// Whether images and videos are part of the data, or files beside the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Media {
    /// Their paths, relative to the page.
    Beside,
    /// Their bytes.
    Inline,
}

/// What is shown of an episode.
#[derive(Debug, Serialize)]
struct Details {
    /// Numbers per control step.
    width: usize,
    /// The actions, f32 in little-endian bytes, as base64.
    actions: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeline: Option<Timeline>,
    /// Why there are no actions.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    /// Images of the predicted future by call.
    futures: BTreeMap<u32, String>,
    remarks: Vec<StoredRemark>,
    chain: Vec<SubTask>,
    /// The video's bytes as a URL; absent where the page links to the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    video: Option<String>,
}

/// A sub-task of a chain.
#[derive(Debug, Clone, Serialize)]
struct SubTask {
    name: String,
    sentence: String,
    outcome: &'static str,
}

/// The file with the details of an episode, relative to the run directory.
pub(super) fn file_of(key: &EpisodeKey) -> String {
    let first = key.trial / GROUP * GROUP;
    format!("{FOLDER}/{}.js", EpisodeKey { trial: first, ..key.clone() })
}

/// Names, units and meanings of the benchmark's actions as JSON; an empty list for an unknown one.
pub(super) fn components(benchmark: &str) -> String {
    let all: serde_json::Value = serde_json::from_str(COMPONENTS).expect("the file is tested");
    all.get(benchmark).map_or("[]".into(), ToString::to_string)
}

/// What a run directory holds about its episodes.
pub struct Timelines<'a> {
    dir: &'a Path,
    run: &'a Run,
    remarks: BTreeMap<String, Vec<StoredRemark>>,
    /// The chains of sub-tasks by suite.
    chains: BTreeMap<&'a str, Vec<Vec<SubTask>>>,
}

impl<'a> Timelines<'a> {
    /// Of the run that was read from `dir`.
    pub fn new(dir: &'a Path, run: &'a Run) -> Self {
        let suites = run.manifest.protocol.suites.iter();
        let chains = suites.map(|suite| (suite.name.as_str(), chains(suite))).collect();
        Self { dir, run, remarks: evidence::remarks(dir), chains }
    }

    /// Names, relative to the run directory, and contents of all files.
    pub fn files(&self) -> impl Iterator<Item = (String, String)> {
        let mut files: BTreeMap<String, Vec<&EpisodeRecord>> = BTreeMap::new();
        for record in self.records() {
            files.entry(file_of(&record.key())).or_default().push(record);
        }
        files.into_iter().map(|(name, records)| (name, self.script(&records)))
    }

    /// The file of that name; `None` if there is no such file.
    pub fn file(&self, name: &str) -> Option<String> {
        let records: Vec<_> =
            self.records().filter(|record| file_of(&record.key()) == name).collect();
        (!records.is_empty()).then(|| self.script(&records))
    }

    /// The details of all episodes with the bytes of images and videos, as JSON for a script
    /// element.
    pub(super) fn inline(&self) -> String {
        self.json(&self.records().collect::<Vec<_>>(), Media::Inline)
    }

    fn records(&self) -> impl Iterator<Item = &'a EpisodeRecord> {
        self.run.records.values().filter(|record| record.actions.is_some())
    }

    fn script(&self, records: &[&EpisodeRecord]) -> String {
        format!("udvlaTimelines({});\n", self.json(records, Media::Beside))
    }

    /// JSON of the details by episode. It contains no `<`, so that it may stand in a script element.
    fn json(&self, records: &[&EpisodeRecord], media: Media) -> String {
        let details = |record: &&EpisodeRecord| (record.key(), self.details(record, media));
        let by_key: BTreeMap<String, Details> =
            records.iter().map(details).map(|(key, details)| (key.to_string(), details)).collect();
        let json = serde_json::to_string(&by_key).expect("all keys are text");
        json.replace('<', "\\u003c")
    }

    fn details(&self, record: &EpisodeRecord, media: Media) -> Details {
        let key = record.key();
        let (actions, problem) = match evidence::actions(self.dir, &key) {
            Ok(actions) => (actions, None),
            Err(error) => (StoredActions::default(), Some(text(&error))),
        };
        let mut futures = evidence::futures(self.dir, &key);
        let mut video = None;
        if media == Media::Inline {
            for file in futures.values_mut() {
                *file = self.data_url(file, "image/png").unwrap_or_default();
            }
            video = record.video.as_deref().and_then(|file| self.data_url(file, "video/mp4"));
        }
        // Those of an earlier attempt at the episode are older than the attempt that counts.
        let own = |remark: &&StoredRemark| remark.time >= record.started;
        let remarks = self.remarks.get(&key.to_string()).into_iter().flatten();
        Details {
            width: actions.width,
            actions: STANDARD.encode(&actions.bytes),
            timeline: actions.timeline,
            problem,
            futures,
            remarks: remarks.filter(own).cloned().collect(),
            chain: self.chain(record),
            video,
        }
    }

    /// The sub-tasks of a chain with their outcomes; empty where the protocol has no list.
    fn chain(&self, record: &EpisodeRecord) -> Vec<SubTask> {
        let chains = self.chains.get(record.suite.as_str());
        let chain = chains.and_then(|chains| chains.get(usize::from(record.trial)));
        let outcome = |stage| match StageOutcome::of(record, stage) {
            StageOutcome::Solved => "solved",
            StageOutcome::Failed => "failed",
            StageOutcome::NotReached => "not reached",
            StageOutcome::Error => "error",
        };
        let sub_tasks = (0..).zip(chain.into_iter().flatten());
        sub_tasks.map(|(stage, task)| SubTask { outcome: outcome(stage), ..task.clone() }).collect()
    }

    /// The bytes of a file of the run directory as a URL; `None` if it cannot be read.
    fn data_url(&self, file: &str, kind: &str) -> Option<String> {
        let bytes = read_inside(self.dir, Path::new(file)).ok()?;
        Some(format!("data:{kind};base64,{}", STANDARD.encode(bytes)))
    }
}

/// The chains of a suite, in the order of its list; empty if it has no list.
fn chains(suite: &Suite) -> Vec<Vec<SubTask>> {
    let sentences: BTreeMap<String, String> = suite.details.instructions().into_iter().collect();
    let sub_task = |name: String| SubTask {
        sentence: sentences.get(&name).cloned().unwrap_or_default(),
        name,
        outcome: "",
    };
    let chains = sequences::chains(suite).into_iter();
    chains.map(|chain| chain.into_iter().map(sub_task).collect()).collect()
}

/// An error with its cause in one line.
fn text(error: &EvidenceError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_benchmark_names_seven_numbers_of_an_action_with_their_units() {
        for benchmark in ["libero", "calvin", "simpler"] {
            let list: Vec<BTreeMap<String, String>> =
                serde_json::from_str(&components(benchmark)).unwrap();
            let names: Vec<&str> = list.iter().map(|entry| entry["name"].as_str()).collect();
            assert_eq!(names, ["x", "y", "z", "rx", "ry", "rz", "gripper"], "{benchmark}");
            assert!(list.iter().all(|entry| !entry["unit"].is_empty()), "{benchmark}");
        }
        assert_eq!(components("toy"), "[]");
    }

    #[test]
    fn trials_share_files_in_groups() {
        let key = |trial| EpisodeKey { suite: "long".into(), task: 3, trial };
        assert_eq!(file_of(&key(0)), "timelines/long-task03-trial000.js");
        assert_eq!(file_of(&key(19)), file_of(&key(0)));
        assert_eq!(file_of(&key(20)), "timelines/long-task03-trial020.js");
    }
}
