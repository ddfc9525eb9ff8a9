//! Everything that is done with the tokenizers' files, for files that nobody wrote. The property
//! tests and the fuzz target both call it.

use std::path::{Path, PathBuf};

use udvla_policies::normalize::NormStats;
use udvla_policies::tokens::{FastTokenizer, TextTokenizer};

/// Largest chunk of the published checkpoints: steps and numbers per step.
const CHUNK: (usize, usize) = (10, 7);

/// Opens an action tokenizer from its two files and, where they are accepted, decodes `ids` and
/// encodes what comes out. Whether they were accepted.
pub fn fast(folder: &Path, tokenizer: &[u8], processor: &[u8], ids: &[i64]) -> bool {
    let files =
        (file(folder, "tokenizer.json", tokenizer), file(folder, "processor.json", processor));
    let opened = match FastTokenizer::open(&files.0, &files.1) {
        Ok(opened) => opened,
        Err(error) => return refused(&error),
    };
    let (horizon, width) = CHUNK;
    let actions = opened.decode(ids, horizon, width);
    assert_eq!(actions.len(), horizon * width);
    assert!(opened.invalid(ids) <= ids.len() * 4096, "more characters than the ids can have");
    let vocabulary = i64::try_from(opened.vocabulary()).expect("a small number");
    let again = opened.encode(&actions, horizon, width);
    assert!(again.iter().all(|id| (0..vocabulary).contains(id)), "{again:?}");
    true
}

/// Opens a text tokenizer from its ranks and names, and encodes a text. Whether it was accepted.
pub fn text(folder: &Path, ranks: &[u8], names: Option<&[u8]>, sample: &str) -> bool {
    let ranks = file(folder, "ranks", ranks);
    let names = names.map(|names| file(folder, "names", names));
    let opened = match TextTokenizer::open(&ranks, names.as_deref()) {
        Ok(opened) => opened,
        Err(error) => return refused(&error),
    };
    let vocabulary = i64::try_from(opened.vocabulary()).expect("a small number");
    let ids = opened.encode(sample);
    assert!(ids.iter().all(|id| (0..vocabulary).contains(id)), "{ids:?}");
    assert!(opened.special("<|image start|>").is_none_or(|id| id < vocabulary));
    true
}

/// Opens the ranges of actions. Whether they were accepted.
pub fn statistics(folder: &Path, bytes: &[u8]) -> bool {
    match NormStats::open(&file(folder, "norm_stats.json", bytes), "calvin_abcd") {
        Ok(statistics) => {
            let mut row = vec![0.5; statistics.q01.len()];
            statistics.unnormalize(&mut row);
            true
        }
        Err(error) => refused(&error),
    }
}

fn file(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).expect("a temporary folder can be written to");
    path
}

/// One clear message.
fn refused(error: &dyn std::error::Error) -> bool {
    assert!(!error.to_string().is_empty());
    false
}
