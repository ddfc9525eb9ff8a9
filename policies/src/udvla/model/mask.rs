//! The four attention masks as runs of queries, without tensors.

use crate::udvla::checkpoint::{Attention, Layout, SpecialIds, Target};

impl Attention {
    /// The mask of a sequence, as runs that cover it in order.
    ///
    /// `end_of_actions` is the sequence position of the first EOA among the action slots. The two
    /// released masks treat everything after it as text again, which nothing before it attends to.
    /// The paper's mask depends on slots only: slots after an EOA stay in the action block, as
    /// MASK.
    ///
    /// Source: `build_blockwise_attn_mask`, `attn_mask_image_blocks_bidir_after_second` and
    /// `build_blockwise_causal_attn_mask` of the released model code.
    pub fn runs(self, parts: &Parts, end_of_actions: Option<usize>) -> Vec<Run> {
        let total = parts.total();
        let cut = end_of_actions.map_or(total, |position| position + 1);
        let mut runs = vec![Run::causal(0, parts.text)];
        match self {
            Self::Causal => return vec![Run::causal(0, total)],
            Self::Released => runs.push(Run::bidirectional(parts.text, cut)),
            Self::Hybrid => {
                let [current, future, actions] = parts.ends();
                runs.push(Run::bidirectional(parts.text, current));
                runs.push(Run::bidirectional(current, future));
                runs.push(Run::bidirectional(future, actions));
            }
            Self::ReleasedBidirectional => {
                // Blocks count from 1: current images, future images, actions.
                let mut start = parts.text;
                for length in parts.images.iter().chain(&parts.future).take(2) {
                    runs.push(Run::bidirectional(start, start + length));
                    start += length;
                }
                runs.push(Run::bidirectional(start, cut));
            }
        }
        if cut < total && self != Self::Hybrid {
            runs.push(Run::causal(cut, total));
        }
        runs.retain(|run| run.start < run.end);
        runs
    }
}

/// Lengths of the parts of a sequence: text, current images, generated images, actions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// Text, including the begin-of-sequence token.
    pub text: usize,
    /// Each current image, including its marks, in order.
    pub images: Vec<usize>,
    /// Each generated image, likewise; empty if only actions are generated.
    pub future: Vec<usize>,
    /// Action slots, including the begin-of-actions mark.
    pub actions: usize,
}

impl Parts {
    /// A sequence that generates as many images as it shows.
    pub fn new(text: usize, images: Vec<usize>, actions: usize) -> Self {
        Self { text, future: images.clone(), images, actions }
    }

    /// The sequence of a benchmark's layout with `text` ids of text.
    pub fn of_layout(layout: &Layout, text: usize, target: Target) -> Self {
        Self {
            text,
            images: layout.image_positions(),
            future: layout.generated_positions(target),
            actions: layout.action_slots,
        }
    }

    /// A sequence of text only.
    pub fn of_text(text: usize) -> Self {
        Self { text, images: vec![], future: vec![], actions: 0 }
    }

    /// Positions before the generated block.
    pub fn prompt(&self) -> usize {
        self.text + self.images.iter().sum::<usize>()
    }

    /// All positions.
    pub fn total(&self) -> usize {
        self.prompt() + self.future.iter().sum::<usize>() + self.actions
    }

    /// Ends of current images, future images and actions.
    fn ends(&self) -> [usize; 3] {
        [self.prompt(), self.total() - self.actions, self.total()]
    }
}

/// Consecutive queries with one attention rule. All attend to every position before the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The first query.
    pub start: usize,
    /// One past the last query; no query of the run attends to keys from here on.
    pub end: usize,
    /// What the queries attend to within the run.
    pub order: Order,
}

/// What the queries of a run attend to within the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Themselves and earlier positions.
    Causal,
    /// All positions of the run.
    Bidirectional,
}

impl Run {
    fn causal(start: usize, end: usize) -> Self {
        Self { start, end, order: Order::Causal }
    }

    fn bidirectional(start: usize, end: usize) -> Self {
        Self { start, end, order: Order::Bidirectional }
    }

    /// Whether `query`, a position of this run, attends to `key`.
    pub fn attends(&self, query: usize, key: usize) -> bool {
        match self.order {
            Order::Causal => key <= query,
            Order::Bidirectional => key < self.end,
        }
    }
}

/// The released mask of an arbitrary sequence of ids: spans from a begin to an end mark, inclusive,
/// are bidirectional, everything else is causal.
///
/// Equals [`Attention::runs`] for sequences that [`Parts`] describes. The ids must not contain
/// padding.
///
/// Source: `build_blockwise_attn_mask` of the released model code.
pub fn released_runs(ids: &[i64], special: &SpecialIds) -> Vec<Run> {
    let mut level = 0_i64;
    let mut runs: Vec<Run> = vec![];
    for (at, &id) in ids.iter().enumerate() {
        let begins = [special.boi_token_id, special.boa_token_id].contains(&id);
        let ends = [special.eoi_token_id, special.eoa_token_id].contains(&id);
        level += i64::from(begins) - i64::from(ends);
        let order = match level > 0 || begins || ends {
            true => Order::Bidirectional,
            false => Order::Causal,
        };
        match runs.last_mut() {
            Some(run) if run.order == order => run.end = at + 1,
            Some(_) | None => runs.push(Run { start: at, end: at + 1, order }),
        }
    }
    runs
}

/// The runs of the queries from `first` on.
///
/// # Panics
/// If `first` splits a bidirectional run, whose hidden states depend on the omitted positions.
pub fn from_position(runs: &[Run], first: usize) -> Vec<Run> {
    for run in runs.iter().filter(|run| (run.start + 1..run.end).contains(&first)) {
        assert_eq!(run.order, Order::Causal, "position {first} splits {run:?}");
    }
    after(runs, first)
}

/// The runs of the queries from `first` on, which may split a bidirectional run.
pub fn after(runs: &[Run], first: usize) -> Vec<Run> {
    let later = runs.iter().filter(|run| run.end > first);
    later.map(|run| Run { start: run.start.max(first), ..*run }).collect()
}

/// The runs of the queries before `end`, which attend to nothing from there on.
pub fn before(runs: &[Run], end: usize) -> Vec<Run> {
    let earlier = runs.iter().filter(|run| run.start < end);
    earlier.map(|run| Run { end: run.end.min(end), ..*run }).collect()
}

/// Number of leading positions whose hidden states are independent of everything from position
/// `fixed` on.
pub fn cacheable(runs: &[Run], fixed: usize) -> usize {
    let mut cacheable = 0;
    for run in runs {
        match run.order {
            Order::Causal => cacheable = run.end.min(fixed),
            Order::Bidirectional if run.end <= fixed => cacheable = run.end,
            Order::Bidirectional => return cacheable,
        }
    }
    cacheable
}

#[cfg(test)]
#[path = "mask_tests.rs"]
mod tests;
