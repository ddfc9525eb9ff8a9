//! A checkout of single files of a repository, downloaded in batches that survive an interruption.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::exit::Refused;

/// Settings of the user that would change contents, and limits that end a dead connection.
const SETTINGS: [&str; 6] = [
    "core.autocrlf=false",
    "core.sparseCheckout=true",
    "core.sparseCheckoutCone=false",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=60",
    "advice.detachedHead=false",
];

/// A repository without history, whose contents are fetched as they are checked out.
pub struct SparseCheckout {
    folder: PathBuf,
    url: String,
    wanted: Vec<String>,
}

impl SparseCheckout {
    /// Opens the checkout in `folder`, made now or by an earlier attempt, at `commit` or, where
    /// the repository does not have it, at its newest.
    ///
    /// # Errors
    /// [`Refused`] when git is missing or the repository cannot be read.
    pub fn open(folder: &Path, url: &str, commit: &str) -> Result<Self> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make `{}`", folder.display()))?;
        let checkout = Self { folder: folder.into(), url: url.into(), wanted: vec![] };
        // A git that was killed leaves them; the caller holds a lock of its own.
        for lock in ["index.lock", "shallow.lock", "config.lock", "HEAD.lock"] {
            let _ = std::fs::remove_file(folder.join(".git").join(lock));
        }
        checkout.git(&["init", "--quiet"])?;
        // The remote's name makes later checkouts fetch what they lack from it.
        let _ = checkout.git(&["remote", "remove", "origin"]);
        checkout.git(&["remote", "add", "origin", url])?;
        let fetch = ["fetch", "--quiet", "--depth", "1", "--filter=blob:none", "origin"];
        let pinned = checkout.git(&[&fetch[..], &[commit]].concat());
        if pinned.is_err() {
            checkout.git(&[&fetch[..], &["HEAD"]].concat())?;
        }
        checkout.git(&["update-ref", "--no-deref", "HEAD", "FETCH_HEAD"])?;
        Ok(checkout)
    }

    /// Paths of all files of the commit.
    ///
    /// # Errors
    /// When git fails.
    pub fn files(&self) -> Result<Vec<String>> {
        let text = self.git(&["ls-tree", "-r", "-z", "--name-only", "HEAD"])?;
        Ok(text.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect())
    }

    /// Adds files to the work tree.
    ///
    /// # Errors
    /// When they cannot be fetched.
    pub fn add(&mut self, files: &[String]) -> Result<()> {
        self.wanted.extend(files.iter().map(|file| format!("/{file}\n")));
        let patterns = self.folder.join(".git/info/sparse-checkout");
        let write = std::fs::create_dir_all(self.folder.join(".git/info"))
            .and_then(|()| std::fs::write(&patterns, self.wanted.concat()));
        write.with_context(|| format!("cannot write `{}`", patterns.display()))?;
        self.git(&["read-tree", "-m", "-u", "HEAD"]).map(drop)
    }

    fn git(&self, words: &[&str]) -> Result<String> {
        let mut command = Command::new("git");
        command.current_dir(&self.folder).stdin(Stdio::null());
        for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"] {
            command.env_remove(name);
        }
        command.env("GIT_TERMINAL_PROMPT", "0");
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        let output = command.args(words).output().map_err(|error| {
            Refused::new("git does not start").because(error).hint(
                "install git (Debian: apt-get install git), or name a folder with the files: `--from DIR`",
            )
        })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let text = format!("git cannot fetch from `{}`", self.url);
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().map(str::trim).filter(|line| !line.is_empty());
        let said = said.collect::<Vec<_>>().join("; ");
        Err(Refused::new(text)
            .because(format!("`git {}`: {said}", words.first().unwrap_or(&"")))
            .hint("check the connection and proxy and run the same command again: it continues; or name a mirror or a copy: `--from URL|DIR`")
            .into())
    }
}
