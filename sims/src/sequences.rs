//! CALVIN's lists of chains: encoded in a protocol, named, hashed, read from a file.
//!
//! A stored list is one string with a code per chain, separated by spaces: seven letters for the
//! initial state, a colon, and a letter per sub-task. The CALVIN adapter decodes the same.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::protocol::{Protocol, Suite, hex};

/// Number of sub-tasks in a chain.
const LENGTH: usize = 5;
const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const POSITIONS: &[(char, &str)] =
    &[('t', "\"table\""), ('r', "\"slider_right\""), ('l', "\"slider_left\"")];
/// The parts of an initial state in CALVIN's order, and a letter for each value as JSON.
const STATE: [(&str, &[(char, &str)]); 7] = [
    ("led", &[('0', "0"), ('1', "1")]),
    ("lightbulb", &[('0', "0"), ('1', "1")]),
    ("slider", &[('r', "\"right\""), ('l', "\"left\"")]),
    ("drawer", &[('c', "\"closed\""), ('o', "\"open\"")]),
    ("red_block", POSITIONS),
    ("blue_block", POSITIONS),
    ("pink_block", POSITIONS),
];
/// Entries of CALVIN's list that the authors' list of January 2026 replaces.
const REPLACED: [usize; 18] =
    [1, 7, 37, 52, 57, 98, 102, 131, 141, 175, 208, 261, 302, 386, 411, 418, 500, 515];
/// Entry copied in place of each of [`REPLACED`].
const COPIED: [usize; 18] =
    [581, 582, 703, 707, 712, 713, 733, 741, 768, 769, 776, 809, 811, 816, 819, 820, 829, 844];
/// Names of the known lists.
pub const NAMES: [&str; 2] = ["canonical", "udvla-2026-01"];

/// A list of chains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequences {
    /// `canonical`, `udvla-2026-01`, or `file`.
    pub name: String,
    codes: Vec<String>,
    subtasks: Vec<String>,
}

/// Why a file cannot be used as a list of chains.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum SequencesError {
    /// It is not JSON of the expected form.
    #[error("expected a list of [initial state, [five sub-tasks]] in JSON")]
    Json(#[from] serde_json::Error),
    /// It has no entry, or more than the range of a trial number.
    #[error("it has {0} sequences; from 1 to 65535 can be run")]
    Count(usize),
    /// An entry has a value that CALVIN does not have.
    #[error("sequence {index}: {reason}")]
    Entry { index: usize, reason: String },
}

impl Sequences {
    /// CALVIN's own 1000.
    pub fn canonical() -> Self {
        let protocol = Protocol::calvin();
        let details = &protocol.suites[0].details;
        let list = details.sequences().unwrap_or_default();
        Self {
            name: NAMES[0].into(),
            codes: list.split(' ').map(String::from).collect(),
            subtasks: details.subtasks(),
        }
    }

    /// The UD-VLA authors' list of January 2026.
    pub fn udvla_2026_01() -> Self {
        let canonical = Self::canonical();
        let mut codes = canonical.codes.clone();
        for (replaced, source) in REPLACED.into_iter().zip(COPIED) {
            codes[replaced].clone_from(&canonical.codes[source]);
        }
        Self { name: NAMES[1].into(), codes, ..canonical }
    }

    /// Reads a list from a file's text. A list equal to a known one gets that name.
    ///
    /// # Errors
    /// When the text is not such a list, or has values that CALVIN does not have. Whether a chain
    /// can be played is checked by the simulator.
    pub fn from_json(text: &str) -> Result<Self, SequencesError> {
        let entries: Vec<(BTreeMap<String, Value>, Vec<String>)> = serde_json::from_str(text)?;
        if entries.is_empty() || entries.len() > usize::from(u16::MAX) {
            return Err(SequencesError::Count(entries.len()));
        }
        let canonical = Self::canonical();
        let encode = |(index, (state, names)): (usize, &(BTreeMap<_, _>, Vec<String>))| {
            encode(state, names, &canonical.subtasks)
                .map_err(|reason| SequencesError::Entry { index, reason })
        };
        let codes = entries.iter().enumerate().map(encode).collect::<Result<Vec<_>, _>>()?;
        let known = [Self::canonical(), Self::udvla_2026_01()];
        let own = Self { name: "file".into(), subtasks: canonical.subtasks.clone(), codes };
        Ok(known.into_iter().find(|known| known.codes == own.codes).unwrap_or(own))
    }

    /// Number of chains.
    pub fn count(&self) -> u16 {
        u16::try_from(self.codes.len()).expect("checked when the list was read")
    }

    /// SHA-256 (hex) of the list in the format of Python's `json.dumps`.
    pub fn sha256(&self) -> String {
        let entries: Vec<String> = self.codes.iter().map(|code| self.to_json(code)).collect();
        hex(&Sha256::digest(format!("[{}]", entries.join(", ")).as_bytes()))
    }

    /// Replaces the list of CALVIN's protocol. An unknown list renames the protocol, because its
    /// numbers do not compare with published ones.
    pub fn put_into(&self, protocol: &mut Protocol) {
        if !NAMES.contains(&self.name.as_str()) {
            protocol.rename("-own-list");
        }
        let suite = &mut protocol.suites[0];
        suite.trials = self.count();
        let list = self.codes.join(" ");
        let stored = json!({"name": self.name, "sha256": self.sha256(), "list": list});
        suite.details.set("sequences", stored);
    }

    /// A chain in the format of Python's `json.dumps`.
    fn to_json(&self, code: &str) -> String {
        let (state, subtasks) = code.split_once(':').expect("every code has a colon");
        let values = STATE.iter().zip(state.chars()).map(|((key, values), letter)| {
            let pair = values.iter().find(|(known, _)| *known == letter);
            format!("\"{key}\": {}", pair.map_or("null", |pair| pair.1))
        });
        let state = values.chain(["\"grasped\": 0".into()]).collect::<Vec<_>>().join(", ");
        let names = subtasks.chars().filter_map(|letter| self.subtasks.get(LETTERS.find(letter)?));
        let names: Vec<String> = names.map(|name| format!("\"{name}\"")).collect();
        format!("[{{{state}}}, [{}]]", names.join(", "))
    }
}

/// Sub-tasks of every chain in a suite's list; empty if the suite has no list.
pub fn chains(suite: &Suite) -> Vec<Vec<String>> {
    let names = suite.details.subtasks();
    let codes = suite.details.sequences().unwrap_or_default();
    let chain = |code: &str| {
        let letters = code.split_once(':').map_or("", |(_, subtasks)| subtasks).chars();
        letters.filter_map(|letter| names.get(LETTERS.find(letter)?).cloned()).collect()
    };
    codes.split_whitespace().map(chain).collect()
}

/// The code of a chain, or what is wrong with it.
fn encode(
    state: &BTreeMap<String, Value>,
    names: &[String],
    subtasks: &[String],
) -> Result<String, String> {
    let mut code = String::new();
    for (key, values) in STATE {
        let value = state.get(key).ok_or_else(|| format!("its initial state has no `{key}`"))?;
        let text = value.to_string();
        let pair = values.iter().find(|(_, known)| *known == text);
        code.push(pair.ok_or_else(|| format!("`{key}` cannot be {text}"))?.0);
    }
    if state.get("grasped") != Some(&json!(0)) || state.len() != STATE.len() + 1 {
        return Err("its initial state must have `grasped` 0 and no unknown key".into());
    }
    if names.len() != LENGTH {
        return Err(format!("it has {} sub-tasks, not {LENGTH}", names.len()));
    }
    code.push(':');
    for name in names {
        let index = subtasks.iter().position(|known| known == name);
        let index = index.ok_or_else(|| format!("there is no sub-task `{name}`"))?;
        code.extend(LETTERS.chars().nth(index));
    }
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(sequences: &Sequences) -> String {
        let entries: Vec<String> =
            sequences.codes.iter().map(|code| sequences.to_json(code)).collect();
        format!("[{}]", entries.join(", "))
    }

    #[test]
    fn canonical_is_what_calvins_generator_gives_for_1000() {
        let canonical = Sequences::canonical();
        assert_eq!(canonical.count(), 1000);
        assert_eq!(
            canonical.sha256(),
            "840cb992c69ce9b6d59f6020966b6300c15233f8e0b9667b6486c1962424d308"
        );
        let protocol = Protocol::calvin();
        let stored = protocol.suites[0].details.list("sequences").unwrap();
        assert_eq!(stored.sha256, canonical.sha256());
    }

    #[test]
    fn the_authors_list_differs_in_18_entries() {
        let (canonical, authors) = (Sequences::canonical(), Sequences::udvla_2026_01());
        assert_eq!(
            authors.sha256(),
            "a8bca088de639f8c3e36c685ce228c7d555c1d992fe687a22fd5051bd4cc13f0"
        );
        let pairs = canonical.codes.iter().zip(&authors.codes);
        assert_eq!(pairs.filter(|(ours, theirs)| ours != theirs).count(), 18);
    }

    #[test]
    fn a_file_with_a_known_list_gets_its_name() {
        for known in [Sequences::canonical(), Sequences::udvla_2026_01()] {
            assert_eq!(Sequences::from_json(&text(&known)).unwrap(), known);
        }
    }

    #[test]
    fn another_list_renames_the_protocol_and_changes_its_fingerprint() {
        let canonical = Sequences::canonical();
        let file = format!("[{}]", canonical.to_json(&canonical.codes[3]));
        let own = Sequences::from_json(&file).unwrap();
        let mut protocol = Protocol::calvin();
        own.put_into(&mut protocol);
        assert_eq!((protocol.name.as_str(), own.count()), ("calvin-abcd-d-own-list", 1));
        assert_ne!(protocol.fingerprint(), Protocol::calvin().fingerprint());
        let mut same = Protocol::calvin();
        canonical.put_into(&mut same);
        assert_eq!(same.fingerprint(), Protocol::calvin().fingerprint());
    }

    #[test]
    fn the_chains_of_a_suite_have_names() {
        let protocol = Protocol::calvin();
        let chains = chains(&protocol.suites[0]);
        assert_eq!(chains.len(), 1000);
        assert!(chains.iter().all(|chain| chain.len() == LENGTH));
        let names = ["rotate_blue_block_right", "move_slider_right", "lift_red_block_slider"];
        assert_eq!(chains[0][..3], names);
        assert!(super::chains(&Protocol::libero().suites[0]).is_empty());
    }

    #[test]
    fn a_wrong_entry_is_named() {
        let canonical = Sequences::canonical();
        let good = canonical.to_json(&canonical.codes[0]);
        for (from, to, expected) in [
            ("\"led\": 1", "\"led\": 2", "`led` cannot be 2"),
            ("\"led\": 1, ", "", "no `led`"),
            ("\"grasped\": 0", "\"grasped\": 1", "`grasped` 0"),
            ("\"move_slider_right\", ", "", "4 sub-tasks"),
            ("move_slider_right", "dance", "no sub-task `dance`"),
        ] {
            let file = format!("[{good}, {}]", good.replace(from, to));
            let error = Sequences::from_json(&file).unwrap_err().to_string();
            assert!(error.starts_with("sequence 1: ") && error.contains(expected), "{error}");
        }
        assert!(matches!(Sequences::from_json("[]"), Err(SequencesError::Count(0))));
        assert!(matches!(Sequences::from_json("{}"), Err(SequencesError::Json(_))));
    }
}
