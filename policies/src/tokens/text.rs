//! The Emu3 text tokenizer: byte-pair encoding from a rank file, and the special tokens.

use std::collections::HashMap;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use regex::Regex;
use unicode_normalization::UnicodeNormalization;

use super::error::{TokenError, read_text};
use super::merge::{Splitter, merge_pairs};

/// Number of `<|extra_i|>` tokens.
const EXTRAS: usize = 205;
/// Default number of image codes.
const IMAGE_CODES: usize = 32768;

/// Encodes instructions.
///
/// Ids, with `n` ranks in the file (151643 in the published one): byte strings 0..n, then
/// `<|endoftext|>`, `<|im_start|>`, `<|im_end|>` at n, n+1, n+2, `<|extra_0|>` to
/// `<|extra_204|>` from n+3, `<|image token|>`, `<|image start|>`, `<|image end|>` from n+208 and
/// the image codes `<|visual token 000000|>` and so on from n+211.
///
/// Source: the tokenizer of the Emu3 release, `emu3/mllm/tokenization_emu3.py`.
#[derive(Debug)]
pub struct TextTokenizer {
    /// Rank, which is also the id, of each byte string.
    ranks: HashMap<Vec<u8>, u32>,
    /// The byte string of each rank.
    tokens: Vec<Vec<u8>>,
    /// Ids of the special tokens by their text.
    specials: HashMap<String, i64>,
    /// Pattern of special tokens.
    special_form: Regex,
    splitter: Splitter,
}

impl TextTokenizer {
    /// Reads `ranks` (lines of base64, a space and a rank) and the names of the image tokens from
    /// `vision_tokens`, one per line; by default the 3 + 32768 published names.
    ///
    /// # Errors
    /// An unreadable file; an invalid line; ranks with gaps or duplicates; a missing byte; a special
    /// token that is duplicate or not of the form `<|name|>`.
    pub fn open(ranks: &Path, vision_tokens: Option<&Path>) -> Result<Self, TokenError> {
        let tokens = read_ranks(ranks)?;
        let by_token = index(&tokens, ranks)?;
        let special_form = Regex::new(r"<\|[^|]*\|>").expect("the pattern is constant");
        let vision = match vision_tokens {
            Some(path) => read_names(path, &special_form)?,
            None => published_names(),
        };
        let source = vision_tokens.unwrap_or(ranks);
        let specials = number_specials(tokens.len(), vision)
            .map_err(|name| TokenError::content(source, format!("names `{name}` twice")))?;
        let splitter = Splitter::emu3();
        Ok(Self { ranks: by_token, tokens, specials, special_form, splitter })
    }

    /// Ids of `text` after NFC normalization, with special tokens recognized anywhere. Nothing is
    /// added.
    pub fn encode(&self, text: &str) -> Vec<i64> {
        let text: String = text.nfc().collect();
        let mut ids = Vec::new();
        let mut start = 0;
        for name in self.special_form.find_iter(&text) {
            if let Some(&id) = self.specials.get(name.as_str()) {
                self.encode_plain(&text[start..name.start()], &mut ids);
                ids.push(id);
                start = name.end();
            }
        }
        self.encode_plain(&text[start..], &mut ids);
        ids
    }

    /// Number of ids: byte strings and special tokens, 184622 for the published files.
    pub fn vocabulary(&self) -> usize {
        self.tokens.len() + self.specials.len()
    }

    /// The id of a special token, such as `<|extra_203|>`.
    pub fn special(&self, name: &str) -> Option<i64> {
        self.specials.get(name).copied()
    }

    /// Appends the ids of text without special tokens.
    fn encode_plain(&self, text: &str, ids: &mut Vec<i64>) {
        for piece in self.splitter.pieces(text) {
            if let Some(&rank) = self.ranks.get(piece.as_bytes()) {
                ids.push(rank.into());
                continue;
            }
            let byte = |byte| self.ranks[std::slice::from_ref(byte)];
            let mut symbols: Vec<u32> = piece.as_bytes().iter().map(byte).collect();
            merge_pairs(&mut symbols, |left, right| {
                let whole =
                    [&self.tokens[left as usize][..], &self.tokens[right as usize]].concat();
                self.ranks.get(&whole).map(|&rank| (rank, rank))
            });
            ids.extend(symbols.into_iter().map(i64::from));
        }
    }
}

/// The byte strings of a rank file, by rank.
fn read_ranks(path: &Path) -> Result<Vec<Vec<u8>>, TokenError> {
    let mut tokens = HashMap::new();
    for (index, line) in read_text(path)?.lines().enumerate() {
        let broken =
            |what: &str| TokenError::Line { path: path.into(), line: index + 1, what: what.into() };
        if line.trim().is_empty() {
            continue;
        }
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [token, rank] = fields[..] else {
            return Err(broken("is not a token and a rank"));
        };
        let token =
            BASE64_STANDARD.decode(token).map_err(|_| broken("has a token not in base64"))?;
        let rank: u32 = rank.parse().map_err(|_| broken("has a rank that is not a number"))?;
        if tokens.insert(rank, token).is_some() {
            return Err(broken("repeats a rank"));
        }
    }
    (0..tokens.len() as u32)
        .map(|rank| {
            let missing = || TokenError::content(path, format!("lacks rank {rank}"));
            tokens.remove(&rank).ok_or_else(missing)
        })
        .collect()
}

/// The ranks by byte string; all single bytes must be present.
fn index(tokens: &[Vec<u8>], path: &Path) -> Result<HashMap<Vec<u8>, u32>, TokenError> {
    let ranks: HashMap<_, _> = tokens.iter().cloned().zip(0_u32..).collect();
    if ranks.len() != tokens.len() {
        return Err(TokenError::content(path, "has two ranks for one token"));
    }
    match (0..=u8::MAX).find(|&byte| !ranks.contains_key(&[byte][..])) {
        Some(byte) => Err(TokenError::content(path, format!("lacks the single byte {byte}"))),
        None => Ok(ranks),
    }
}

/// The names in a list of special tokens; blank lines and white space around names are ignored.
fn read_names(path: &Path, form: &Regex) -> Result<Vec<String>, TokenError> {
    let text = read_text(path)?;
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    lines
        .filter(|(_, name)| !name.is_empty())
        .map(|(line, name)| match form.find(name) {
            Some(whole) if whole.as_str() == name => Ok(name.to_owned()),
            _ => {
                let what = "is not a special token `<|name|>`".into();
                Err(TokenError::Line { path: path.into(), line, what })
            }
        })
        .collect()
}

/// The image tokens of the published list.
fn published_names() -> Vec<String> {
    let marks = ["token", "start", "end"].map(|mark| format!("<|image {mark}|>"));
    let codes = (0..IMAGE_CODES).map(|code| format!("<|visual token {code:06}|>"));
    marks.into_iter().chain(codes).collect()
}

/// Assigns ids to all special tokens from `first` on; the error is the first duplicate name.
fn number_specials(first: usize, vision: Vec<String>) -> Result<HashMap<String, i64>, String> {
    let text = ["endoftext", "im_start", "im_end"].map(|name| format!("<|{name}|>"));
    let extras = (0..EXTRAS).map(|i| format!("<|extra_{i}|>"));
    let mut specials = HashMap::new();
    for (name, id) in text.into_iter().chain(extras).chain(vision).zip(first as i64..) {
        if specials.contains_key(&name) {
            return Err(name);
        }
        specials.insert(name, id);
    }
    Ok(specials)
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
