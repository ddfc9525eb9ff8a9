//! Random changes of files: of bytes, and of values in JSON. The property tests of every crate use
//! them.

use proptest::prelude::*;
use serde_json::Value;

/// A change of some bytes.
#[derive(Debug, Clone)]
pub enum Cut {
    Flip(usize, u8),
    Delete(usize, usize),
    Repeat(usize, usize),
    Insert(usize, Vec<u8>),
    End(usize),
}

/// A change of some bytes somewhere.
pub fn cut() -> impl Strategy<Value = Cut> {
    let place = any::<usize>();
    prop_oneof![
        (place, any::<u8>()).prop_map(|(at, bits)| Cut::Flip(at, bits)),
        (place, 1..40_usize).prop_map(|(at, length)| Cut::Delete(at, length)),
        (place, 1..400_usize).prop_map(|(at, length)| Cut::Repeat(at, length)),
        (place, prop::collection::vec(any::<u8>(), 1..9))
            .prop_map(|(at, bytes)| Cut::Insert(at, bytes)),
        place.prop_map(Cut::End),
    ]
}

/// Changes `bytes`.
pub fn apply(bytes: &mut Vec<u8>, cut: &Cut) {
    let at = |place: usize| place % (bytes.len() + 1);
    let span = |place: usize, length: usize| at(place)..(at(place) + length).min(bytes.len());
    match cut {
        Cut::Flip(place, bits) => {
            let at = at(*place);
            bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= bits);
        }
        Cut::Delete(place, length) => drop(bytes.drain(span(*place, *length))),
        Cut::Repeat(place, length) => {
            let span = span(*place, *length);
            let (end, copy) = (span.end, bytes[span].to_vec());
            bytes.splice(end..end, copy);
        }
        Cut::Insert(place, more) => {
            let at = at(*place);
            bytes.splice(at..at, more.iter().copied());
        }
        Cut::End(place) => bytes.truncate(at(*place)),
    }
}

/// Values that programs forget about.
pub fn odd() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(Value::Array(vec![])),
        Just(Value::Object(serde_json::Map::new())),
        any::<bool>().prop_map(Value::from),
        prop_oneof![Just(0_u64), Just(1), Just(5), Just(100), Just(65_535), Just(u64::MAX)]
            .prop_map(Value::from),
        any::<i16>().prop_map(Value::from),
        prop_oneof![Just(i64::MIN), Just(i64::MAX)].prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        Just(Value::from("sha256:ééééé")),
    ]
}

/// Sets the `number`-th value of a tree to another one.
pub fn set(tree: &mut Value, number: usize, value: &Value) {
    fn count(tree: &Value) -> usize {
        1 + match tree {
            Value::Array(items) => items.iter().map(count).sum(),
            Value::Object(fields) => fields.values().map(count).sum(),
            _ => 0,
        }
    }
    fn walk(tree: &mut Value, number: &mut usize, value: &Value) {
        if *number == 0 {
            *tree = value.clone();
        }
        *number = number.wrapping_sub(1);
        if *number == usize::MAX {
            return;
        }
        match tree {
            Value::Array(items) => items.iter_mut().for_each(|item| walk(item, number, value)),
            Value::Object(fields) => {
                fields.values_mut().for_each(|field| walk(field, number, value));
            }
            _ => {}
        }
    }
    let mut number = number % count(tree);
    walk(tree, &mut number, value);
}

/// 400 cases per property, or as many as `PROPTEST_CASES` says.
pub fn config() -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    ProptestConfig { cases: asked.unwrap_or(400), failure_persistence: None, ..<_>::default() }
}
