//! Instructions of CALVIN's sub-tasks from a file, instead of the protocol's own.

use std::collections::BTreeMap;

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::protocol::{Protocol, hex};

/// An instruction for every sub-task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotations {
    sentences: BTreeMap<String, String>,
}

/// Why a file cannot be used as instructions.
#[derive(Debug, thiserror::Error)]
pub enum AnnotationsError {
    /// It is neither YAML nor JSON of the expected form.
    #[error("expected `sub-task: [sentence, ...]` per sub-task, in YAML or JSON")]
    Shape(#[from] serde_saphyr::Error),
    /// It has a sub-task that CALVIN does not have.
    #[error("there is no sub-task `{0}`")]
    Unknown(String),
    /// It has no sentence for some sub-tasks.
    #[error("it has no sentence for {}", .0.join(", "))]
    Missing(Vec<String>),
}

impl Annotations {
    /// Takes the first sentence of every sub-task from a file in the format of CALVIN's own
    /// `new_playtable_validation.yaml`, a list of sentences per sub-task; JSON works as well.
    ///
    /// # Errors
    /// When the format differs, a sub-task is unknown, or one of the 34 has no sentence.
    pub fn read(text: &str) -> Result<Self, AnnotationsError> {
        let lists: BTreeMap<String, Vec<String>> = serde_saphyr::from_str(text)?;
        let known = Protocol::calvin().suites[0].details.subtasks();
        if let Some(name) = lists.keys().find(|name| !known.contains(name)) {
            return Err(AnnotationsError::Unknown(name.clone()));
        }
        let first_sentence = |name: &String| {
            let sentence = lists.get(name)?.first()?.trim();
            (!sentence.is_empty()).then(|| (name.clone(), sentence.to_owned()))
        };
        let sentences: BTreeMap<_, _> = known.iter().filter_map(first_sentence).collect();
        let missing: Vec<_> =
            known.into_iter().filter(|name| !sentences.contains_key(name)).collect();
        if missing.is_empty() {
            Ok(Self { sentences })
        } else {
            Err(AnnotationsError::Missing(missing))
        }
    }

    /// Replaces the instructions of CALVIN's protocol. If any differs, the protocol is renamed,
    /// because its numbers do not compare with published ones.
    pub fn put_into(&self, protocol: &mut Protocol) {
        let details = &mut protocol.suites[0].details;
        let mut changed = false;
        for entry in details.entries_mut("subtasks") {
            let Some(sentence) = entry["name"].as_str().and_then(|name| self.sentences.get(name))
            else {
                continue;
            };
            changed |= entry["instruction"] != json!(sentence);
            entry["instruction"] = json!(sentence);
        }
        if changed {
            let text = json!(self.sentences).to_string();
            let stored = json!({"name": "file", "sha256": hex(&Sha256::digest(text.as_bytes()))});
            details.set("annotations", stored);
            protocol.rename("-own-annotations");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The protocol's own sentences in the shape of CALVIN's file.
    fn own() -> String {
        let protocol = Protocol::calvin();
        let entries = protocol.suites[0].details.instructions().into_iter();
        let line = |(name, sentence): (String, String)| format!("{name}: [{}]\n", json!(sentence));
        format!("# validation\n{}", entries.map(line).collect::<String>())
    }

    fn protocol_with(text: &str) -> Protocol {
        let mut protocol = Protocol::calvin();
        Annotations::read(text).unwrap().put_into(&mut protocol);
        protocol
    }

    #[test]
    fn calvins_own_sentences_change_nothing() {
        assert_eq!(protocol_with(&own()), Protocol::calvin());
    }

    #[test]
    fn other_sentences_make_another_protocol() {
        let text = own().replace("[\"pull the handle to open the drawer\"]", "['open it', 'pull']");
        let protocol = protocol_with(&text);
        assert_eq!(protocol.name, "calvin-abcd-d-own-annotations");
        assert_ne!(protocol.fingerprint(), Protocol::calvin().fingerprint());
        let details = &protocol.suites[0].details;
        let drawer = ("open_drawer".to_owned(), "open it".to_owned());
        assert!(details.instructions().contains(&drawer));
        assert_eq!(details.list("annotations").unwrap().name, "file");
    }

    #[test]
    fn json_works_as_well() {
        let names = Protocol::calvin().suites[0].details.subtasks();
        let lists: BTreeMap<_, _> = names.into_iter().map(|name| (name, ["go"])).collect();
        let protocol = protocol_with(&json!(lists).to_string());
        assert_eq!(protocol.name, "calvin-abcd-d-own-annotations");
    }

    #[test]
    fn a_file_that_cannot_be_used_is_explained() {
        for (text, expected) in [
            ("[1, 2]".to_owned(), "sub-task: [sentence"),
            (own() + "dance: [now]\n", "no sub-task `dance`"),
            (own() + "open_drawer: [again]\n", "sub-task: [sentence"),
            (own().replace("open_drawer:", "# open_drawer:"), "no sentence for open_drawer"),
            (own().replace("[\"pull the handle to open the drawer\"]", "[]"), "for open_drawer"),
        ] {
            let error = Annotations::read(&text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
