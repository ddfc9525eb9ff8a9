//! Which fields of two manifests differ, by name and with both values.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use udvla_sims::protocol::Protocol;

use crate::manifest::Manifest;

/// Fields of protocol, subject and setting that differ; `word` stands before the values of
/// `other`.
pub fn all(one: &Manifest, other: &Manifest, word: &str) -> Vec<String> {
    let mut fields = protocols(one, other, word);
    fields.extend(subjects(one, other, word));
    fields.extend(settings(one, other, word));
    fields
}

/// Fields of the protocol that differ: `protocol.settle_steps (10, other 0)` where `word` is
/// `other`.
///
/// Empty when the fingerprints are equal, for then nothing differs.
pub fn protocols(one: &Manifest, other: &Manifest, word: &str) -> Vec<String> {
    if one.protocol_fingerprint == other.protocol_fingerprint {
        return Vec::new();
    }
    let (a, b) = (facts(&one.protocol), facts(&other.protocol));
    if a["benchmark"] != b["benchmark"] {
        // Every other field differs too, and says no more.
        let values =
            [a, b].map(|facts| BTreeMap::from([("benchmark".into(), facts["benchmark"].clone())]));
        return of_maps("protocol", &values[0], &values[1], word);
    }
    let fields = of_maps("protocol", &a, &b, word);
    if fields.is_empty() { vec!["protocol (its fingerprint)".into()] } else { fields }
}

/// Fields of the subject that differ.
pub fn subjects(one: &Manifest, other: &Manifest, word: &str) -> Vec<String> {
    of_maps("subject", &one.subject, &other.subject, word)
}

/// Fields of the setting that differ.
pub fn settings(one: &Manifest, other: &Manifest, word: &str) -> Vec<String> {
    of_maps("setting", &one.setting, &other.setting, word)
}

/// A protocol as names and values, one per field that can differ by itself.
fn facts(protocol: &Protocol) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::from([
        ("name".to_owned(), protocol.name.clone()),
        ("version".to_owned(), protocol.version.to_string()),
        ("benchmark".to_owned(), protocol.benchmark.clone()),
    ]);
    for suite in &protocol.suites {
        let Ok(Value::Object(fields)) = serde_json::to_value(suite) else { continue };
        for (field, value) in fields.into_iter().filter(|(field, _)| field != "name") {
            facts.insert(format!("suites.{}.{field}", suite.name), value.to_string());
        }
    }
    let environment = protocol.environment.iter();
    facts.extend(environment.map(|(name, value)| (name.clone(), value.to_string())));
    facts
}

fn of_maps(
    what: &str,
    one: &BTreeMap<String, String>,
    other: &BTreeMap<String, String>,
    word: &str,
) -> Vec<String> {
    let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let show = |value: Option<&String>| match value {
        None => "none".into(),
        // A list of tasks would bury the names of the other fields.
        Some(value) if value.chars().count() > 90 => "…".into(),
        Some(value) => format!("`{value}`"),
    };
    names
        .into_iter()
        .filter(|name| one.get(*name) != other.get(*name))
        .map(|name| {
            format!("{what}.{name} ({}, {word} {})", show(one.get(name)), show(other.get(name)))
        })
        .collect()
}
