//! Published settings of the benchmarks, read from `policies/layouts/benchmarks.json`.
//!
//! They are the defaults of a manifest's entry of the same name. `calvin`, `libero` and `simpler`
//! follow the released wrappers. `simpler-paper` has the paper's chunk of 5 for WidowX, with the
//! 40 slots and 96 steps of the release's script for chunks of 5 (which its wrapper ignores).
//!
//! Source: the wrappers and scripts of the release (commit 97756cc); paper, table of settings.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::layout::Layout;
use crate::normalize::{GripperRule, Rotation};

/// Settings of a benchmark, without files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Images, action slots and chunk size.
    pub layout: Layout,
    /// How the last number of an action becomes a gripper command.
    pub gripper: GripperRule,
    /// Meaning of numbers 3, 4 and 5 of an action.
    pub rotation: Rotation,
    /// Default number of denoising steps.
    pub denoise_steps: u16,
}

const TEXT: &str = include_str!("../../../layouts/benchmarks.json");

/// Published settings, by the name of the manifest entry.
pub fn published_settings() -> BTreeMap<String, Settings> {
    serde_json::from_str(TEXT).expect("the embedded file is valid, as tests show")
}

/// Fills in missing keys of each entry of a manifest's `benchmarks`.
pub(super) fn fill_defaults(manifest: &mut Value) {
    let published: Map<String, Value> =
        serde_json::from_str(TEXT).expect("the embedded file is valid, as tests show");
    let Some(Value::Object(benchmarks)) = manifest.get_mut("benchmarks") else { return };
    for (name, entry) in benchmarks {
        let (Value::Object(entry), Some(Value::Object(settings))) = (entry, published.get(name))
        else {
            continue;
        };
        for (key, value) in settings {
            entry.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::target::Target;
    use super::*;

    #[test]
    fn the_released_blocks_have_the_released_lengths() {
        let lengths = published_settings().into_iter().map(|(name, settings)| {
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
        fill_defaults(&mut manifest);
        let calvin = &manifest["benchmarks"]["calvin"];
        assert_eq!(calvin["denoise_steps"], 8);
        assert_eq!(calvin["layout"]["action_slots"], 70);
        assert_eq!(manifest["benchmarks"]["mine"], serde_json::json!({ "denoise_steps": 9 }));
        fill_defaults(&mut Value::Null);
    }
}
