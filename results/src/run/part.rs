//! Parts of a plan: a run split over machines.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use udvla_sims::episode::EpisodeKey;

/// One of `of` parts of any plan, numbered from 1.
///
/// An episode belongs to a part by a digest of its key: the parts of any plan are disjoint, together
/// they are all of it, and an episode stays in its part when the plan grows.
///
/// ```
/// use udvla_results::run::part::Part;
/// use udvla_sims::episode::EpisodeKey;
///
/// let key = EpisodeKey { suite: "long".into(), task: 3, trial: 17 };
/// let parts: Vec<Part> = ["1/3", "2/3", "3/3"].map(|text| text.parse().unwrap()).into();
/// assert_eq!(parts.iter().filter(|part| part.contains(&key)).count(), 1);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Part {
    of: u16,
    number: u16,
}

impl Part {
    /// The `of` parts of a plan, from the first on.
    pub fn all(of: u16) -> Vec<Self> {
        (1..=of).map(|number| Self { of, number }).collect()
    }

    /// Whether an episode belongs to it.
    pub fn contains(self, key: &EpisodeKey) -> bool {
        let digest = Sha256::digest(key.to_string());
        let first: [u8; 8] = digest[..8].try_into().expect("a digest has 32 bytes");
        u64::from_be_bytes(first) % u64::from(self.of) == u64::from(self.number - 1)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers = text.split_once('/').and_then(|(number, of)| {
            Some(Self { number: number.parse().ok()?, of: of.parse().ok()? })
        });
        let part = numbers.filter(|part| (1..=part.of).contains(&part.number));
        part.ok_or_else(|| format!("`{text}` is no part; the third of sixteen parts is `3/16`"))
    }
}

impl TryFrom<String> for Part {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Part> for String {
    fn from(part: Part) -> Self {
        part.to_string()
    }
}

/// The parts that runs play together; none if that is the whole plan, as where one of them is not
/// split.
pub fn together(one: &[Part], other: &[Part]) -> Vec<Part> {
    if one.is_empty() || other.is_empty() {
        return Vec::new();
    }
    let parts: BTreeSet<Part> = one.iter().chain(other).copied().collect();
    let is_whole = |of: u16| (1..=of).all(|number| parts.contains(&Part { of, number }));
    match parts.iter().any(|part| is_whole(part.of)) {
        true => Vec::new(),
        false => parts.into_iter().collect(),
    }
}

/// Whether an episode is in one of the parts, or there are none.
pub fn contain(parts: &[Part], key: &EpisodeKey) -> bool {
    parts.is_empty() || parts.iter().any(|part| part.contains(key))
}

/// `part 3/16`, `parts 1/4 and 2/4`, `parts 1/4, 2/4 and 3/4`; empty without one.
pub fn names(parts: &[Part]) -> String {
    let names: Vec<String> = parts.iter().map(Part::to_string).collect();
    match names.as_slice() {
        [] => String::new(),
        [name] => format!("part {name}"),
        [front @ .., last] => format!("parts {} and {last}", front.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(text: &str) -> Part {
        text.parse().unwrap()
    }

    #[test]
    fn parts_are_disjoint_complete_and_do_not_change() {
        let keys = (0..10).flat_map(|task| {
            (0..50).map(move |trial| EpisodeKey { suite: "long".into(), task, trial })
        });
        let keys: Vec<EpisodeKey> = keys.collect();
        for of in [1, 2, 7, 16, 500, 1000] {
            let holders = |key| (1..=of).filter(move |&number| Part { of, number }.contains(key));
            assert!(keys.iter().all(|key| holders(key).count() == 1), "{of}");
        }
        let sizes: Vec<usize> = (1..=4)
            .map(|number| keys.iter().filter(|key| Part { of: 4, number }.contains(key)).count())
            .collect();
        assert_eq!(sizes, [117, 130, 120, 133], "pinned: runs of other versions must fit together");
    }

    #[test]
    fn what_is_no_part_is_refused() {
        for text in ["", "3", "0/4", "5/4", "1/0", "-1/4", "1/4/2", "a/b", "1/70000"] {
            assert!(text.parse::<Part>().is_err(), "{text}");
        }
        assert_eq!(part("3/16").to_string(), "3/16");
    }

    #[test]
    fn parts_together_are_the_whole_plan_once_none_is_missing() {
        assert_eq!(together(&[part("1/3")], &[part("3/3")]), [part("1/3"), part("3/3")]);
        assert_eq!(together(&[part("1/3"), part("3/3")], &[part("2/3")]), []);
        assert_eq!(together(&[], &[part("2/3")]), []);
        assert_eq!(together(&[part("1/2")], &[part("1/3")]), [part("1/2"), part("1/3")]);
    }

    #[test]
    fn parts_are_named() {
        assert_eq!(names(&[]), "");
        assert_eq!(names(&[part("3/16")]), "part 3/16");
        assert_eq!(names(&[part("1/4"), part("2/4"), part("4/4")]), "parts 1/4, 2/4 and 4/4");
    }
}
