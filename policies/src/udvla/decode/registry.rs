//! The list of decoders.

use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use udvla_sims::identity::Subject;

use super::decoder::Decoder;
use super::options::{DecoderKind, DecodingDefaults, DecodingOptions, Open};
use super::{autoregressive, independent, jacobi, jd3p, regression};

/// The list, and the function that opens each; apart, because a program that only names decoders
/// is not to load libtorch.
macro_rules! decoders {
    ($($module:ident),*) => {
        /// All decoders; the first is the default.
        pub const DECODERS: &[DecoderKind] = &[$($module::KIND),*];

        /// The function that opens a decoder of the list.
        fn opener(kind: DecoderKind) -> Open {
            $(if kind.name == $module::KIND.name {
                return $module::open;
            })*
            unreachable!("`{}` is not in the list", kind.name)
        }
    };
}

decoders!(jd3p, independent, autoregressive, jacobi, regression);

impl DecodingOptions {
    /// Opens the decoder and adds its settings to `subject`.
    ///
    /// # Errors
    /// Options that are invalid or that the decoder does not have.
    pub fn open(
        &self,
        defaults: &DecodingDefaults,
        subject: &mut Subject,
    ) -> Result<Box<dyn Decoder>, String> {
        if let Some(option) = self.surplus() {
            return Err(format!("decoding `{}` has no {option}", self.decoder.name));
        }
        subject.decoding = Some(self.decoder.name.into());
        opener(self.decoder)(self, defaults, subject)
    }
}

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
