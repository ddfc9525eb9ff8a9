//! Fitting of what is not trained: action ranges, FAST, the words of the instructions.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::json;

use super::config::TrainingConfig;
use super::demonstrations::{ACTION, Demonstrations};
use super::error::TrainError;
use crate::files::write_atomically;
use crate::normalize::NormStats;
use crate::tokens::{FastFit, FastTokenizer, fit_fast, fit_ranks};
use crate::udvla::checkpoint::{CONFIG, Checkpoint, FAST_CONFIG, FAST_TOKENIZER, SINGLE};

/// Files within a checkpoint.
pub(super) const NORM_STATS: &str = "norm_stats.json";
pub(super) const FAST: &str = "fast";
pub(super) const VISION: &str = "vision";
pub(super) const RANKS: &str = "text/ranks.tiktoken";
pub(super) const VISION_TOKENS: &str = "text/vision_tokens.txt";

/// What was fitted.
#[derive(Debug, Clone, PartialEq)]
pub struct FittedActions {
    /// Half of each action dimension's range, which is centered at 0.
    pub ranges: Vec<f64>,
    /// Ids of the FAST tokenizer.
    pub vocabulary: usize,
    /// Mean and largest number of ids of a chunk.
    pub ids: (f64, usize),
    /// Largest error of an action after a round trip, in the robot's units, per dimension.
    pub errors: Vec<f64>,
}

/// Fits everything to the demonstrations and writes it into `folder`.
///
/// # Errors
/// A failed write; a chunk that does not fit the layout's slots.
pub fn fit_actions(
    config: &TrainingConfig,
    demonstrations: &Demonstrations,
    folder: &Path,
) -> Result<FittedActions, TrainError> {
    let horizon = usize::from(config.layout.horizon);
    let ranges = ranges(demonstrations, config.actions.smallest_range);
    let write = |name: &str, text: String| {
        let file = folder.join(name);
        write_atomically(&file, text.as_bytes())
            .map_err(|source| TrainError::Write { file, source })
    };
    let low: Vec<f64> = ranges.iter().map(|range| -range).collect();
    let stats = json!({ "norm_stats": { &config.benchmark: { "q01": low, "q99": ranges } } });
    write(NORM_STATS, format!("{stats:#}\n"))?;

    let stats = NormStats { q01: low, q99: ranges.clone() };
    let mut chunks = vec![];
    for episode in &demonstrations.episodes {
        for &step in &episode.steps {
            chunks.extend(episode.chunk(step, horizon).map(|chunk| normalized(&stats, chunk)));
        }
    }
    let fit = FastFit {
        scale: config.actions.scale,
        merges: config.actions.merges,
        horizon: config.layout.horizon,
        width: ACTION,
    };
    let (tokenizer, processor) = fit_fast(&chunks, &fit);
    write(&format!("{FAST}/{FAST_TOKENIZER}"), tokenizer)?;
    write(&format!("{FAST}/{FAST_CONFIG}"), processor)?;
    let instructions: BTreeSet<&str> =
        demonstrations.episodes.iter().map(|episode| &*episode.instruction).collect();
    write(RANKS, fit_ranks(instructions))?;
    let marks = ["token", "start", "end"].map(|mark| format!("<|image {mark}|>\n"));
    let codes =
        (0..config.vision.sizes.codebook_size).map(|code| format!("<|visual token {code:06}|>\n"));
    write(VISION_TOKENS, marks.into_iter().chain(codes).collect())?;

    let [a, b] = [FAST_TOKENIZER, FAST_CONFIG].map(|name| folder.join(FAST).join(name));
    let fast = FastTokenizer::open(&a, &b)?;
    let mut fitted = FittedActions {
        vocabulary: fast.vocabulary(),
        ids: (0.0, 0),
        errors: vec![0.0; ACTION],
        ranges,
    };
    for chunk in &chunks {
        let ids = fast.encode(chunk, horizon, ACTION);
        fitted.ids.0 += ids.len() as f64 / chunks.len() as f64;
        fitted.ids.1 = fitted.ids.1.max(ids.len());
        let back = fast.decode(&ids, horizon, ACTION);
        for (at, (value, back)) in chunk.iter().zip(&back).enumerate() {
            let error = (value - back).abs() * fitted.ranges[at % ACTION];
            fitted.errors[at % ACTION] = fitted.errors[at % ACTION].max(error);
        }
    }
    // Begin and end of actions take a slot each.
    if fitted.ids.1 + 2 > config.layout.action_slots {
        let (longest, slots) = (fitted.ids.1, config.layout.action_slots);
        let what = format!("has {slots} action slots, a chunk of the demonstrations {longest} ids");
        return Err(TrainError::content(folder, what));
    }
    Ok(fitted)
}

/// Takes over the tokenizers and action ranges of a checkpoint that was trained here into `folder`.
///
/// # Errors
/// A file that cannot be read or written; a folder that has others.
pub fn take_tokenizers(from: &Checkpoint, folder: &Path) -> Result<(), TrainError> {
    let source = from.manifest_file();
    let vision = [CONFIG, SINGLE].map(|name| format!("{VISION}/{name}"));
    let fast = [FAST_TOKENIZER, FAST_CONFIG].map(|name| format!("{FAST}/{name}"));
    let others = [NORM_STATS, RANKS, VISION_TOKENS].map(str::to_owned);
    for name in vision.into_iter().chain(fast).chain(others) {
        let (file, copy) = (source.with_file_name(&name), folder.join(&name));
        let bytes =
            crate::files::read(&file).map_err(|source| TrainError::Read { file, source })?;
        if copy.exists() {
            let own = crate::files::read(&copy)
                .map_err(|source| TrainError::Read { file: copy.clone(), source })?;
            if own != bytes {
                return Err(TrainError::content(&copy, "is of another training"));
            }
            continue;
        }
        write_atomically(&copy, &bytes)
            .map_err(|source| TrainError::Write { file: copy, source })?;
    }
    Ok(())
}

/// Half of the range of each dimension: its 1 % or 99 % quantile, whichever is farther from 0. So the
/// action 0 is 0 in the model's range.
fn ranges(demonstrations: &Demonstrations, smallest: f64) -> Vec<f64> {
    let range = |dimension: usize| {
        let labels = demonstrations.episodes.iter().flat_map(|episode| &episode.labels);
        let mut values: Vec<f32> = labels.skip(dimension).step_by(ACTION).copied().collect();
        values.sort_by(f32::total_cmp);
        let quantile = |share: f64| f64::from(values[(share * (values.len() - 1) as f64) as usize]);
        quantile(0.01).abs().max(quantile(0.99).abs()).max(smallest)
    };
    (0..ACTION).map(range).collect()
}

/// A chunk in the model's range, clipped to -1..=1.
pub(super) fn normalized(stats: &NormStats, mut chunk: Vec<f64>) -> Vec<f64> {
    for (at, value) in chunk.iter_mut().enumerate() {
        let (low, high) = (stats.q01[at % ACTION], stats.q99[at % ACTION]);
        *value = (2.0 * (*value - low) / (high - low) - 1.0).clamp(-1.0, 1.0);
    }
    chunk
}
