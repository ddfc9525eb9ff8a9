//! Which position sees which: the four masks as runs of queries, free of tensors.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::config::SpecialIds;

/// Which positions of a sequence see one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attention {
    /// The released code's mask: text causal, everything behind it one bidirectional block.
    Released,
    /// The paper's mask: text causal; current views, future views and actions each bidirectional,
    /// causal across.
    Hybrid,
    /// The released code's ablation: each view a bidirectional block of its own, from the third
    /// block on all blocks see one another.
    ReleasedBidirectional,
    /// Every position sees itself and what stands before it.
    Causal,
}

impl Attention {
    /// All four, in the order of the documentation.
    pub const ALL: [Self; 4] =
        [Self::Released, Self::Hybrid, Self::ReleasedBidirectional, Self::Causal];

    /// Its name on the command line and in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Released => "released",
            Self::Hybrid => "hybrid",
            Self::ReleasedBidirectional => "released-bidirectional",
            Self::Causal => "causal",
        }
    }

    /// What every position of `parts` sees, as runs that cover the sequence in order.
    ///
    /// `end_of_actions` is the sequence position of the first EOA among the action slots: for the
    /// two released masks whatever stands behind it counts as text again, so that nothing before
    /// it sees it. The paper's mask goes by slots alone and keeps the slots behind an EOA in the
    /// action block, where they stand as MASK.
    ///
    /// Source: `build_blockwise_attn_mask`, `attn_mask_image_blocks_bidir_after_second` and
    /// `build_blockwise_causal_attn_mask` of the released model code.
    pub fn runs(self, parts: &Parts, end_of_actions: Option<usize>) -> Vec<Run> {
        let total = parts.total();
        let cut = end_of_actions.map_or(total, |position| position + 1);
        let mut runs = vec![Run::causal(0, parts.text)];
        match self {
            Self::Causal => return vec![Run::causal(0, total)],
            Self::Released => runs.push(Run::mutual(parts.text, cut)),
            Self::Hybrid => {
                let [current, future, actions] = parts.ends();
                runs.push(Run::mutual(parts.text, current));
                runs.push(Run::mutual(current, future));
                runs.push(Run::mutual(future, actions));
            }
            Self::ReleasedBidirectional => {
                // Blocks count from 1: current views, future views, actions.
                let lengths = parts.views.iter().chain(&parts.future).take(2);
                let merged = lengths.fold(parts.text, |start, length| {
                    runs.push(Run::mutual(start, start + length));
                    start + length
                });
                runs.push(Run::mutual(merged, cut));
            }
        }
        if cut < total && self != Self::Hybrid {
            runs.push(Run::causal(cut, total));
        }
        runs.retain(|run| run.start < run.end);
        runs
    }
}

impl fmt::Display for Attention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Attention {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|attention| attention.name() == text).ok_or_else(|| {
            format!("`{text}` is not one of released, hybrid, released-bidirectional, causal")
        })
    }
}

/// How many positions each part of a sequence has: text, current views, generated views, actions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// Text, the opening token included.
    pub text: usize,
    /// Each view that is shown, its marks included, in order.
    pub views: Vec<usize>,
    /// Each view that is generated, likewise; empty where only actions are.
    pub future: Vec<usize>,
    /// Action slots, the opening mark included.
    pub actions: usize,
}

impl Parts {
    /// A sequence that generates every view that it shows.
    pub fn new(text: usize, views: Vec<usize>, actions: usize) -> Self {
        Self { text, future: views.clone(), views, actions }
    }

    /// A sequence of text alone.
    pub fn of_text(text: usize) -> Self {
        Self { text, views: vec![], future: vec![], actions: 0 }
    }

    /// Positions before the generated block.
    pub fn prompt(&self) -> usize {
        self.text + self.views.iter().sum::<usize>()
    }

    /// All positions.
    pub fn total(&self) -> usize {
        self.prompt() + self.future.iter().sum::<usize>() + self.actions
    }

    /// Where current views, future views and actions end.
    fn ends(&self) -> [usize; 3] {
        [self.prompt(), self.total() - self.actions, self.total()]
    }
}

/// Consecutive queries that follow one rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The first query.
    pub start: usize,
    /// Behind the last query; no query of the run sees a key from here on.
    pub end: usize,
    /// Whether the queries of the run see one another or only what stands before them.
    pub order: Order,
}

/// What the queries of one run see of each other. All of them see everything before the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Each sees itself and the ones before it.
    Causal,
    /// All see all.
    Mutual,
}

impl Run {
    fn causal(start: usize, end: usize) -> Self {
        Self { start, end, order: Order::Causal }
    }

    fn mutual(start: usize, end: usize) -> Self {
        Self { start, end, order: Order::Mutual }
    }

    /// Whether `query`, a position of this run, sees `key`.
    pub fn sees(&self, query: usize, key: usize) -> bool {
        match self.order {
            Order::Causal => key <= query,
            Order::Mutual => key < self.end,
        }
    }
}

/// What every position of any sequence of `ids` sees under the released mask: stretches between a
/// begin and an end mark, the marks included, are bidirectional, all else is causal.
///
/// Of a sequence that [`Parts`] describes it is [`Attention::runs`]; this one needs no parts.
/// Padding, which nothing sees, must not be among the ids.
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
            true => Order::Mutual,
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
/// If `first` cuts a mutual run: its states then depend on what would be left out.
pub fn from_position(runs: &[Run], first: usize) -> Vec<Run> {
    for run in runs.iter().filter(|run| (run.start + 1..run.end).contains(&first)) {
        assert_eq!(run.order, Order::Causal, "position {first} cuts {run:?}");
    }
    behind(runs, first)
}

/// The runs of the queries from `first` on, whether or not it cuts a mutual run.
pub fn behind(runs: &[Run], first: usize) -> Vec<Run> {
    let rest = runs.iter().filter(|run| run.end > first);
    rest.map(|run| Run { start: run.start.max(first), ..*run }).collect()
}

/// The runs of the queries before `end`, which see nothing from there on.
pub fn before(runs: &[Run], end: usize) -> Vec<Run> {
    let first = runs.iter().filter(|run| run.start < end);
    first.map(|run| Run { end: run.end.min(end), ..*run }).collect()
}

/// How many leading positions keep their states whatever stands from `fixed` on: they see
/// nothing of it, and so does everything they see.
pub fn frozen(runs: &[Run], fixed: usize) -> usize {
    let mut frozen = 0;
    for run in runs {
        match run.order {
            Order::Causal => frozen = run.end.min(fixed),
            Order::Mutual if run.end <= fixed => frozen = run.end,
            Order::Mutual => return frozen,
        }
    }
    frozen
}

#[cfg(test)]
#[path = "attention_tests.rs"]
mod tests;
