//! Token sequences: the prompt, the block to generate, and the ids each position may take.

use crate::udvla::checkpoint::SpecialIds;
use crate::udvla::model::mask::Parts;

/// Tokens of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageTokens {
    /// Ids of the size text.
    pub size: Vec<i64>,
    /// Visual codes from 0, row-major.
    pub codes: Vec<i64>,
}

/// Everything before the generated block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// Begin-of-sequence token, instruction, images.
    pub ids: Vec<i64>,
    /// Lengths of the parts of the whole sequence, including the generated block.
    pub parts: Parts,
}

impl Prompt {
    /// The prompt of an instruction and images, for a block of equally many images and `actions`
    /// slots.
    ///
    /// Per image: begin mark, size text, image mark, codes, end-of-frame mark, end mark. No
    /// template, no full stop, no proprioception.
    pub fn new(ids: &SpecialIds, text: &[i64], images: &[ImageTokens], actions: usize) -> Self {
        let mut all = vec![ids.bos_token_id];
        all.extend(text);
        let text = all.len();
        let mut lengths = vec![];
        for image in images {
            let start = all.len();
            all.push(ids.boi_token_id);
            all.extend(&image.size);
            all.push(ids.img_token_id);
            all.extend(image.codes.iter().map(|code| ids.bov_token_id + code));
            all.extend([ids.eof_token_id, ids.eoi_token_id]);
            lengths.push(all.len() - start);
        }
        Self { ids: all, parts: Parts::new(text, lengths, actions) }
    }
}

/// The block to generate, before the first step: images, then actions.
///
/// Begin and end mark of each image and the begin-of-actions mark are given; everything else,
/// including size texts, is MASK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// One id per position.
    pub ids: Vec<i64>,
    /// Number of image positions; the action part follows, including its begin mark.
    pub image_positions: usize,
}

impl Block {
    /// A block of images of these lengths and `actions` slots.
    pub fn new(ids: &SpecialIds, images: &[usize], actions: usize) -> Self {
        let image_positions = images.iter().sum();
        let mut block = vec![ids.mask_token_id; image_positions + actions];
        let mut start = 0;
        for positions in images {
            block[start] = ids.boi_token_id;
            block[start + positions - 1] = ids.eoi_token_id;
            start += positions;
        }
        block[image_positions] = ids.boa_token_id;
        Self { ids: block, image_positions }
    }
}

/// Ids that image positions may take, ascending: visual codes, image and end-of-frame mark, and
/// characters of size texts.
pub fn allowed_image_ids(ids: &SpecialIds, size_characters: &[i64]) -> Vec<i64> {
    let marks = [ids.img_token_id, ids.eof_token_id];
    sorted(size_characters.iter().copied().chain(marks).chain(ids.bov_token_id..=ids.eov_token_id))
}

/// Ids that action positions may take, ascending: action ids and the end of actions.
///
/// One more than the `vocabulary` action ids is allowed: the released range is one too wide, and
/// the extra id decodes to nothing.
pub fn allowed_action_ids(ids: &SpecialIds, vocabulary: usize) -> Vec<i64> {
    let last = ids.last_action_token_id;
    sorted((last - vocabulary as i64..=last).chain([ids.eoa_token_id]))
}

/// FAST ids of a generated block: its action slots up to the first end of actions, or all of them
/// if there is none.
pub fn action_ids(ids: &SpecialIds, generated: &[i64], image_positions: usize) -> Vec<i64> {
    let slots = generated[image_positions + 1..].iter();
    let used = slots.take_while(|&&id| id != ids.eoa_token_id);
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
    use crate::udvla::checkpoint::{ImageLayout, Target};

    #[test]
    fn a_released_block_has_817_positions_of_which_812_are_unknown() {
        let ids = SpecialIds::default();
        let image = |side| ImageLayout {
            camera: "static".into(),
            height: 200,
            width: 200,
            resized: [side, side],
        };
        let images = [200, 80].map(|side| image(side).positions());
        assert_eq!(images, [636, 111]);
        let block = Block::new(&ids, &images, 70);
        let known: Vec<usize> =
            (0..block.ids.len()).filter(|&at| block.ids[at] != ids.mask_token_id).collect();
        assert_eq!((block.ids.len(), block.image_positions), (817, 747));
        assert_eq!(known, [0, 635, 636, 746, 747]);
        let one = Block::new(&ids, &images[..1], 72);
        assert_eq!(one.ids.iter().filter(|&&id| id == ids.mask_token_id).count(), 705);
    }

    #[test]
    fn a_block_without_images_is_the_actions_alone() {
        let ids = SpecialIds::default();
        let block = Block::new(&ids, &[], 70);
        assert_eq!(
            (block.ids.len(), block.image_positions, block.ids[0]),
            (70, 0, ids.boa_token_id)
        );
        assert!(block.ids[1..].iter().all(|&id| id == ids.mask_token_id));
        for target in Target::ALL {
            assert_eq!(target.to_string().parse(), Ok(target));
        }
    }

    #[test]
    fn a_prompt_is_bos_text_images() {
        let ids = SpecialIds::default();
        let image = ImageTokens { size: vec![16, 9], codes: vec![0, 32767] };
        let prompt = Prompt::new(&ids, &[5, 6], &[image.clone(), image], 70);
        let tokens = [151852, 16, 9, 151851, 151854, 184621, 151847, 151853];
        assert_eq!(prompt.ids, [&[151849, 5, 6][..], &tokens, &tokens].concat());
        assert_eq!(prompt.parts, Parts::new(3, vec![8, 8], 70));
    }

    #[test]
    fn allowed_ids_are_those_of_the_released_decoder() {
        let ids = SpecialIds::default();
        let image = allowed_image_ids(&ids, &[9, 15, 16, 17, 20]);
        assert_eq!(image.len(), 32768 + 2 + 5);
        assert_eq!(image[..7], [9, 15, 16, 17, 20, 151847, 151851]);
        let action = allowed_action_ids(&ids, 1024);
        assert_eq!((action.len(), action[0], action[1025]), (1026, 150618, 151845));
        assert_eq!(action[1024], 151642);
    }

    #[test]
    fn actions_end_at_the_first_end_mark() {
        let ids = SpecialIds::default();
        let block = [7, 7, ids.boa_token_id, 151642, 151600, ids.eoa_token_id, 151641];
        assert_eq!(action_ids(&ids, &block, 2), [0, 42]);
        assert_eq!(action_ids(&ids, &block[..5], 2), [0, 42]);
        assert!(action_ids(&ids, &block[..3], 2).is_empty());
    }
}
