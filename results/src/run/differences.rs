//! Which fields of two manifests differ, by name and with both values.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use udvla_sims::protocol::Protocol;

use super::manifest::Manifest;

type Fields = BTreeMap<String, String>;

/// Differing fields of protocol, subject and setting; `label` precedes the values of `other`.
pub fn all(one: &Manifest, other: &Manifest, label: &str) -> Vec<String> {
    [protocols(one, other, label), subjects(one, other, label), settings(one, other, label)]
        .concat()
}

/// Differing fields of the protocol, for example `protocol.settle_steps (10, other 0)`.
///
/// Empty when the fingerprints are equal.
pub fn protocols(one: &Manifest, other: &Manifest, label: &str) -> Vec<String> {
    if one.protocol_fingerprint == other.protocol_fingerprint {
        return Vec::new();
    }
    let (a, b) = (protocol_fields(&one.protocol), protocol_fields(&other.protocol));
    if a["benchmark"] != b["benchmark"] {
        // Every other field differs as a consequence.
        let only =
            |fields: &Fields| Fields::from([("benchmark".into(), fields["benchmark"].clone())]);
        return differing("protocol", &only(&a), &only(&b), label);
    }
    let fields = differing("protocol", &a, &b, label);
    if fields.is_empty() { vec!["protocol (its fingerprint)".into()] } else { fields }
}

/// Names of the fields in which a protocol differs from the bundled one of its name; empty where
/// there is none.
pub fn from_bundled(protocol: &Protocol) -> Vec<String> {
    let bundled = [Protocol::libero(), Protocol::calvin(), Protocol::simpler(), Protocol::real()];
    let Some(bundled) = bundled.into_iter().find(|bundled| bundled.name == protocol.name) else {
        return Vec::new();
    };
    let (one, other) = (protocol_fields(protocol), protocol_fields(&bundled));
    let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let differing = names.into_iter().filter(|name| one.get(*name) != other.get(*name));
    differing.cloned().collect()
}

/// Differing fields of the subject.
pub fn subjects(one: &Manifest, other: &Manifest, label: &str) -> Vec<String> {
    differing("subject", &one.subject.clone().into(), &other.subject.clone().into(), label)
}

/// Differing fields of the setting.
pub fn settings(one: &Manifest, other: &Manifest, label: &str) -> Vec<String> {
    differing("setting", &one.setting.clone().into(), &other.setting.clone().into(), label)
}

/// A protocol by field, one per value that can differ by itself.
fn protocol_fields(protocol: &Protocol) -> Fields {
    let mut fields = Fields::from([
        ("name".to_owned(), protocol.name.clone()),
        ("version".to_owned(), protocol.version.to_string()),
        ("benchmark".to_owned(), protocol.benchmark.clone()),
    ]);
    for suite in &protocol.suites {
        let Ok(Value::Object(values)) = serde_json::to_value(suite) else { continue };
        for (field, value) in values.into_iter().filter(|(field, _)| field != "name") {
            fields.insert(format!("suites.{}.{field}", suite.name), value.to_string());
        }
    }
    let environment = protocol.environment.iter();
    fields.extend(environment.map(|(name, value)| (name.to_owned(), value.to_string())));
    fields
}

fn differing(part: &str, one: &Fields, other: &Fields, label: &str) -> Vec<String> {
    let show = |value: Option<&String>| match value {
        None => "none".into(),
        // A list of tasks would bury the names of the other fields.
        Some(value) if value.chars().count() > 90 => "…".into(),
        Some(value) => format!("`{value}`"),
    };
    let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    names
        .into_iter()
        .map(|name| (name, one.get(name), other.get(name)))
        .filter(|(_, a, b)| a != b)
        .map(|(name, a, b)| format!("{part}.{name} ({}, {label} {})", show(a), show(b)))
        .collect()
}
