//! The list of decoders.

use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::options::DecoderKind;
use super::{autoregressive, independent, jacobi, jd3p};

/// All decoders; the first is the default.
pub const DECODERS: &[DecoderKind] =
    &[jd3p::KIND, independent::KIND, autoregressive::KIND, jacobi::KIND];

impl Default for DecoderKind {
    fn default() -> Self {
        DECODERS[0]
    }
}

impl FromStr for DecoderKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        DECODERS.iter().copied().find(|kind| kind.name == text).ok_or_else(|| {
            let names: Vec<_> = DECODERS.iter().map(|kind| kind.name).collect();
            let names = names.join(", ");
            format!("`{text}` is not one of {names}")
        })
    }
}

impl Serialize for DecoderKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}

impl<'de> Deserialize<'de> for DecoderKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(feature = "clap")]
impl clap::ValueEnum for DecoderKind {
    fn value_variants<'a>() -> &'a [Self] {
        DECODERS
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.name).help(self.summary))
    }
}
