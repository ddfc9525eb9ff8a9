//! Sizes, rotary base and special ids of the language model, from its `config.json`.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::attention::Attention;
use super::error::CheckpointError;

/// No size of a model that this program could run is larger.
const LARGEST: i64 = 1 << 24;

/// Sizes of the language model; the keys are those of its `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sizes {
    /// Rows of the embedding and of the output head.
    pub vocab_size: i64,
    /// Width of the residual stream.
    pub hidden_size: i64,
    /// Width between the two halves of the feed-forward part.
    pub intermediate_size: i64,
    /// Transformer blocks.
    pub num_hidden_layers: i64,
    /// Query heads.
    pub num_attention_heads: i64,
    /// Key and value heads; divides the query heads.
    pub num_key_value_heads: i64,
    /// Added to the mean square before its root.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Longest sequence the model is meant for.
    pub max_position_embeddings: i64,
    /// Whether the head is the embedding; absent means no, and yes is refused.
    #[serde(default)]
    pub tie_word_embeddings: bool,
    /// Whether the projections have biases; absent means no, and yes is refused.
    #[serde(default)]
    pub qkv_bias: bool,
    /// Activation of the feed-forward part; anything but `silu` is refused.
    #[serde(default = "silu")]
    pub hidden_act: String,
    /// The released block mask was used in training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_blockwise_attn_mask: Option<bool>,
    /// The released code's bidirectional ablation mask was used in training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_bidirectional_attn_mask: Option<bool>,
}

/// Ids with a meaning; the keys are those of `config.json`.
///
/// The released file names only some of them (`*`); a key that is absent has the value of the
/// released vocabulary, [`SpecialIds::default`], whose other numbers stand in its code.
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
    /// Between the size text of a picture and its codes (`*`).
    pub img_token_id: i64,
    /// Begin of a picture (`*`).
    pub boi_token_id: i64,
    /// End of a picture (`*`).
    pub eoi_token_id: i64,
    /// End of a frame: after the last code of a picture (`*`).
    pub eof_token_id: i64,
    /// Begin of the actions.
    pub boa_token_id: i64,
    /// End of the actions; slots behind it do not count.
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
    /// How many visual codes there are.
    pub fn visual_codes(&self) -> i64 {
        self.eov_token_id - self.bov_token_id + 1
    }

    fn named(&self) -> [(&'static str, i64); 12] {
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

/// Everything this program reads from the language model's `config.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// Sizes and mask flags.
    pub sizes: Sizes,
    /// Ids with a meaning.
    pub ids: SpecialIds,
}

impl ModelConfig {
    /// Reads and checks `config.json`; `file` is its path, for messages.
    ///
    /// # Errors
    /// Text that is not JSON, a key that is missing or of another type, a feature that this
    /// program does not have, sizes that do not fit one another, an id outside the vocabulary.
    pub fn parse(text: &str, file: &Path) -> Result<Self, CheckpointError> {
        let json = |source| CheckpointError::Json {
            what: "model configuration",
            file: file.to_owned(),
            source,
        };
        let value: Value = serde_json::from_str(text).map_err(json)?;
        let config = Self {
            sizes: Sizes::deserialize(&value).map_err(json)?,
            ids: SpecialIds::deserialize(&value).map_err(json)?,
        };
        let refused = match value.get("rope_scaling") {
            None | Some(Value::Null) => config.fault(),
            Some(_) => Some("`rope_scaling` is not supported".into()),
        };
        match refused {
            None => Ok(config),
            Some(reason) => Err(CheckpointError::Config { file: file.to_owned(), reason }),
        }
    }

    /// The configuration as the object that [`ModelConfig::parse`] reads.
    pub fn to_json(&self) -> Value {
        let both = [serde_json::to_value(&self.sizes), serde_json::to_value(&self.ids)];
        both.into_iter()
            .flat_map(|part| match part {
                Ok(Value::Object(map)) => map,
                other => unreachable!("a plain structure is a JSON object: {other:?}"),
            })
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    /// The attention that the weights were trained with, by the mask flags; `None` when
    /// `use_blockwise_attn_mask` is absent, because guessing would change every result.
    ///
    /// `hybrid` has no flag: a checkpoint's manifest names it.
    pub fn attention(&self) -> Option<Attention> {
        match (self.sizes.use_blockwise_attn_mask?, self.sizes.use_bidirectional_attn_mask) {
            (true, _) => Some(Attention::Released),
            (false, Some(true)) => Some(Attention::ReleasedBidirectional),
            (false, Some(false) | None) => Some(Attention::Causal),
        }
    }

    /// Numbers per attention head.
    pub fn head_size(&self) -> i64 {
        self.sizes.hidden_size / self.sizes.num_attention_heads
    }

    /// What makes the configuration unusable, if anything.
    fn fault(&self) -> Option<String> {
        let sizes = &self.sizes;
        let positive = [
            ("vocab_size", sizes.vocab_size),
            ("hidden_size", sizes.hidden_size),
            ("intermediate_size", sizes.intermediate_size),
            ("num_hidden_layers", sizes.num_hidden_layers),
            ("num_attention_heads", sizes.num_attention_heads),
            ("num_key_value_heads", sizes.num_key_value_heads),
            ("max_position_embeddings", sizes.max_position_embeddings),
        ];
        let sane = 1..=LARGEST;
        if let Some((key, value)) = positive.into_iter().find(|(_, value)| !sane.contains(value)) {
            return Some(format!("`{key}` is {value}, not a number of 1 to {LARGEST}"));
        }
        let heads = sizes.num_attention_heads;
        if sizes.hidden_size % (2 * heads) != 0 || heads % sizes.num_key_value_heads != 0 {
            return Some(format!(
                "hidden size {}, {heads} heads and {} key heads do not divide one another",
                sizes.hidden_size, sizes.num_key_value_heads
            ));
        }
        if sizes.tie_word_embeddings || sizes.qkv_bias || sizes.hidden_act != "silu" {
            return Some(
                "tied embeddings, biases and activations other than `silu` are not \
                         supported"
                    .into(),
            );
        }
        self.stray_id()
    }

    fn stray_id(&self) -> Option<String> {
        let vocabulary = 0..self.sizes.vocab_size;
        let named = self.ids.named();
        let stray = named.into_iter().find(|(_, id)| !vocabulary.contains(id));
        if let Some((key, id)) = stray {
            return Some(format!("`{key}` is {id}, outside the vocabulary of {vocabulary:?}"));
        }
        (self.ids.visual_codes() < 1)
            .then(|| "`eov_token_id` is smaller than `bov_token_id`".to_owned())
    }
}

fn silu() -> String {
    "silu".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RELEASED: &str = r#"{
        "architectures": ["Emu3MoE"], "boi_token_id": 151852, "bos_token_id": 151849,
        "hidden_act": "silu", "hidden_size": 4096, "intermediate_size": 14336,
        "max_position_embeddings": 5120, "model_type": "Emu3", "num_attention_heads": 32,
        "num_hidden_layers": 32, "num_key_value_heads": 8, "rms_norm_eps": 1e-05,
        "rope_scaling": null, "rope_theta": 1000000.0, "tie_word_embeddings": false,
        "vocab_size": 184622
    }"#;

    fn parse(text: &str) -> Result<ModelConfig, CheckpointError> {
        ModelConfig::parse(text, Path::new("model/config.json"))
    }

    #[test]
    fn ids_that_the_released_file_leaves_out_have_the_released_values() {
        let config = parse(RELEASED).unwrap();
        assert_eq!(config.ids, SpecialIds::default());
        assert_eq!(config.head_size(), 128);
        assert_eq!(config.ids.visual_codes(), 32768);
    }

    #[test]
    fn ids_can_be_overridden() {
        let text = RELEASED.replacen('{', r#"{"mask_token_id": 7, "#, 1);
        assert_eq!(parse(&text).unwrap().ids.mask_token_id, 7);
    }

    #[test]
    fn a_written_configuration_reads_back_equal() {
        let config = parse(RELEASED).unwrap();
        assert_eq!(parse(&config.to_json().to_string()).unwrap(), config);
    }

    #[test]
    fn the_mask_flags_choose_the_attention_and_their_absence_chooses_none() {
        let with = |flags: &str| parse(&RELEASED.replacen('{', flags, 1)).unwrap().attention();
        assert_eq!(with("{"), None);
        assert_eq!(with(r#"{"use_blockwise_attn_mask": true,"#), Some(Attention::Released));
        let off = r#"{"use_blockwise_attn_mask": false,"#;
        assert_eq!(with(off), Some(Attention::Causal));
        let ablation = format!(r#"{off}"use_bidirectional_attn_mask": true,"#);
        assert_eq!(with(&ablation), Some(Attention::ReleasedBidirectional));
    }

    #[test]
    fn unusable_configurations_are_refused_with_the_key_at_fault() {
        let cases = [
            (RELEASED.replace("184622", "151000"), "pad_token_id"),
            (
                RELEASED.replace(r#""num_key_value_heads": 8"#, r#""num_key_value_heads": 5"#),
                "5 key",
            ),
            (
                RELEASED
                    .replace(r#""rope_scaling": null"#, r#""rope_scaling": {"type": "linear"}"#),
                "rope_scaling",
            ),
            (RELEASED.replace("\"silu\"", "\"gelu\""), "silu"),
            (
                RELEASED.replace(r#""num_hidden_layers": 32"#, r#""num_hidden_layers": 0"#),
                "num_hidden_layers",
            ),
            (
                RELEASED.replace(
                    r#""num_attention_heads": 32"#,
                    r#""num_attention_heads": 9223372036854775807"#,
                ),
                "num_attention_heads",
            ),
        ];
        for (text, wanted) in cases {
            let message = parse(&text).unwrap_err().to_string();
            assert!(message.contains(wanted), "{message} should name {wanted}");
        }
        assert!(matches!(parse("{}").unwrap_err(), CheckpointError::Json { .. }));
    }
}
