//! Comparison of recomputed with recorded outputs, key by key, within each key's precision.

use std::fmt;

use serde_json::Value;

/// The first key at which a file and its recomputation differ.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The key, for example `trace[2].sampled[14]`.
    pub key: String,
    /// Value in the file; `None` if it lacks the key.
    pub recorded: Option<Value>,
    /// Recomputed value; `None` if there is none.
    pub computed: Option<Value>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Option<Value>| match value {
            Some(value) => value.to_string(),
            None => "nothing".to_owned(),
        };
        let (recorded, computed) = (text(&self.recorded), text(&self.computed));
        write!(f, "`{}` is {recorded} in the file, {computed} recomputed", self.key)
    }
}

/// Allowed difference of a number.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Tolerance {
    Exact,
    Absolute(f64),
    Relative(f64),
}

/// Outputs that a file may omit, because they follow from others.
const OPTIONAL: [&str; 7] = [
    "logits_dtype",
    "distinct_codes",
    "min_code_margin",
    "codes_shape",
    "latent_shape",
    "mean",
    "std",
];

/// The first key, in the order of `computed`, that `recorded` lacks or contradicts.
///
/// Integers and strings are compared exactly, numbers within the released code's rounding:
/// logits 2e-6 (recorded as f32), temperatures 1e-12, latent vectors and images 1e-6,
/// actions 1e-9, a loss 1e-5 of its value, gradient norms 1e-4 of theirs.
pub fn first_difference(recorded: &Value, computed: &Value) -> Option<Difference> {
    difference("", Tolerance::Exact, Some(recorded), computed)
}

fn difference(
    key: &str,
    tolerance: Tolerance,
    recorded: Option<&Value>,
    computed: &Value,
) -> Option<Difference> {
    let differs = |recorded: Option<&Value>, computed: Option<&Value>, key: String| {
        Some(Difference { key, recorded: recorded.cloned(), computed: computed.cloned() })
    };
    match (recorded, computed) {
        (Some(Value::Object(recorded)), Value::Object(computed)) => {
            computed.iter().find_map(|(name, computed)| {
                let inner = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                let recorded = recorded.get(name);
                if recorded.is_none() && OPTIONAL.contains(&name.as_str()) {
                    return None;
                }
                difference(&inner, of_key(name).unwrap_or(tolerance), recorded, computed)
            })
        }
        (Some(Value::Array(recorded)), Value::Array(computed)) => {
            let longest = recorded.len().max(computed.len());
            (0..longest).find_map(|at| {
                let inner = format!("{key}[{at}]");
                match (recorded.get(at), computed.get(at)) {
                    (recorded, Some(computed)) => difference(&inner, tolerance, recorded, computed),
                    (recorded, None) => differs(recorded, None, inner),
                }
            })
        }
        (Some(recorded), computed) if same(recorded, computed, tolerance) => None,
        (recorded, computed) => differs(recorded, Some(computed), key.to_owned()),
    }
}

fn of_key(name: &str) -> Option<Tolerance> {
    match name {
        "logits" => Some(Tolerance::Absolute(2e-6)),
        "temperature_after" => Some(Tolerance::Absolute(1e-12)),
        "latent" | "frame" | "mean" | "std" | "min_code_margin" => Some(Tolerance::Absolute(1e-6)),
        "decoded" => Some(Tolerance::Absolute(1e-9)),
        "loss" => Some(Tolerance::Relative(1e-5)),
        "gradient_norms" => Some(Tolerance::Relative(1e-4)),
        _ => None,
    }
}

fn same(recorded: &Value, computed: &Value, tolerance: Tolerance) -> bool {
    let numbers = recorded.as_f64().zip(computed.as_f64());
    match (tolerance, numbers) {
        (Tolerance::Absolute(limit), Some((recorded, computed))) => {
            (recorded - computed).abs() <= limit
        }
        (Tolerance::Relative(limit), Some((recorded, computed))) => {
            (recorded - computed).abs() <= limit * recorded.abs()
        }
        (Tolerance::Exact, _) | (_, None) => recorded == computed,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::*;

    #[test]
    fn equal_within_what_a_key_allows_is_no_difference() {
        let recorded = json!({
            "kind": "x", "loss": 12.0, "trace": [{"temperature_after": 0.5, "sampled": [1, 2]}],
            "logits_probe": {"causal": {"logits": [[1.0]]}},
        });
        let computed = json!({
            "loss": 12.0001, "trace": [{"temperature_after": 0.5, "sampled": [1, 2]}],
            "logits_probe": {"causal": {"logits": [[1.000_001]]}}, "codes_shape": [1],
        });
        assert_eq!(first_difference(&recorded, &computed), None);
    }

    #[test]
    fn the_first_differing_key_is_named_with_both_values() {
        let recorded = json!({"a": [{"b": [1, 2]}, {"b": [3]}], "loss": 1.0});
        for (computed, wanted) in [
            (json!({"a": [{"b": [1, 3]}]}), "`a[0].b[1]` is 2 in the file, 3 recomputed"),
            (
                json!({"a": [{"b": [1, 2]}]}),
                "`a[1]` is {\"b\":[3]} in the file, nothing recomputed",
            ),
            (json!({"loss": 1.1}), "`loss` is 1.0 in the file, 1.1 recomputed"),
            (json!({"c": 1}), "`c` is nothing in the file, 1 recomputed"),
            (json!({"a": 4}), "`a` is [{\"b\":[1,2]},{\"b\":[3]}] in the file, 4 recomputed"),
        ] {
            let difference = first_difference(&recorded, &computed).expect(wanted);
            assert_eq!(difference.to_string(), wanted);
        }
    }
}
