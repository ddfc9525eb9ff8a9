//! The FAST action tokenizer: a chunk of actions as byte pairs of its cosine coefficients.
//!
//! Each column of a chunk is transformed along time (orthonormal DCT-II), scaled and rounded;
//! every coefficient becomes one character and the text is byte-pair encoded. Decoding is
//! the inverse, with the released decoder's treatment of invalid sequences.
//!
//! Source: Pertsch et al. 2025 (FAST); `UniversalActionProcessor` of the UD-VLA release.

use std::collections::HashMap;
use std::path::Path;

use rustdct::DctPlanner;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use udvla_sims::protocol::hex;

use super::bytes::alphabet;
use super::error::{TokenError, read_json};
use super::merge::{Splitter, merge_pairs};

/// Rank and merged id of each pair of ids.
type Merges = HashMap<(u32, u32), (u32, u32)>;

/// Encodes action chunks as ids and decodes them.
#[derive(Debug)]
pub struct FastTokenizer {
    /// Bytes of each id; on their own not always valid UTF-8.
    bytes: HashMap<i64, Vec<u8>>,
    /// The id of each byte's character, if the vocabulary has it.
    byte_ids: [Option<u32>; 256],
    merges: Merges,
    splitter: Splitter,
    /// Coefficient units per action unit.
    scale: f64,
    /// Coefficient of the character U+0000.
    min_token: i64,
    /// Control steps and numbers per control step that it was made for, where it says so.
    chunk: (Option<u16>, Option<usize>),
    digest: String,
}

impl FastTokenizer {
    /// Reads the vocabulary from `tokenizer_json` and the scale from `processor_config_json`.
    ///
    /// # Errors
    /// An unreadable file, JSON that is not a byte-level byte-pair tokenizer, an unsupported feature
    /// (added tokens, a normalizer, a prefix space), a duplicate id, a merge outside the
    /// vocabulary, a scale that is not positive, a smallest coefficient that no character can stand
    /// for, two files that do not belong together.
    pub fn open(tokenizer_json: &Path, processor_config_json: &Path) -> Result<Self, TokenError> {
        let tokenizer: TokenizerFile = read_json(tokenizer_json)?;
        let config: ProcessorConfig = read_json(processor_config_json)?;
        let wrong = |what: String| TokenError::content(tokenizer_json, what);
        if let Some(what) = tokenizer.unsupported() {
            return Err(wrong(what.into()));
        }
        if !(config.scale.is_finite() && config.scale > 0.0) {
            let what = format!("has the scale {}", config.scale);
            return Err(TokenError::content(processor_config_json, what));
        }
        if config.min_token.unsigned_abs() > u64::from(u32::from(char::MAX)) {
            let what = format!("has the smallest coefficient {}", config.min_token);
            return Err(TokenError::content(processor_config_json, what));
        }
        let Model { vocab, merges, .. } = tokenizer.model;
        let tokenizer = Self {
            bytes: token_bytes(&vocab).map_err(wrong)?,
            byte_ids: alphabet().map(|character| vocab.get(&character.to_string()).copied()),
            merges: merge_table(&vocab, &merges).map_err(wrong)?,
            splitter: Splitter::gpt2(),
            scale: config.scale,
            min_token: config.min_token,
            chunk: (config.time_horizon, config.action_dim),
            digest: vocabulary_digest(&vocab),
        };
        match tokenizer.stands_still() {
            true => Ok(tokenizer),
            false => Err(TokenError::content(
                processor_config_json,
                format!(
                    "does not belong to `{}`: with its `min_token` {} the vocabulary has no \
                     character for the coefficient 0",
                    tokenizer_json.display(),
                    config.min_token
                ),
            )),
        }
    }

    /// SHA-256 of the vocabulary, in the order of its ids.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Control steps and numbers per control step that it was made for, where its configuration
    /// says so (`time_horizon`, `action_dim`).
    pub fn chunk(&self) -> (Option<u16>, Option<usize>) {
        self.chunk
    }

    /// Whether the coefficient 0 has ids.
    fn stands_still(&self) -> bool {
        let zero = self.character(0.0).to_string();
        zero.bytes().all(|byte| self.byte_ids[usize::from(byte)].is_some()) && self.min_token <= 0
    }

    /// Decodes FAST ids to a chunk of `horizon` rows of `width` numbers, row-major.
    ///
    /// As in the release, on which published figures depend:
    /// - an id outside the vocabulary decodes to nothing;
    /// - bytes that are not UTF-8 become U+FFFD, a coefficient above 65 000 ([`Self::invalid`]
    ///   counts them), and nothing is clipped;
    /// - surplus coefficients are dropped, missing ones are 0;
    /// - a negative id makes the whole chunk 0.
    pub fn decode(&self, ids: &[i64], horizon: usize, width: usize) -> Vec<f64> {
        let mut coefficients = vec![0.0; horizon * width];
        if ids.iter().all(|&id| id >= 0) {
            for (slot, character) in coefficients.iter_mut().zip(self.text(ids).chars()) {
                *slot = (i64::from(u32::from(character)) + self.min_token) as f64 / self.scale;
            }
        }
        transform(&mut coefficients, width, inverse_cosine);
        coefficients
    }

    /// Encodes a chunk of `horizon` rows of `width` numbers, row-major.
    ///
    /// Coefficients are clamped from below to the smallest with a character; characters outside the
    /// vocabulary are dropped.
    ///
    /// # Panics
    /// If `actions` does not hold `horizon * width` numbers.
    pub fn encode(&self, actions: &[f64], horizon: usize, width: usize) -> Vec<i64> {
        assert_eq!(actions.len(), horizon * width, "numbers in a chunk of {horizon} x {width}");
        let mut coefficients = actions.to_vec();
        transform(&mut coefficients, width, cosine);
        let text: String = coefficients.iter().map(|c| self.character(c * self.scale)).collect();
        self.splitter.pieces(&text).flat_map(|piece| self.encode_piece(piece)).collect()
    }

    /// Number of ids: one more than the largest.
    pub fn vocabulary(&self) -> usize {
        self.bytes.keys().max().map_or(0, |&id| id as usize + 1)
    }

    /// Number of characters of `ids` that are not valid UTF-8; each becomes an extreme coefficient.
    pub fn invalid(&self, ids: &[i64]) -> usize {
        self.text(ids).chars().filter(|&c| c == char::REPLACEMENT_CHARACTER).count()
    }

    /// The text of `ids`, with U+FFFD where their bytes are not UTF-8.
    fn text(&self, ids: &[i64]) -> String {
        let bytes: Vec<u8> =
            ids.iter().filter_map(|id| self.bytes.get(id)).flatten().copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The character of a scaled coefficient, rounded half to even.
    fn character(&self, coefficient: f64) -> char {
        let code = coefficient.round_ties_even() as i64 - self.min_token;
        let code = u32::try_from(code.max(0)).unwrap_or(u32::MAX);
        char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
    }

    /// The ids of one piece of text.
    fn encode_piece(&self, piece: &str) -> impl Iterator<Item = i64> + use<> {
        let mut symbols: Vec<u32> =
            piece.bytes().filter_map(|byte| self.byte_ids[usize::from(byte)]).collect();
        merge_pairs(&mut symbols, |left, right| self.merges.get(&(left, right)).copied());
        symbols.into_iter().map(i64::from)
    }
}

/// The parts of `tokenizer.json` that are used.
#[derive(Deserialize)]
struct TokenizerFile {
    #[serde(default)]
    added_tokens: Vec<serde_json::Value>,
    normalizer: Option<serde_json::Value>,
    pre_tokenizer: Stage,
    decoder: Stage,
    model: Model,
}

/// Pre-tokenizer or decoder.
#[derive(Deserialize)]
struct Stage {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    add_prefix_space: bool,
    #[serde(default = "yes")]
    use_regex: bool,
}

/// The byte-pair model.
#[derive(Deserialize)]
struct Model {
    #[serde(rename = "type")]
    kind: Option<String>,
    vocab: HashMap<String, u32>,
    /// Each `"left right"` or `["left", "right"]`, depending on the writer's version.
    merges: Vec<serde_json::Value>,
}

/// The parts of `processor_config.json` that are used.
#[derive(Deserialize)]
struct ProcessorConfig {
    scale: f64,
    min_token: i64,
    time_horizon: Option<u16>,
    action_dim: Option<usize>,
}

fn yes() -> bool {
    true
}

impl TokenizerFile {
    /// A feature of the file that [`FastTokenizer`] does not support.
    fn unsupported(&self) -> Option<&'static str> {
        if self.model.kind.as_deref().unwrap_or("BPE") != "BPE" {
            Some("has a model that is not BPE")
        } else if self.pre_tokenizer.kind != "ByteLevel" || self.decoder.kind != "ByteLevel" {
            Some("is not byte-level")
        } else if self.pre_tokenizer.add_prefix_space || !self.pre_tokenizer.use_regex {
            Some("has a pre-tokenizer with a prefix space or without a pattern")
        } else if !self.added_tokens.is_empty() || self.normalizer.is_some() {
            Some("has added tokens or a normaliser")
        } else {
            None
        }
    }
}

/// Bytes of each id.
///
/// Tokens are written in the byte alphabet; a token with any other character, such as U+0000, is
/// its own UTF-8 bytes.
fn token_bytes(vocab: &HashMap<String, u32>) -> Result<HashMap<i64, Vec<u8>>, String> {
    let byte_of: HashMap<char, u8> = alphabet().into_iter().zip(0..=u8::MAX).collect();
    let mut bytes = HashMap::new();
    for (token, &id) in vocab {
        let mapped: Option<Vec<u8>> = token.chars().map(|c| byte_of.get(&c).copied()).collect();
        let own = || token.as_bytes().to_vec();
        if bytes.insert(i64::from(id), mapped.unwrap_or_else(own)).is_some() {
            return Err(format!("has two tokens with the id {id}"));
        }
    }
    Ok(bytes)
}

fn vocabulary_digest(vocab: &HashMap<String, u32>) -> String {
    let mut lines: Vec<(u32, &String)> = vocab.iter().map(|(token, &id)| (id, token)).collect();
    lines.sort_unstable();
    let text: String = lines.into_iter().map(|(id, token)| format!("{id} {token}\n")).collect();
    hex(&Sha256::digest(text.as_bytes()))
}

/// Rank and merged id of each pair; of duplicate pairs the last counts.
fn merge_table(
    vocab: &HashMap<String, u32>,
    merges: &[serde_json::Value],
) -> Result<Merges, String> {
    let mut table = HashMap::new();
    for (merge, rank) in merges.iter().zip(0..) {
        let halves = match merge {
            serde_json::Value::String(both) => both.split_once(' '),
            serde_json::Value::Array(both) => match &both[..] {
                [left, right] => left.as_str().zip(right.as_str()),
                _ => None,
            },
            _ => None,
        };
        let (left, right) = halves.ok_or_else(|| format!("has a merge {merge} that is no pair"))?;
        let id = |token: &str| {
            vocab
                .get(token)
                .copied()
                .ok_or_else(|| format!("merges `{token}`, not in its vocabulary"))
        };
        let pair = (id(left)?, id(right)?);
        table.insert(pair, (rank, id(&format!("{left}{right}"))?));
    }
    Ok(table)
}

/// The coefficients of a chunk of rows of `width` numbers, row-major.
#[cfg(feature = "torch")]
pub(super) fn coefficients(actions: &[f64], width: usize) -> Vec<f64> {
    let mut coefficients = actions.to_vec();
    transform(&mut coefficients, width, cosine);
    coefficients
}

/// Applies `along_time` to every column of `rows`, rows of `width` numbers.
fn transform(rows: &mut [f64], width: usize, along_time: fn(&mut [f64])) {
    if rows.is_empty() {
        return;
    }
    for column in 0..width {
        let mut series: Vec<f64> = rows.iter().skip(column).step_by(width).copied().collect();
        along_time(&mut series);
        for (slot, value) in rows.iter_mut().skip(column).step_by(width).zip(series) {
            *slot = value;
        }
    }
}

/// Orthonormal DCT-II, as `scipy.fft.dct(norm="ortho")`.
fn cosine(series: &mut [f64]) {
    let n = series.len() as f64;
    DctPlanner::new().plan_dct2(series.len()).process_dct2(series);
    series.iter_mut().for_each(|c| *c *= (2.0 / n).sqrt());
    if let [mean, ..] = series {
        *mean *= 0.5_f64.sqrt();
    }
}

/// Orthonormal DCT-III, the inverse of [`cosine`].
fn inverse_cosine(series: &mut [f64]) {
    let n = series.len() as f64;
    series.iter_mut().for_each(|c| *c *= (2.0 / n).sqrt());
    if let [mean, ..] = series {
        // The library halves the first coefficient.
        *mean *= 2.0_f64.sqrt();
    }
    DctPlanner::new().plan_dct3(series.len()).process_dct3(series);
}

#[cfg(test)]
#[path = "fast_tests.rs"]
mod tests;
