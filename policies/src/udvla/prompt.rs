//! What a benchmark shows and asks for, and how that becomes token ids.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::attention::Parts;
use super::config::SpecialIds;

/// Pixels per visual code along each axis.
pub const PATCH: u32 = 8;

/// What the policy is shown and what it generates on one benchmark; part of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// Views, in the order of the prompt.
    pub views: Vec<View>,
    /// Characters that the size text of a generated view may use, for example `*012345`.
    pub size_characters: String,
    /// Action slots, the opening mark included.
    pub action_slots: usize,
    /// Control steps per chunk.
    pub horizon: u16,
    /// Numbers per control step.
    pub action_width: usize,
}

/// What the generated views show; a property of the weights.
///
/// Source: the rows of the paper's Table 6. The release has only models of the first kind and no
/// code for the others; null and current follow the paper's description.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// The scene after the chunk, as in the published models.
    #[default]
    Future,
    /// The scene now, the paper's ablation; the layout is that of the future.
    Current,
    /// There are none: the block is the actions alone, the paper's other ablation.
    Null,
}

impl Target {
    /// All three, in the order of the documentation.
    pub const ALL: [Self; 3] = [Self::Future, Self::Current, Self::Null];

    /// Its name on the command line, in manifests and in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Future => "future",
            Self::Current => "current",
            Self::Null => "null",
        }
    }

    /// Whether the block has views at all.
    pub fn has_views(self) -> bool {
        self != Self::Null
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|target| target.name() == text);
        found.ok_or_else(|| format!("`{text}` is not one of future, current, null"))
    }
}

/// One view of the prompt, and of the generated future.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// The protocol's name of the camera.
    pub camera: String,
    /// Rows of the camera's picture.
    pub height: u32,
    /// Columns of the camera's picture.
    pub width: u32,
    /// Rows and columns after resizing, bicubic, aspect not kept; multiples of 8.
    pub resized: [u32; 2],
}

impl View {
    /// Rows and columns of visual codes.
    pub fn grid(&self) -> [u32; 2] {
        self.resized.map(|side| side / PATCH)
    }

    /// The size text, for example `1*25*25`: frames, rows, columns.
    pub fn size_text(&self) -> String {
        let [rows, columns] = self.grid();
        format!("1*{rows}*{columns}")
    }

    /// Positions of the view in a sequence: codes, size text (one id per character) and four
    /// marks.
    pub fn positions(&self) -> usize {
        let [rows, columns] = self.grid();
        rows as usize * columns as usize + self.size_text().len() + 4
    }
}

impl Layout {
    /// What makes the layout unusable, if anything.
    pub fn fault(&self) -> Option<String> {
        let sane = PATCH..=1 << 14;
        let odd = |side: &u32| !sane.contains(side) || !side.is_multiple_of(PATCH);
        let odd = |view: &&View| view.resized.iter().any(odd);
        if self.views.is_empty() {
            return Some("a layout needs at least one view".into());
        }
        if let Some(view) = self.views.iter().find(odd) {
            return Some(format!(
                "view `{}`: {:?} are not multiples of 8",
                view.camera, view.resized
            ));
        }
        let text = |view: &View| view.size_text();
        let stray = |text: &String| text.chars().any(|c| !self.size_characters.contains(c));
        if let Some(text) = self.views.iter().map(text).find(stray) {
            return Some(format!("size text `{text}` is not made of `{}`", self.size_characters));
        }
        let sane = 1..=1 << 16;
        let counts =
            [self.action_slots.saturating_sub(1), usize::from(self.horizon), self.action_width];
        (!counts.iter().all(|count| sane.contains(count))).then(|| {
            "action slots, horizon and action width do not hold an action, or far too many".into()
        })
    }

    /// Positions of each view.
    pub fn view_positions(&self) -> Vec<usize> {
        self.views.iter().map(View::positions).collect()
    }

    /// Positions of each view that is generated.
    pub fn generated_positions(&self, target: Target) -> Vec<usize> {
        if target.has_views() { self.view_positions() } else { vec![] }
    }

    /// How the sequence of a prompt with `text` ids of text divides.
    pub fn parts(&self, text: usize, target: Target) -> Parts {
        Parts {
            text,
            views: self.view_positions(),
            future: self.generated_positions(target),
            actions: self.action_slots,
        }
    }
}

/// A picture as token material.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Ids of the size text.
    pub size: Vec<i64>,
    /// Visual codes from 0, row by row.
    pub codes: Vec<i64>,
}

/// Everything before the generated block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// Opening token, instruction, views.
    pub ids: Vec<i64>,
    /// How the whole sequence divides, the generated block included.
    pub parts: Parts,
}

impl Prompt {
    /// The prompt of an instruction and what is seen, for a block of the same views and `actions`
    /// slots.
    ///
    /// Per view: begin mark, size text, image mark, codes, frame end, end mark. No template, no
    /// full stop, no proprioception.
    pub fn new(ids: &SpecialIds, text: &[i64], pictures: &[Picture], actions: usize) -> Self {
        let mut all = vec![ids.bos_token_id];
        all.extend(text);
        let text = all.len();
        let mut views = vec![];
        for picture in pictures {
            let start = all.len();
            all.push(ids.boi_token_id);
            all.extend(&picture.size);
            all.push(ids.img_token_id);
            all.extend(picture.codes.iter().map(|code| ids.bov_token_id + code));
            all.extend([ids.eof_token_id, ids.eoi_token_id]);
            views.push(all.len() - start);
        }
        Self { ids: all, parts: Parts::new(text, views, actions) }
    }
}

/// The block that is generated, before its first step: the views of the future, then actions.
///
/// Begin and end mark of each view and the begin mark of the actions are given; all else,
/// size texts included, is MASK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// One id per position.
    pub ids: Vec<i64>,
    /// Positions of the views; the action part, its begin mark included, is the rest.
    pub image: usize,
}

impl Block {
    /// A block of views with so many positions each, and so many action slots.
    pub fn new(ids: &SpecialIds, views: &[usize], actions: usize) -> Self {
        let image = views.iter().sum();
        let mut block = vec![ids.mask_token_id; image + actions];
        let mut start = 0;
        for positions in views {
            block[start] = ids.boi_token_id;
            block[start + positions - 1] = ids.eoi_token_id;
            start += positions;
        }
        block[image] = ids.boa_token_id;
        Self { ids: block, image }
    }
}

/// The ids that image positions may become, ascending: visual codes, image mark, frame end and
/// the characters of size texts.
pub fn image_ids(ids: &SpecialIds, size_characters: &[i64]) -> Vec<i64> {
    let marks = [ids.img_token_id, ids.eof_token_id];
    sorted(size_characters.iter().copied().chain(marks).chain(ids.bov_token_id..=ids.eov_token_id))
}

/// The ids that action positions may become, ascending: action ids and the end of actions.
///
/// `vocabulary` action ids exist, yet one more is allowed: the released range is one too wide,
/// and the extra id decodes to nothing.
pub fn action_ids(ids: &SpecialIds, vocabulary: usize) -> Vec<i64> {
    let last = ids.last_action_token_id;
    sorted((last - vocabulary as i64..=last).chain([ids.eoa_token_id]))
}

/// The action ids of a generated block: its slots up to the first end of actions, or all of
/// them when there is none.
pub fn actions(ids: &SpecialIds, generated: &[i64], image: usize) -> Vec<i64> {
    let slots = &generated[image + 1..];
    let used = slots.iter().take_while(|&&id| id != ids.eoa_token_id);
    used.map(|id| ids.last_action_token_id - id).collect()
}

fn sorted(ids: impl Iterator<Item = i64>) -> Vec<i64> {
    let mut ids: Vec<i64> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(resized: [u32; 2]) -> View {
        View { camera: "static".into(), height: 200, width: 200, resized }
    }

    #[test]
    fn a_released_block_has_817_positions_of_which_812_are_unknown() {
        let ids = SpecialIds::default();
        let views = [view([200, 200]).positions(), view([80, 80]).positions()];
        assert_eq!(views, [636, 111]);
        let block = Block::new(&ids, &views, 70);
        let known: Vec<usize> =
            (0..block.ids.len()).filter(|&at| block.ids[at] != ids.mask_token_id).collect();
        assert_eq!((block.ids.len(), block.image), (817, 747));
        assert_eq!(known, [0, 635, 636, 746, 747]);
        let one = Block::new(&ids, &views[..1], 72);
        assert_eq!(one.ids.iter().filter(|&&id| id == ids.mask_token_id).count(), 705);
    }

    #[test]
    fn a_block_without_views_is_the_actions_alone() {
        let ids = SpecialIds::default();
        let block = Block::new(&ids, &[], 70);
        assert_eq!((block.ids.len(), block.image, block.ids[0]), (70, 0, ids.boa_token_id));
        assert!(block.ids[1..].iter().all(|&id| id == ids.mask_token_id));
        for target in Target::ALL {
            assert_eq!(target.to_string().parse(), Ok(target));
        }
    }

    #[test]
    fn a_prompt_is_opening_text_views() {
        let ids = SpecialIds::default();
        let picture = Picture { size: vec![16, 9], codes: vec![0, 32767] };
        let prompt = Prompt::new(&ids, &[5, 6], &[picture.clone(), picture], 70);
        let view = [151852, 16, 9, 151851, 151854, 184621, 151847, 151853];
        assert_eq!(prompt.ids, [&[151849, 5, 6][..], &view, &view].concat());
        assert_eq!(prompt.parts, Parts::new(3, vec![8, 8], 70));
    }

    #[test]
    fn allowed_ids_are_those_of_the_released_decoder() {
        let ids = SpecialIds::default();
        let image = image_ids(&ids, &[9, 15, 16, 17, 20]);
        assert_eq!(image.len(), 32768 + 2 + 5);
        assert_eq!(image[..7], [9, 15, 16, 17, 20, 151847, 151851]);
        let action = action_ids(&ids, 1024);
        assert_eq!((action.len(), action[0], action[1025]), (1026, 150618, 151845));
        assert_eq!(action[1024], 151642);
    }

    #[test]
    fn actions_end_at_the_first_end_mark() {
        let ids = SpecialIds::default();
        let block = [7, 7, ids.boa_token_id, 151642, 151600, ids.eoa_token_id, 151641];
        assert_eq!(actions(&ids, &block, 2), [0, 42]);
        assert_eq!(actions(&ids, &block[..5], 2), [0, 42]);
        assert!(actions(&ids, &block[..3], 2).is_empty());
    }

    #[test]
    fn unusable_layouts_say_why() {
        let layout = |resized, characters: &str| Layout {
            views: vec![view(resized)],
            size_characters: characters.into(),
            action_slots: 70,
            horizon: 10,
            action_width: 7,
        };
        assert_eq!(layout([200, 200], "*125").fault(), None);
        let fault = layout([200, 204], "*125").fault().unwrap();
        assert!(fault.contains("204"), "{fault}");
        let fault = layout([200, 80], "*125").fault().unwrap();
        assert!(fault.contains("1*25*10"), "{fault}");
        let empty = Layout { views: vec![], ..layout([8, 8], "*1") };
        assert!(empty.fault().is_some());
    }
}
