//! The files of a simulator as its authors published them: where, and with which content.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Deserialize;

use crate::environment;

/// The files of a simulator at one commit of their repository.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalog {
    /// URL of the repository.
    pub repository: String,
    /// The commit, 40 hexadecimal digits.
    pub commit: String,
    /// Folders of a checkout or copy that may hold the files, the upstream one first; empty for
    /// the checkout itself.
    pub roots: Vec<String>,
    /// Folder below the data folder's that holds the files, so that it looks like a checkout.
    #[serde(default)]
    pub into: String,
    /// The files by their path below a root.
    pub files: BTreeMap<String, CatalogFile>,
}

/// One file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogFile {
    /// Git's object name of its content.
    pub git: String,
    /// Suites that open it; empty for all.
    #[serde(default)]
    pub suites: Vec<String>,
}

impl Catalog {
    /// Parses a catalog that is part of this build.
    ///
    /// # Panics
    /// If it is not one, which a test excludes.
    pub fn bundled(text: &str) -> Self {
        serde_json::from_str(text).expect("the bundled catalog is tested")
    }

    /// Where `setup` puts the files of the benchmark `name`: a folder per commit.
    ///
    /// # Errors
    /// When the data folder is not known.
    pub fn folder(&self, name: &str) -> Result<PathBuf> {
        Ok(environment::home()?.join("assets").join(format!("{name}-{}", &self.commit[..8])))
    }

    /// The files' root in the folder of [`Catalog::folder`].
    ///
    /// # Errors
    /// When the data folder is not known.
    pub fn installed(&self, name: &str) -> Result<PathBuf> {
        Ok(self.root_in(&self.folder(name)?))
    }

    /// The files' root in a folder of that layout.
    pub(super) fn root_in(&self, folder: &Path) -> PathBuf {
        if self.into.is_empty() { folder.into() } else { folder.join(&self.into) }
    }
}
