//! What the benchmarks' published settings are, as data: `policies/layouts/benchmarks.json`.
//!
//! An entry of a checkpoint's manifest takes from here whatever it does not say itself, by its
//! own name. `calvin`, `libero` and `simpler` are what the released wrappers do. `simpler-paper`
//! is the chunk of 5 that the paper states for WidowX, with the 40 slots and 96 steps that the
//! release's script for chunks of 5 asks for (and its wrapper never reads).
//!
//! Source: the wrappers and scripts of the release (commit 97756cc); paper, table of settings.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::manifest::Rotation;
use super::prompt::Layout;
use crate::normalize::GripperRule;

/// Everything of a benchmark's settings but the files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What is shown and what is generated.
    pub layout: Layout,
    /// What the last number of an action becomes.
    pub gripper: GripperRule,
    /// What numbers 3, 4 and 5 of an action are.
    pub rotation: Rotation,
    /// Denoising steps when nothing else is asked for.
    pub denoise_steps: u16,
}

const TEXT: &str = include_str!("../../layouts/benchmarks.json");

/// The settings by the names of manifest entries.
pub fn known() -> BTreeMap<String, Settings> {
    serde_json::from_str(TEXT).expect("the program's own file, which its tests read")
}

/// Adds to every entry of a manifest's `benchmarks` what it leaves out and its name has here.
pub(super) fn fill(manifest: &mut Value) {
    let known: Map<String, Value> =
        serde_json::from_str(TEXT).expect("the program's own file, which its tests read");
    let Some(Value::Object(benchmarks)) = manifest.get_mut("benchmarks") else { return };
    for (name, entry) in benchmarks {
        let (Value::Object(entry), Some(Value::Object(settings))) = (entry, known.get(name)) else {
            continue;
        };
        for (key, value) in settings {
            entry.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::prompt::Target;
    use super::*;

    #[test]
    fn the_released_blocks_have_the_released_lengths() {
        let lengths = known().into_iter().map(|(name, settings)| {
            assert_eq!(settings.layout.fault(), None, "{name}");
            let future = settings.layout.generated_positions(Target::Future);
            (name, future.iter().sum::<usize>() + settings.layout.action_slots)
        });
        let wanted =
            [("calvin", 817), ("libero", 817), ("simpler", 708), ("simpler-paper", 636 + 40)];
        assert!(lengths.eq(wanted.map(|(name, length)| (name.to_owned(), length))));
    }

    #[test]
    fn an_entry_keeps_what_it_says_and_takes_the_rest() {
        let mut manifest = serde_json::json!({
            "benchmarks": { "calvin": { "denoise_steps": 8 }, "mine": { "denoise_steps": 9 } }
        });
        fill(&mut manifest);
        let calvin = &manifest["benchmarks"]["calvin"];
        assert_eq!(calvin["denoise_steps"], 8);
        assert_eq!(calvin["layout"]["action_slots"], 70);
        assert_eq!(manifest["benchmarks"]["mine"], serde_json::json!({ "denoise_steps": 9 }));
        fill(&mut Value::Null);
    }
}
