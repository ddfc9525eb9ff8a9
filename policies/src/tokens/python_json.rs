//! JSON as Python writes it: `NaN`, `Infinity` and `-Infinity` stand where a number is missing.

use serde::de::DeserializeOwned;
use serde_json::Value;

/// Why a text is not the expected JSON.
#[derive(Debug)]
pub(crate) enum Fault {
    /// A value that is used is no number; its path, for example `norm_stats.calvin.q01[3]`.
    NoNumber(String),
    /// Anything else.
    Json(serde_json::Error),
}

/// Parses JSON in which values that are not used may be `NaN` or infinite.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Fault> {
    let error = match serde_json::from_str(text) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    let Some(text) = with_nulls(text) else { return Err(Fault::Json(error)) };
    let deserializer = &mut serde_json::Deserializer::from_str(&text);
    serde_path_to_error::deserialize(deserializer).map_err(fault)
}

/// The value as `T`; paths in a fault begin at the value.
pub(crate) fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, Fault> {
    serde_path_to_error::deserialize(value).map_err(fault)
}

fn fault(error: serde_path_to_error::Error<serde_json::Error>) -> Fault {
    let path = error.path().to_string();
    let error = error.into_inner();
    match error.to_string().contains("invalid type: null") {
        true => Fault::NoNumber(path),
        false => Fault::Json(error),
    }
}

/// The text with `null` instead of each word that is no JSON; `None` if there is none.
fn with_nulls(text: &str) -> Option<String> {
    const WORDS: [&str; 3] = ["NaN", "-Infinity", "Infinity"];
    let (mut out, mut rest, mut found) = (String::with_capacity(text.len()), text, false);
    while let Some(first) = rest.chars().next() {
        let length = match WORDS.iter().find(|word| rest.starts_with(**word)) {
            _ if first == '"' => string_length(rest),
            Some(word) => {
                found = true;
                out.push_str("null");
                rest = &rest[word.len()..];
                continue;
            }
            None => first.len_utf8(),
        };
        out.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    found.then_some(out)
}

/// Bytes of the string that `text` begins with, with both quotes.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    let end = text.bytes().enumerate().skip(1).find(|&(_, byte)| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    });
    end.map_or(text.len(), |(index, _)| index + 1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Used {
        used: BTreeMap<String, Vec<f64>>,
    }

    #[test]
    fn words_that_are_no_json_are_read_where_they_are_not_used() {
        let text = r#"{"mean": [NaN, -Infinity], "note": "NaN \" Infinity é", "std": {"a": Infinity},
            "used": {"a": [0.5, 1e-3]}}"#;
        assert_eq!(parse::<Used>(text).unwrap().used["a"], [0.5, 0.001]);
    }

    #[test]
    fn a_used_value_that_is_no_number_is_named_by_its_path() {
        for word in ["NaN", "Infinity", "-Infinity", "null"] {
            let text = format!(r#"{{"mean": NaN, "used": {{"a": [0], "b": [0, {word}]}}}}"#);
            let Err(Fault::NoNumber(path)) = parse::<Used>(&text) else { panic!("{word}") };
            assert_eq!(path, "used.b[1]");
        }
    }

    #[test]
    fn text_inside_strings_stays_and_other_errors_are_json_errors() {
        assert_eq!(with_nulls(r#"{"a\\": "NaN", "Infinity": "\"NaN"}"#), None);
        for text in ["", "NaN", r#"{"used": NaNa}"#, r#"{"used": 3, "x": NaN}"#] {
            assert!(parse::<Used>(text).is_err(), "{text}");
        }
        assert!(matches!(parse::<Used>("[nan]"), Err(Fault::Json(_))));
    }
}
