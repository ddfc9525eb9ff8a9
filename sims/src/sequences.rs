//! CALVIN's lists of chains: how a list is stored in a protocol, named, hashed and read.
//!
//! A stored list is one text with a word per chain: seven letters for the initial state, a colon
//! and a letter per sub-task (`sims/python/udvla_sims/calvin_sequences.py` reads the same).

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::protocol::{Protocol, Suite, hex};

/// Sub-tasks of a chain.
const LENGTH: usize = 5;
const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const PLACES: &[(char, &str)] =
    &[('t', "\"table\""), ('r', "\"slider_right\""), ('l', "\"slider_left\"")];
/// The parts of an initial state in CALVIN's order, and a letter for each value as JSON.
const STATE: [(&str, &[(char, &str)]); 7] = [
    ("led", &[('0', "0"), ('1', "1")]),
    ("lightbulb", &[('0', "0"), ('1', "1")]),
    ("slider", &[('r', "\"right\""), ('l', "\"left\"")]),
    ("drawer", &[('c', "\"closed\""), ('o', "\"open\"")]),
    ("red_block", PLACES),
    ("blue_block", PLACES),
    ("pink_block", PLACES),
];
/// (replaced entry, entry that it became a copy of): what the authors' list of January 2026
/// changes in CALVIN's.
const UDVLA_2026_01: [(usize, usize); 18] = [
    (1, 581),
    (7, 582),
    (37, 703),
    (52, 707),
    (57, 712),
    (98, 713),
    (102, 733),
    (131, 741),
    (141, 768),
    (175, 769),
    (208, 776),
    (261, 809),
    (302, 811),
    (386, 816),
    (411, 819),
    (418, 820),
    (500, 829),
    (515, 844),
];
/// The lists that have a name.
pub const NAMES: [&str; 2] = ["canonical", "udvla-2026-01"];

/// A list of chains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequences {
    /// `canonical`, `udvla-2026-01`, or `file`.
    pub name: String,
    words: Vec<String>,
    subtasks: Vec<String>,
}

/// Why a file is no list of chains.
#[derive(Debug, thiserror::Error)]
pub enum SequencesError {
    /// It is not JSON of that shape.
    #[error("it is no list of [initial state, [five sub-tasks]] in JSON")]
    Json(#[from] serde_json::Error),
    /// It has no entry, or more than an episode's number can count.
    #[error("it has {0} sequences; from 1 to 65535 can be run")]
    Count(usize),
    /// An entry says something that CALVIN does not have.
    #[error("sequence {index}: {reason}")]
    Entry {
        /// Its index, from 0.
        index: usize,
        /// What is wrong.
        reason: String,
    },
}

impl Sequences {
    /// CALVIN's own 1000.
    pub fn canonical() -> Self {
        let protocol = Protocol::calvin();
        let details = &protocol.suites[0].details;
        let list = details["sequences"]["list"].as_str().unwrap_or_default();
        Self {
            name: NAMES[0].into(),
            words: list.split(' ').map(String::from).collect(),
            subtasks: subtasks(&details["subtasks"]),
        }
    }

    /// The UD-VLA authors' list of January 2026.
    pub fn udvla_2026_01() -> Self {
        let canonical = Self::canonical();
        let mut words = canonical.words.clone();
        for (replaced, source) in UDVLA_2026_01 {
            words[replaced].clone_from(&canonical.words[source]);
        }
        Self { name: NAMES[1].into(), words, ..canonical }
    }

    /// The list in a file's text; one that has a name is given it.
    ///
    /// # Errors
    /// When the text is no list, or names what CALVIN does not have. Whether a chain can be
    /// played is for the simulator to say.
    pub fn from_json(text: &str) -> Result<Self, SequencesError> {
        let entries: Vec<(BTreeMap<String, Value>, Vec<String>)> = serde_json::from_str(text)?;
        if entries.is_empty() || entries.len() > usize::from(u16::MAX) {
            return Err(SequencesError::Count(entries.len()));
        }
        let canonical = Self::canonical();
        let word = |(index, (state, names)): (usize, &(BTreeMap<_, _>, Vec<String>))| {
            let word = word(state, names, &canonical.subtasks);
            word.map_err(|reason| SequencesError::Entry { index, reason })
        };
        let words = entries.iter().enumerate().map(word).collect::<Result<_, _>>()?;
        let read = Self { name: "file".into(), words, subtasks: canonical.subtasks.clone() };
        let known = [canonical, Self::udvla_2026_01()];
        Ok(known.into_iter().find(|known| known.words == read.words).unwrap_or(read))
    }

    /// How many chains it has.
    pub fn count(&self) -> u16 {
        u16::try_from(self.words.len()).expect("the count was checked")
    }

    /// The SHA-256 of the list as Python's `json.dumps` writes it.
    pub fn sha256(&self) -> String {
        let entries: Vec<String> = self.words.iter().map(|word| self.entry(word)).collect();
        hex(&Sha256::digest(format!("[{}]", entries.join(", ")).as_bytes()))
    }

    /// Makes it the list of CALVIN's protocol. A list without a name gives the protocol another
    /// name: its numbers are not to be set beside the paper's.
    pub fn put_into(&self, protocol: &mut Protocol) {
        if !NAMES.contains(&self.name.as_str()) {
            protocol.name += "-own-list";
        }
        let suite = &mut protocol.suites[0];
        suite.trials = self.count();
        let list = self.words.join(" ");
        let stored = json!({"name": self.name, "sha256": self.sha256(), "list": list});
        suite.details.insert("sequences".into(), stored);
    }

    /// A chain as Python's `json.dumps` writes it.
    fn entry(&self, word: &str) -> String {
        let (head, tail) = word.split_once(':').expect("words are checked when they are made");
        let values = STATE.iter().zip(head.chars()).map(|((key, values), letter)| {
            let value = values.iter().find(|(one, _)| *one == letter).map_or("null", |pair| pair.1);
            format!("\"{key}\": {value}")
        });
        let state = values.chain(["\"grasped\": 0".into()]).collect::<Vec<_>>().join(", ");
        let names = tail.chars().filter_map(|letter| self.subtasks.get(LETTERS.find(letter)?));
        let names: Vec<String> = names.map(|name| format!("\"{name}\"")).collect();
        format!("[{{{state}}}, [{}]]", names.join(", "))
    }
}

/// The sub-tasks of every chain of a suite's list; empty where the suite has no list.
pub fn chains(suite: &Suite) -> Vec<Vec<String>> {
    let null = Value::Null;
    let detail = |key: &str| suite.details.get(key).unwrap_or(&null);
    let names = subtasks(detail("subtasks"));
    let words = detail("sequences")["list"].as_str().unwrap_or_default();
    let chain = |word: &str| {
        let letters = word.split_once(':').map_or("", |(_, tail)| tail).chars();
        letters.filter_map(|letter| names.get(LETTERS.find(letter)?).cloned()).collect()
    };
    words.split_whitespace().map(chain).collect()
}

/// The names of a protocol's sub-tasks, in the protocol's order.
pub fn subtasks(details: &Value) -> Vec<String> {
    let names = details.as_array().into_iter().flatten();
    names.filter_map(|subtask| Some(subtask["name"].as_str()?.to_owned())).collect()
}

fn word(
    state: &BTreeMap<String, Value>,
    names: &[String],
    subtasks: &[String],
) -> Result<String, String> {
    let mut word = String::new();
    for (key, values) in STATE {
        let value = state.get(key).ok_or_else(|| format!("its initial state has no `{key}`"))?;
        let text = value.to_string();
        let letter = values.iter().find(|(_, one)| *one == text);
        word.push(letter.ok_or_else(|| format!("`{key}` cannot be {text}"))?.0);
    }
    if state.get("grasped") != Some(&json!(0)) || state.len() != STATE.len() + 1 {
        return Err("its initial state needs `grasped` 0 and nothing unknown".into());
    }
    if names.len() != LENGTH {
        return Err(format!("it has {} sub-tasks, not {LENGTH}", names.len()));
    }
    word.push(':');
    for name in names {
        let index = subtasks.iter().position(|one| one == name);
        let index = index.ok_or_else(|| format!("there is no sub-task `{name}`"))?;
        word.extend(LETTERS.chars().nth(index));
    }
    Ok(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(sequences: &Sequences) -> String {
        let entries: Vec<String> =
            sequences.words.iter().map(|word| sequences.entry(word)).collect();
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
        let stored = &protocol.suites[0].details["sequences"];
        assert_eq!(stored["sha256"], Value::from(canonical.sha256()));
    }

    #[test]
    fn the_authors_list_differs_in_18_entries() {
        let (canonical, authors) = (Sequences::canonical(), Sequences::udvla_2026_01());
        assert_eq!(
            authors.sha256(),
            "a8bca088de639f8c3e36c685ce228c7d555c1d992fe687a22fd5051bd4cc13f0"
        );
        let pairs = canonical.words.iter().zip(&authors.words);
        assert_eq!(pairs.filter(|(one, other)| one != other).count(), 18);
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
        let file = format!("[{}]", canonical.entry(&canonical.words[3]));
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
        let good = canonical.entry(&canonical.words[0]);
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
