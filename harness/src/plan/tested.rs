//! Whether a policy is tested, so that its numbers are to be believed.

use std::path::Path;

use serde_json::Value;

use super::PolicyPlan;

impl PolicyPlan {
    /// Whether the run tests a policy: anything with weights that were trained.
    pub fn is_tested(&self) -> bool {
        match self {
            // The scripted expert, random and idle check the simulator.
            Self::Weightless { .. } => false,
            Self::Remote(_) => true,
            #[cfg(feature = "torch")]
            Self::Udvla(model) => !is_synthetic(&model.checkpoint),
        }
    }
}

/// Whether the manifest of the checkpoint in `directory` says `"synthetic": true`; false without a
/// readable manifest. Nothing else of the checkpoint is opened.
pub fn is_synthetic(directory: &Path) -> bool {
    let text = std::fs::read_to_string(directory.join("checkpoint.json")).unwrap_or_default();
    let manifest: Value = serde_json::from_str(&text).unwrap_or_default();
    manifest["synthetic"] == Value::Bool(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_manifest_that_says_so_is_synthetic() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_synthetic(folder.path()), "no manifest");
        for (text, expected) in [
            (r#"{"format": 1, "synthetic": true}"#, true),
            (r#"{"format": 1, "synthetic": false}"#, false),
            (r#"{"format": 1, "synthetic": "true"}"#, false),
            (r#"{"format": 1}"#, false),
            ("synthetic: true", false),
        ] {
            std::fs::write(folder.path().join("checkpoint.json"), text).unwrap();
            assert_eq!(is_synthetic(folder.path()), expected, "{text}");
        }
    }
}
