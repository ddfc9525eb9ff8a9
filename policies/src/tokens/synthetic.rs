//! Small valid tokenizer files for synthetic checkpoints.

use std::fmt::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};

use super::bytes::{alphabet, ordered};

/// Vocabulary size of the synthetic action tokenizer.
const ENTRIES: usize = 1024;
/// Number of single-byte characters; the vocabulary has no others.
const CHARACTERS: u8 = 128;
/// The character of the coefficient 0.
const ZERO: u8 = 64;
/// Coefficient units per action unit: with ten steps the coefficients of actions in -1..1 reach
/// sqrt(10) * 20 = 63.2, so every one has a character.
const SCALE: u32 = 20;

/// `tokenizer.json` and `processor_config.json` of a FAST tokenizer with 1024 entries.
///
/// Ids 0 to 127 are the coefficients -64 to 63, in units of 1/20; the others are pairs of
/// coefficients around 0. Any sequence of ids decodes to moderate numbers, and chunks of up to ten
/// steps with actions in -1..1 survive a round trip.
pub fn synthetic_json() -> (String, String) {
    let alphabet = alphabet();
    let mut vocab = Map::new();
    for code in 0..CHARACTERS {
        vocab.insert(alphabet[usize::from(code)].into(), code.into());
    }
    let mut merges = Vec::new();
    for (left, right) in central_pairs().into_iter().take(ENTRIES - usize::from(CHARACTERS)) {
        let [left, right] = [left, right].map(|code| alphabet[usize::from(code)]);
        vocab.insert(format!("{left}{right}"), vocab.len().into());
        merges.push(Value::from(format!("{left} {right}")));
    }
    let tokenizer = byte_level_json(&vocab, &merges);
    let config = json!({
        "scale": SCALE,
        "min_token": -i64::from(ZERO),
        "vocab_size": ENTRIES,
    });
    (format!("{tokenizer:#}\n"), format!("{config:#}\n"))
}

/// `tokenizer.json` of a byte-level tokenizer with this vocabulary and these pairs, as the Python
/// package writes it.
pub(super) fn byte_level_json(vocab: &Map<String, Value>, merges: &[Value]) -> Value {
    let stage = json!({
        "type": "ByteLevel",
        "add_prefix_space": false,
        "trim_offsets": true,
        "use_regex": true,
    });
    json!({
        "version": "1.0",
        "added_tokens": [],
        "normalizer": null,
        "pre_tokenizer": stage,
        "decoder": stage,
        "model": { "type": "BPE", "vocab": vocab, "merges": merges },
    })
}

/// A rank file of the text tokenizer with the 256 single bytes only, so that any text can be
/// encoded, one id per byte.
pub fn synthetic_ranks() -> String {
    ordered().zip(0..).fold(String::new(), |mut lines, (byte, rank)| {
        writeln!(lines, "{} {rank}", BASE64_STANDARD.encode([byte])).expect("text grows");
        lines
    })
}

/// All pairs of characters, those closest to [`ZERO`] first.
fn central_pairs() -> Vec<(u8, u8)> {
    let codes = || 0..CHARACTERS;
    let mut pairs: Vec<_> = codes().flat_map(|a| codes().map(move |b| (a, b))).collect();
    pairs.sort_by_key(|&(a, b)| (a.abs_diff(ZERO).max(b.abs_diff(ZERO)), a, b));
    pairs
}
