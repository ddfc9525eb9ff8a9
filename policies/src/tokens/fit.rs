//! Tokenizers fitted to data: FAST to action chunks, text ranks to instructions.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};

use super::bytes::{alphabet, ordered};
use super::fast::coefficients;
use super::merge::Splitter;
use super::synthetic::byte_level_json;

/// A byte string that pairs were merged into.
type Symbol = Vec<u8>;

/// What FAST is fitted with.
#[derive(Debug, Clone, Copy)]
pub struct FastFit {
    /// Coefficient units per action unit.
    pub scale: f64,
    /// Number of pairs to merge, the most frequent first.
    pub merges: usize,
    /// Control steps per chunk.
    pub horizon: u16,
    /// Numbers per control step.
    pub width: usize,
}

/// `tokenizer.json` and `processor_config.json` of a FAST tokenizer for chunks whose numbers lie in
/// -1..=1, `[horizon, width]` each, row-major.
///
/// Every coefficient that such a chunk can have is a character. Without merges each of the
/// `horizon * width` coefficients has one id.
///
/// # Panics
/// If the largest coefficient is above 63, so that not every one is a byte of its own.
pub fn fit_fast(chunks: &[Vec<f64>], fit: &FastFit) -> (String, String) {
    let largest = (f64::from(fit.horizon).sqrt() * fit.scale).ceil() as u8;
    assert!(largest <= 63, "coefficients up to {largest}");
    let smallest = -i64::from(largest);
    let text = |chunk: &Vec<f64>| -> String {
        let codes = coefficients(chunk, fit.width).into_iter().map(|c| {
            (c * fit.scale).round_ties_even().clamp(-f64::from(largest), f64::from(largest)) as i64
        });
        codes.map(|code| char::from((code - smallest) as u8)).collect()
    };
    let splitter = Splitter::gpt2();
    let mut pieces: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    for text in chunks.iter().map(text) {
        for piece in splitter.pieces(&text) {
            *pieces.entry(piece.as_bytes().to_vec()).or_default() += 1;
        }
    }
    let merges = learn_merges(pieces, |merges, pair| merges < fit.merges && pair > 1);
    let alphabet = alphabet();
    let written = |symbol: &Symbol| -> String {
        symbol.iter().map(|&byte| alphabet[usize::from(byte)]).collect()
    };
    let mut vocab = Map::new();
    for code in 0..=2 * largest {
        vocab.insert(written(&vec![code]), code.into());
    }
    let mut lines = vec![];
    for [left, right] in &merges {
        vocab.insert(written(&[&left[..], right].concat()), vocab.len().into());
        lines.push(Value::from(format!("{} {}", written(left), written(right))));
    }
    let size = vocab.len();
    let tokenizer = byte_level_json(&vocab, &lines);
    let config = json!({
        "scale": fit.scale,
        "min_token": smallest,
        "vocab_size": size,
        "time_horizon": fit.horizon,
        "action_dim": fit.width,
    });
    (format!("{tokenizer:#}\n"), format!("{config:#}\n"))
}

/// A rank file of the text tokenizer in which every word of the texts is one id, after the 256 single
/// bytes.
pub fn fit_ranks<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let splitter = Splitter::emu3();
    let mut words: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    for text in texts {
        for piece in splitter.pieces(text) {
            *words.entry(piece.as_bytes().to_vec()).or_default() += 1;
        }
    }
    let merges = learn_merges(words, |_, _| true);
    let bytes = ordered().map(|byte| vec![byte]);
    let all = bytes.chain(merges.into_iter().map(|pair| pair.concat()));
    all.zip(0..).fold(String::new(), |mut lines, (symbol, rank)| {
        writeln!(lines, "{} {rank}", BASE64_STANDARD.encode(symbol)).expect("text grows");
        lines
    })
}

/// The pairs of byte-pair encoding, learned from pieces of text and how often each occurs: the most
/// frequent pair first (ties: the smaller), as long as `wanted` of the number of pairs so far and
/// the frequency of the next.
fn learn_merges(
    pieces: BTreeMap<Vec<u8>, usize>,
    wanted: impl Fn(usize, usize) -> bool,
) -> Vec<[Symbol; 2]> {
    let split = |piece: Vec<u8>| piece.into_iter().map(|byte| vec![byte]).collect::<Vec<Symbol>>();
    let mut pieces: Vec<(Vec<Symbol>, usize)> =
        pieces.into_iter().map(|(piece, count)| (split(piece), count)).collect();
    let mut merges = vec![];
    loop {
        let mut counts: HashMap<[&Symbol; 2], usize> = HashMap::new();
        for (symbols, count) in &pieces {
            for pair in symbols.windows(2) {
                *counts.entry([&pair[0], &pair[1]]).or_default() += count;
            }
        }
        let best = counts.into_iter().max_by(|(a, n), (b, m)| n.cmp(m).then(b.cmp(a)));
        let Some((pair, _)) = best.filter(|&(_, count)| wanted(merges.len(), count)) else {
            return merges;
        };
        let pair = pair.map(Symbol::clone);
        for (symbols, _) in &mut pieces {
            let mut at = 0;
            while at + 1 < symbols.len() {
                if symbols[at] == pair[0] && symbols[at + 1] == pair[1] {
                    let right = symbols.remove(at + 1);
                    symbols[at].extend(right);
                }
                at += 1;
            }
        }
        merges.push(pair);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FastTokenizer, TextTokenizer};
    use super::*;
    use crate::formula;

    fn chunks() -> Vec<Vec<f64>> {
        let smooth = |i: usize| {
            let phase = formula::uniform(&format!("chunk/{i}"), 7);
            (0..70).map(|at| (phase[at % 7] * 6.0 + 0.2 * (at / 7) as f64).sin()).collect()
        };
        (0..50).map(smooth).collect()
    }

    fn open(fit: &FastFit) -> FastTokenizer {
        let (tokenizer, config) = fit_fast(&chunks(), fit);
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
        std::fs::write(&a, tokenizer).unwrap();
        std::fs::write(&b, config).unwrap();
        FastTokenizer::open(&a, &b).unwrap()
    }

    #[test]
    fn without_merges_every_coefficient_has_one_id_and_chunks_come_back() {
        let fast = open(&FastFit { scale: 10.0, merges: 0, horizon: 10, width: 7 });
        assert_eq!((fast.vocabulary(), fast.chunk()), (65, (Some(10), Some(7))));
        let extremes = [vec![1.0; 70], vec![-1.0; 70]];
        for chunk in chunks().iter().chain(&extremes) {
            let ids = fast.encode(chunk, 10, 7);
            assert_eq!(ids.len(), 70);
            let back = fast.decode(&ids, 10, 7);
            let worst = chunk.iter().zip(&back).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(worst < 0.16, "{worst}");
        }
    }

    #[test]
    fn merges_shorten_chunks_and_change_none() {
        let plain = open(&FastFit { scale: 8.0, merges: 0, horizon: 10, width: 7 });
        let merged = open(&FastFit { scale: 8.0, merges: 40, horizon: 10, width: 7 });
        let length = |fast: &FastTokenizer| -> usize {
            chunks().iter().map(|chunk| fast.encode(chunk, 10, 7).len()).sum()
        };
        assert!(length(&merged) * 10 < length(&plain) * 9);
        for chunk in chunks() {
            let [a, b] =
                [&plain, &merged].map(|fast| fast.decode(&fast.encode(&chunk, 10, 7), 10, 7));
            assert_eq!(a, b);
        }
    }

    #[test]
    fn known_words_are_one_id_and_others_are_spelled() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ranks");
        std::fs::write(&file, fit_ranks(["pick up the milk", "pick up the butter"])).unwrap();
        let text = TextTokenizer::open(&file, None).unwrap();
        assert_eq!(text.encode("pick up the milk").len(), 4);
        assert_eq!(text.encode("pick up the egg").len(), 3 + 4);
        assert_eq!(text.encode("1*7*7").len(), 5);
    }
}
