//! Token ids with a meaning.

use serde::{Deserialize, Serialize};

/// Token ids with a meaning; the keys are those of `config.json`.
///
/// The released file names only some of them (`*`); a key that is absent has the value of the
/// released vocabulary, [`SpecialIds::default`]; the release's code has the other numbers.
///
/// Source: spec of the released vocabulary (151,643 text ranks, 205 extra tokens, 3 image marks,
/// 32,768 visual codes).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SpecialIds {
    /// `<|endoftext|>`, never attended to (`*`).
    pub pad_token_id: i64,
    /// First id of every prompt (`*`).
    pub bos_token_id: i64,
    /// Between the size text of an image and its codes (`*`).
    pub img_token_id: i64,
    /// Begin of an image (`*`).
    pub boi_token_id: i64,
    /// End of an image (`*`).
    pub eoi_token_id: i64,
    /// End of a frame: after the last code of an image (`*`).
    pub eof_token_id: i64,
    /// Begin of the actions.
    pub boa_token_id: i64,
    /// End of the actions; later slots are ignored.
    pub eoa_token_id: i64,
    /// A position that is still to be generated.
    pub mask_token_id: i64,
    /// Visual code 0.
    pub bov_token_id: i64,
    /// The last visual code.
    pub eov_token_id: i64,
    /// Action id 0; action ids count downwards from here over rare text ids.
    pub last_action_token_id: i64,
}

impl Default for SpecialIds {
    /// The ids of the released vocabulary.
    fn default() -> Self {
        Self {
            pad_token_id: 151_643,
            bos_token_id: 151_849,
            img_token_id: 151_851,
            boi_token_id: 151_852,
            eoi_token_id: 151_853,
            eof_token_id: 151_847,
            boa_token_id: 151_844,
            eoa_token_id: 151_845,
            mask_token_id: 151_848,
            bov_token_id: 151_854,
            eov_token_id: 184_621,
            last_action_token_id: 151_642,
        }
    }
}

impl SpecialIds {
    /// Ids of a small vocabulary: `text` ids, the special tokens in the text tokenizer's order, the
    /// visual codes, and `actions` action ids behind them, since there are too few text ids to overlay.
    pub fn compact(text: i64, codes: i64, actions: i64) -> Self {
        let extra = |index: i64| text + 3 + index;
        let img = extra(205);
        let bov = img + 3;
        let eov = bov + codes - 1;
        Self {
            pad_token_id: text,
            bos_token_id: extra(203),
            img_token_id: img,
            boi_token_id: img + 1,
            eoi_token_id: img + 2,
            eof_token_id: extra(201),
            boa_token_id: extra(198),
            eoa_token_id: extra(199),
            mask_token_id: extra(202),
            bov_token_id: bov,
            eov_token_id: eov,
            // One more than there are: the released range is one too wide.
            last_action_token_id: eov + 1 + actions,
        }
    }

    /// Number of visual codes.
    pub fn visual_codes(&self) -> i64 {
        self.eov_token_id - self.bov_token_id + 1
    }

    pub(super) fn named(&self) -> [(&'static str, i64); 12] {
        [
            ("pad_token_id", self.pad_token_id),
            ("bos_token_id", self.bos_token_id),
            ("img_token_id", self.img_token_id),
            ("boi_token_id", self.boi_token_id),
            ("eoi_token_id", self.eoi_token_id),
            ("eof_token_id", self.eof_token_id),
            ("boa_token_id", self.boa_token_id),
            ("eoa_token_id", self.eoa_token_id),
            ("mask_token_id", self.mask_token_id),
            ("bov_token_id", self.bov_token_id),
            ("eov_token_id", self.eov_token_id),
            ("last_action_token_id", self.last_action_token_id),
        ]
    }
}
