//! Sizes, rotary base and special ids of the language model, from its `config.json`.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::attention::Attention;
use super::error::CheckpointError;
use super::files::parse_json;
use super::special_ids::SpecialIds;

/// Upper bound of every size in a valid configuration.
const LARGEST: i64 = 1 << 24;

/// Sizes of the language model; the keys are those of its `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sizes {
    /// Rows of the embedding and of the output head.
    pub vocab_size: i64,
    /// Width of the residual stream.
    pub hidden_size: i64,
    /// Width inside the feed-forward layer.
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
    /// Longest sequence.
    pub max_position_embeddings: i64,
    /// Whether the output head is the embedding; `true` is refused.
    #[serde(default)]
    pub tie_word_embeddings: bool,
    /// Whether the projections have biases; `true` is refused.
    #[serde(default)]
    pub qkv_bias: bool,
    /// Activation of the feed-forward layer; only `silu` is supported.
    #[serde(default = "silu")]
    pub hidden_act: String,
    /// The released block mask was used in training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_blockwise_attn_mask: Option<bool>,
    /// The released code's bidirectional ablation mask was used in training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_bidirectional_attn_mask: Option<bool>,
}

/// Everything this program reads from the language model's `config.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// Sizes and mask flags.
    pub sizes: Sizes,
    /// Token ids with a meaning.
    pub ids: SpecialIds,
}

impl ModelConfig {
    /// Parses and validates `config.json`; `file` is its path, for messages.
    ///
    /// # Errors
    /// Invalid JSON, a missing key or one of another type, an unsupported feature, inconsistent
    /// sizes, an id outside the vocabulary.
    pub fn parse(text: &str, file: &Path) -> Result<Self, CheckpointError> {
        const WHAT: &str = "model configuration";
        let value: Value = parse_json(WHAT, text, file)?;
        let config =
            Self { sizes: parse_json(WHAT, text, file)?, ids: parse_json(WHAT, text, file)? };
        let refused = match value.get("rope_scaling") {
            None | Some(Value::Null) => config.fault(),
            Some(_) => Some("`rope_scaling` is not supported".into()),
        };
        match refused {
            None => Ok(config),
            Some(reason) => Err(CheckpointError::Config { file: file.to_owned(), reason }),
        }
    }

    /// The JSON object that [`ModelConfig::parse`] reads.
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

    /// Attention mask that the weights were trained with, by the mask flags; `None` if
    /// `use_blockwise_attn_mask` is absent: a wrong guess would change every result.
    ///
    /// `hybrid` has no flag; the manifest names it.
    pub fn attention(&self) -> Option<Attention> {
        match (self.sizes.use_blockwise_attn_mask?, self.sizes.use_bidirectional_attn_mask) {
            (true, _) => Some(Attention::Released),
            (false, Some(true)) => Some(Attention::ReleasedBidirectional),
            (false, Some(false) | None) => Some(Attention::Causal),
        }
    }

    /// Width of an attention head.
    pub fn head_size(&self) -> i64 {
        self.sizes.hidden_size / self.sizes.num_attention_heads
    }

    /// Why the configuration is unusable; `None` for a valid one.
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
        let valid = 1..=LARGEST;
        if let Some((key, value)) = positive.into_iter().find(|(_, value)| !valid.contains(value)) {
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
        self.id_outside_vocabulary()
    }

    fn id_outside_vocabulary(&self) -> Option<String> {
        let vocabulary = 0..self.sizes.vocab_size;
        let named = self.ids.named();
        if let Some((key, id)) = named.into_iter().find(|(_, id)| !vocabulary.contains(id)) {
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
