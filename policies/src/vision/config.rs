//! Sizes of the vision tokenizer, from its `config.json`.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::tokens::{TokenError, read_json};

/// Sizes of a MoVQ tokenizer; other keys of the file are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VisionConfig {
    /// Channels of the first level.
    pub ch: i64,
    /// Channels of each level, as multiples of `ch`; every level but the last halves the sides.
    pub ch_mult: Vec<i64>,
    /// Residual blocks of each level of the encoder; the decoder has one more.
    pub num_res_blocks: usize,
    /// Indices of the levels with attention (not resolutions, despite the name).
    pub attn_resolutions: Vec<usize>,
    /// Channels of an input image.
    #[serde(default = "three")]
    pub in_channels: i64,
    /// Channels of a decoded image.
    #[serde(default = "three")]
    pub out_channels: i64,
    /// Channels of the latent image.
    pub z_channels: i64,
    /// Whether the encoder gives a mean and a variance; not supported.
    #[serde(default)]
    pub double_z: bool,
    /// Entries of the codebook.
    pub codebook_size: i64,
    /// Dimensions of a codebook entry.
    pub embed_dim: i64,
    /// Number of frames that are encoded as one; a power of 2.
    pub temporal_downsample_factor: i64,
}

fn three() -> i64 {
    3
}

impl VisionConfig {
    /// Reads and validates a `config.json`.
    ///
    /// # Errors
    /// An unreadable file, a missing key, unusable sizes.
    pub fn open(path: &Path) -> Result<Self, TokenError> {
        let config: Self = read_json(path)?;
        match config.fault() {
            Some(what) => Err(TokenError::content(path, what)),
            None => Ok(config),
        }
    }

    /// The published sizes of the Emu3 vision tokenizer, 271 M parameters.
    pub fn emu3() -> Self {
        Self { ch: 256, codebook_size: 32768, ..Self::tiny() }
    }

    /// The smallest sizes of the same structure, for tests and synthetic checkpoints.
    pub fn tiny() -> Self {
        Self {
            ch: 32,
            ch_mult: vec![1, 2, 2, 4],
            num_res_blocks: 2,
            attn_resolutions: vec![3],
            in_channels: 3,
            out_channels: 3,
            z_channels: 4,
            double_z: false,
            codebook_size: 512,
            embed_dim: 4,
            temporal_downsample_factor: 4,
        }
    }

    /// Pixels per code along each axis.
    pub fn pixels_per_code(&self) -> i64 {
        1 << (self.ch_mult.len() - 1)
    }

    /// Why the sizes are unusable; `None` for valid ones.
    pub fn fault(&self) -> Option<&'static str> {
        let sizes = [self.in_channels, self.out_channels, self.z_channels, self.codebook_size];
        let levels = self.ch_mult.len();
        if self.double_z {
            Some("asks for `double_z`, which is not supported")
        } else if sizes.iter().chain(&[self.embed_dim]).any(|size| !(1..=1 << 24).contains(size)) {
            Some("has a size that is not positive or too large")
        } else if !(1..=16).contains(&levels) || self.num_res_blocks > 64 {
            Some("has no level, or too many levels or blocks")
        } else if self.ch % super::GROUPS != 0 || !(1..=1 << 16).contains(&self.ch) {
            Some("has a `ch` that is not a positive multiple of 32")
        } else if self.ch_mult.iter().any(|multiple| !(1..=1 << 10).contains(multiple)) {
            Some("has a `ch_mult` that is not positive or too large")
        } else if self.attn_resolutions.iter().any(|&level| level >= levels) {
            Some("asks for attention at a level that does not exist")
        } else if !(1..=1 << 10).contains(&self.temporal_downsample_factor)
            || self.temporal_downsample_factor.count_ones() != 1
        {
            Some("has a `temporal_downsample_factor` that is not a power of 2")
        } else {
            None
        }
    }
}

#[cfg(feature = "torch")]
impl VisionConfig {
    /// Number of times that the time axis is halved.
    pub(super) fn time_halvings(&self) -> u32 {
        self.temporal_downsample_factor.ilog2()
    }

    /// Channels of level `level`.
    pub(super) fn channels(&self, level: usize) -> i64 {
        self.ch * self.ch_mult[level]
    }

    /// Input channels of the encoder's level `level`; `ch` for the first.
    pub(super) fn channels_in(&self, level: usize) -> i64 {
        level.checked_sub(1).map_or(self.ch, |before| self.channels(before))
    }

    /// Channels of the last level and of the middle.
    pub(super) fn deepest(&self) -> i64 {
        self.channels(self.ch_mult.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_sizes_are_without_fault() {
        assert_eq!(VisionConfig::emu3().fault(), None);
        assert_eq!(VisionConfig::tiny().fault(), None);
        assert_eq!(VisionConfig::emu3().pixels_per_code(), 8);
    }

    #[test]
    fn broken_sizes_are_errors() {
        let whole = serde_json::to_value(VisionConfig::tiny()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.json");
        let open = |key: &str, value: serde_json::Value| {
            let mut config = whole.clone();
            config[key] = value;
            std::fs::write(&path, config.to_string()).unwrap();
            VisionConfig::open(&path)
        };
        assert_eq!(open("model_type", "Emu3VisionVQ".into()).unwrap(), VisionConfig::tiny());
        let cases = [
            ("double_z", true.into()),
            ("ch", 33.into()),
            ("ch", 0.into()),
            ("ch", (-32).into()),
            ("ch_mult", serde_json::json!([])),
            ("ch_mult", serde_json::json!([1, 0])),
            ("attn_resolutions", serde_json::json!([4])),
            ("codebook_size", 0.into()),
            ("embed_dim", (-4).into()),
            ("temporal_downsample_factor", 3.into()),
            ("temporal_downsample_factor", 0.into()),
            ("z_channels", "four".into()),
        ];
        for (key, value) in cases {
            assert!(open(key, value.clone()).is_err(), "{key}: {value}");
        }
    }
}
