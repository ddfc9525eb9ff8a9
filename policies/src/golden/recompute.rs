//! One entry point for all kinds of golden files.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::compare::{Difference, first_difference};
use super::error::GoldenError;
use super::file::{self, Kind};

/// Recomputes golden files; what several files share is made once.
#[derive(Debug)]
pub struct Golden {
    /// The folder that holds the FAST tokenizers' folders.
    tokenizers: Option<PathBuf>,
    #[cfg(feature = "torch")]
    models: super::model::Models,
}

impl Golden {
    /// With the FAST tokenizers of a folder, or none.
    pub fn new(tokenizers: Option<&Path>) -> Self {
        Self {
            tokenizers: tokenizers.map(Path::to_owned),
            #[cfg(feature = "torch")]
            models: super::model::Models::new(tch::Device::Cpu),
        }
    }

    /// The same on another device: `auto`, `cpu`, `cuda` or `cuda:N`.
    ///
    /// # Errors
    /// Another name, a GPU that does not exist or that libtorch cannot use.
    #[cfg(feature = "torch")]
    pub fn on(mut self, device: &str) -> Result<Self, crate::udvla::CheckpointError> {
        let placement = crate::udvla::device::placement(device, None)?;
        self.models = super::model::Models::new(placement.device);
        Ok(self)
    }

    /// The first key at which the file and its recomputation differ, or nothing when they are
    /// equal.
    ///
    /// # Errors
    /// A file that cannot be read or recomputed.
    pub fn check(&mut self, path: &Path) -> Result<Option<Difference>, GoldenError> {
        let recorded = file::read(path)?;
        let computed = self.recompute(&recorded)?;
        Ok(first_difference(&recorded, &computed))
    }

    /// The recomputed outputs of the file, which need not have any.
    ///
    /// # Errors
    /// As [`Golden::check`].
    pub fn emit(&mut self, path: &Path) -> Result<Value, GoldenError> {
        self.recompute(&file::read(path)?)
    }

    /// The recomputed outputs under the keys that a file has them under, and its `kind`.
    ///
    /// # Errors
    /// An unknown kind, an input that is missing or makes no sense, a FAST tokenizer that is not
    /// at hand, whatever the model refuses.
    pub fn recompute(&mut self, file: &Value) -> Result<Value, GoldenError> {
        let mut outputs = match file::kind(file)? {
            Kind::Fast => super::fast::recompute(file, self.tokenizers.as_deref())?,
            kind => self.recompute_model(kind, file)?,
        };
        outputs["kind"] = file["kind"].clone();
        Ok(outputs)
    }

    #[cfg(feature = "torch")]
    fn recompute_model(&mut self, kind: Kind, file: &Value) -> Result<Value, GoldenError> {
        match kind {
            Kind::Jd3p => super::decoding::joint(file, &mut self.models),
            Kind::IndependentDiffusion => super::decoding::independent(file, &mut self.models),
            Kind::Loss => super::loss::recompute(file, self.models.device),
            Kind::Vq => super::vision::recompute(file, self.models.device),
            Kind::Fast => unreachable!("needs no model"),
        }
    }

    #[cfg(not(feature = "torch"))]
    fn recompute_model(&mut self, _: Kind, _: &Value) -> Result<Value, GoldenError> {
        Err(GoldenError::Model { reason: "this build has no libtorch".into() })
    }
}
