//! Published parts of checkpoints, recognized by their content: a part that was made for another
//! benchmark is found before it silently gives a score near zero.

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::normalize::NormStats;

const TEXT: &str = include_str!("../layouts/published.json");
/// The words that names of entries begin with, by benchmark.
const WORDS: [(&str, &[&str]); 3] = [
    ("calvin", &["calvin"]),
    ("libero", &["libero"]),
    ("simpler", &["simpler", "bridge", "widowx"]),
];

#[derive(Deserialize)]
struct Published {
    statistics: Vec<Part>,
    tokenizers: Vec<Part>,
}

/// A published part.
#[derive(Deserialize)]
struct Part {
    name: String,
    benchmark: String,
    /// Control steps per chunk that a tokenizer was trained with.
    horizon: Option<u16>,
    sha256: String,
}

/// Says for which other benchmark action ranges are, if they are known to be for another than
/// `benchmark`: by their entry's name, or as those of the release.
///
/// `benchmark` is the entry of a manifest, for example `simpler-paper`; one of the user's own is
/// never judged.
pub fn foreign_statistics(benchmark: &str, entry: &str, stats: &NormStats) -> Option<String> {
    let own = known(benchmark)?;
    let digest = digest(&statistics_text(stats));
    let part = published().statistics.into_iter().find(|part| part.sha256 == digest);
    if let Some(part) = part {
        return (part.benchmark != own).then(|| {
            format!("the action ranges are the release's `{}`, for {}", part.name, part.benchmark)
        });
    }
    let entry = entry.to_lowercase();
    let begins = |words: &[&str]| words.iter().any(|word| entry.starts_with(word));
    let (other, _) = WORDS.iter().find(|(name, words)| *name != own && begins(words))?;
    Some(format!("the action ranges `{entry}` are for {other} by their name"))
}

/// Says what a FAST tokenizer is for, if it is one of the release's for another benchmark or
/// another chunk than `benchmark` with `horizon` control steps.
///
/// `vocabulary` is [`FastTokenizer::digest`](crate::tokens::FastTokenizer::digest).
pub fn foreign_tokenizer(benchmark: &str, horizon: u16, vocabulary: &str) -> Option<String> {
    let own = known(benchmark)?;
    let part = published().tokenizers.into_iter().find(|part| part.sha256 == vocabulary)?;
    let trained = part.horizon.unwrap_or(horizon);
    (part.benchmark != own || trained != horizon).then(|| {
        format!(
            "the FAST tokenizer is the release's `{}`, for {} with chunks of {trained}; the layout \
             has chunks of {horizon}",
            part.name, part.benchmark
        )
    })
}

/// The benchmark of a manifest's entry, if it is one of the three.
fn known(entry: &str) -> Option<&'static str> {
    let first = entry.split('-').next()?;
    WORDS.iter().map(|(name, _)| *name).find(|name| *name == first)
}

/// The ranges as text, to six decimals: copies that were written anew are recognized.
fn statistics_text(stats: &NormStats) -> String {
    let row = |values: &[f64]| {
        values.iter().map(|value| format!("{value:.6}")).collect::<Vec<_>>().join(",")
    };
    format!("{};{}", row(&stats.q01), row(&stats.q99))
}

fn digest(text: &str) -> String {
    udvla_sims::protocol::hex(&Sha256::digest(text.as_bytes()))
}

fn published() -> Published {
    serde_json::from_str(TEXT).expect("the embedded file is valid, as tests show")
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::tokens::FastTokenizer;

    fn data() -> Option<PathBuf> {
        let data = std::env::var_os("UDVLA_TEST_DATA").map(|data| Path::new(&data).join("udvla"));
        if data.is_none() {
            println!(
                "skipped: udvla: released tokenizers and statistics are not here (UDVLA_TEST_DATA)"
            );
        }
        data
    }

    #[test]
    fn published_ranges_are_recognized_for_their_benchmark_alone() {
        let Some(data) = data() else { return };
        let cases = [
            ("normalizer_calvin", "calvin_abcd", "calvin"),
            ("normalizer_libero", "libero", "libero"),
            ("normalizer_libero_10", "libero", "libero"),
            ("normalizer_bridge", "bridge_robot", "simpler"),
        ];
        for (folder, entry, own) in cases {
            let file = data.join(folder).join("norm_stats.json");
            let stats = NormStats::open(&file, entry).unwrap();
            for benchmark in ["calvin", "libero", "simpler", "simpler-paper", "mine"] {
                let found = foreign_statistics(benchmark, "renamed", &stats);
                let fits = benchmark.starts_with(own) || benchmark == "mine";
                assert_eq!(found.is_none(), fits, "{folder} for {benchmark}: {found:?}");
                assert!(found.is_none_or(|text| text.contains(folder) && text.contains(own)));
            }
        }
    }

    #[test]
    fn ranges_named_after_another_benchmark_are_foreign() {
        let stats = NormStats { q01: vec![-1.0; 7], q99: vec![1.0; 7] };
        for (benchmark, entry) in
            [("calvin", "libero_90"), ("libero", "Bridge_v2"), ("simpler-paper", "calvin_d")]
        {
            let text = foreign_statistics(benchmark, entry, &stats).unwrap();
            assert!(text.contains("by their name"), "{text}");
        }
        for (benchmark, entry) in [
            ("calvin", "calvin_d"),
            ("simpler-paper", "bridge"),
            ("libero", "all"),
            ("x", "libero"),
        ] {
            assert_eq!(foreign_statistics(benchmark, entry, &stats), None);
        }
    }

    #[test]
    fn published_tokenizers_are_recognized_for_their_benchmark_and_chunk_alone() {
        let Some(data) = data() else { return };
        for part in published().tokenizers {
            let folder = data.join(&part.name);
            let files = ["tokenizer.json", "processor_config.json"].map(|name| folder.join(name));
            let tokenizer = FastTokenizer::open(&files[0], &files[1]).unwrap();
            let digest = tokenizer.digest();
            let trained = part.horizon.unwrap();
            assert_eq!(foreign_tokenizer(&part.benchmark, trained, digest), None);
            let text = foreign_tokenizer(&part.benchmark, trained + 1, digest).unwrap();
            assert!(text.contains(&part.name) && text.contains(&format!("chunks of {trained}")));
            for other in ["calvin", "libero", "simpler"] {
                let found = foreign_tokenizer(other, trained, digest);
                assert_eq!(found.is_some(), other != part.benchmark, "{other}: {found:?}");
            }
        }
    }
}
