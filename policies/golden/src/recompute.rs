//! Recomputation of golden files of all kinds.

use std::path::{Path, PathBuf};

use serde_json::Value;
use udvla_policies::udvla::{CheckpointError, device};

use crate::compare::{Difference, first_difference};
use crate::error::GoldenError;
use crate::file::{self, Kind};
use crate::model::Models;
use crate::{decoding, fast, loss, vision};

/// Recomputes golden files; models that several files share are built once.
#[derive(Debug)]
pub struct Golden {
    /// Folder with a folder per FAST tokenizer.
    tokenizers: Option<PathBuf>,
    models: Models,
}

impl Golden {
    /// With the FAST tokenizers in a folder, if any, on the CPU.
    pub fn new(tokenizers: Option<&Path>) -> Self {
        Self { tokenizers: tokenizers.map(Path::to_owned), models: Models::new(tch::Device::Cpu) }
    }

    /// Moves to another device: `auto`, `cpu`, `cuda` or `cuda:N`.
    ///
    /// # Errors
    /// An unknown name, a GPU that does not exist or that libtorch cannot use.
    pub fn on(mut self, device: &str) -> Result<Self, CheckpointError> {
        self.models = Models::new(device::placement(device, None)?.device);
        Ok(self)
    }

    /// The first key at which a file and its recomputation differ, if any.
    ///
    /// # Errors
    /// A file that cannot be read or recomputed.
    pub fn check(&mut self, path: &Path) -> Result<Option<Difference>, GoldenError> {
        let recorded = file::read(path)?;
        let computed = self.recompute(&recorded)?;
        Ok(first_difference(&recorded, &computed))
    }

    /// The recomputed outputs of a file, which need not have any.
    ///
    /// # Errors
    /// As [`Golden::check`].
    pub fn emit(&mut self, path: &Path) -> Result<Value, GoldenError> {
        self.recompute(&file::read(path)?)
    }

    /// The recomputed outputs under the keys of the file format, and the file's `kind`.
    ///
    /// # Errors
    /// An unknown kind, a missing or invalid input, a missing FAST tokenizer, a failure of the
    /// model.
    pub fn recompute(&mut self, file: &Value) -> Result<Value, GoldenError> {
        let mut outputs = match file::kind(file)? {
            Kind::Jd3p => decoding::joint(file, &mut self.models)?,
            Kind::IndependentDiffusion => decoding::independent(file, &mut self.models)?,
            Kind::Loss => loss::recompute(file, self.models.device)?,
            Kind::Vq => vision::recompute(file, self.models.device)?,
            Kind::Fast => fast::recompute(file, self.tokenizers.as_deref())?,
        };
        outputs["kind"] = file["kind"].clone();
        Ok(outputs)
    }
}
