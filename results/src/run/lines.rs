//! The lines of `episodes.jsonl`: which are records of their run, and what is wrong with the rest.

use std::collections::{BTreeMap, BTreeSet};

use udvla_sims::episode::EpisodeKey;

use super::damage::Fault;
use super::manifest::{Manifest, PlannedTask, RunStatus};
use super::part::{self, Part};
use super::record::EpisodeRecord;
use super::seal::{NO_RECORD, Seal, SealFault};

/// The records in a file, and its faults.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The last record of every episode, of the lines that are the run's.
    pub records: BTreeMap<EpisodeKey, EpisodeRecord>,
    /// The last line, where it has no newline.
    pub torn_line: Option<usize>,
    /// What is wrong.
    pub faults: Vec<Fault>,
}

type Seals = Vec<Result<Seal, SealFault>>;

/// Reads the lines of the run of `manifest`.
pub(super) fn read_lines(bytes: &[u8], manifest: &Manifest) -> Lines {
    let all: Vec<&[u8]> = bytes.split_inclusive(|&byte| byte == b'\n').collect();
    let (whole, torn_line) = match all.split_last() {
        Some((last, before)) if last.last() != Some(&b'\n') => (before, Some(all.len())),
        _ => (all.as_slice(), None),
    };
    let seals: Seals = whole.iter().map(|text| Seal::of(text)).collect();
    let reader = Reader::new(manifest);
    let mut found = Lines { torn_line, ..Lines::default() };
    for (index, (text, seal)) in whole.iter().zip(&seals).enumerate() {
        match reader.record(index + 1, text, seal) {
            Ok(record) => drop(found.records.insert(record.key(), record)),
            Err(fault) => found.faults.push(fault),
        }
    }
    if let Some(id) = &manifest.id {
        found.faults.extend(order_faults(&seals, id));
        found.faults.extend(end_faults(&seals, all.len(), manifest));
    }
    found
}

/// Knows the run that lines must belong to.
struct Reader<'a> {
    id: Option<&'a str>,
    plan: BTreeMap<(&'a str, u16), &'a PlannedTask>,
    parts: &'a [Part],
}

impl<'a> Reader<'a> {
    fn new(manifest: &'a Manifest) -> Self {
        let plan = manifest.plan.iter().map(|task| ((task.suite.as_str(), task.task), task));
        Self { id: manifest.id.as_deref(), plan: plan.collect(), parts: &manifest.parts }
    }

    /// The record in a line, if it is one of the run.
    fn record(
        &self,
        line: usize,
        text: &[u8],
        seal: &Result<Seal, SealFault>,
    ) -> Result<EpisodeRecord, Fault> {
        if let Some(id) = self.id {
            match seal {
                Err(SealFault::Missing) => return Err(Fault::Without { line }),
                Err(SealFault::Broken) => return Err(Fault::Changed { line }),
                Ok(seal) if seal.run != id => {
                    return Err(Fault::Foreign { line, run: seal.run.clone() });
                }
                Ok(_) => {}
            }
        }
        let record: EpisodeRecord = serde_json::from_slice(text)
            .map_err(|error| Fault::NoRecord { line, why: error.to_string() })?;
        let key = record.key();
        let planned = self.plan.get(&(key.suite.as_str(), key.task));
        let is_planned =
            |planned: &&&PlannedTask| key.trial < planned.trials && part::contain(self.parts, &key);
        let Some(planned) = planned.filter(is_planned) else {
            return Err(Fault::Unplanned { line, key });
        };
        let numbers @ [completed, stages, planned] =
            [record.stages_completed, record.stages, planned.stages];
        if stages != planned || completed > stages {
            return Err(Fault::Stages { line, numbers });
        }
        Ok(record)
    }
}

/// Lines that do not follow the line before them. What follows a line that is not the run's is not
/// judged.
fn order_faults(seals: &Seals, id: &str) -> Vec<Fault> {
    let known: BTreeSet<&str> = seals.iter().flatten().map(|seal| seal.sha256.as_str()).collect();
    let mut faults = Vec::new();
    let mut before = Some(NO_RECORD);
    for (index, seal) in seals.iter().enumerate() {
        let line = index + 1;
        let own = seal.as_ref().ok().filter(|seal| seal.run == id);
        if let (Some(before), Some(seal)) = (before, own)
            && seal.previous != before
        {
            let elsewhere = seal.previous == NO_RECORD || known.contains(seal.previous.as_str());
            faults.push(if elsewhere { Fault::Moved { line } } else { Fault::Gap { line } });
        }
        before = own.map(|seal| seal.sha256.as_str());
    }
    faults
}

/// How the end differs from that with which the run last ended. `lines` counts a torn one too.
fn end_faults(seals: &Seals, lines: usize, manifest: &Manifest) -> Option<Fault> {
    let end = manifest.records.as_ref()?;
    let written = end.lines as usize;
    if seals.len() < written {
        return Some(Fault::Cut { left: seals.len() as u32, written: end.lines });
    }
    if let Some(Ok(last)) = written.checked_sub(1).map(|index| &seals[index])
        && last.sha256 != end.sha256
    {
        return Some(Fault::Replaced { line: written });
    }
    let ended = manifest.status != RunStatus::Running;
    (ended && lines > written).then_some(Fault::Added { line: written + 1 })
}
