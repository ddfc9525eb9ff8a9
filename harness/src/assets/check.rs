//! Whether a folder holds a simulator's files.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha1::{Digest, Sha1};
use udvla_sims::protocol::hex;

use super::catalog::{Catalog, CatalogFile};

/// First line of a file that Git LFS has not replaced by its content.
const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";
/// Formats of a visual mesh that SimplerEnv takes instead of one another.
const VISUALS: [&str; 3] = ["textured.obj", "textured.dae", "textured.glb"];

/// What a folder lacks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    /// Files that are not there.
    pub missing: Vec<String>,
    /// Files that are Git LFS pointers instead of the content.
    pub pointers: Vec<String>,
}

impl Faults {
    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.pointers.is_empty()
    }

    /// What is wrong, as the end of a sentence about the folder, and what to do about pointers.
    pub fn text(&self) -> (String, Option<&'static str>) {
        let mut texts = vec![];
        if !self.missing.is_empty() {
            texts.push(format!("lacks {}", named(&self.missing)));
        }
        let mut hint = None;
        if !self.pointers.is_empty() {
            texts.push(format!("has Git LFS pointers instead of {}", named(&self.pointers)));
            hint = Some("in that checkout, run `git lfs install --local && git lfs pull`");
        }
        (texts.join(", and "), hint)
    }
}

impl Catalog {
    /// The folder that holds the files: `given` itself or the part of a checkout that does; `None`
    /// if none of them is there.
    pub fn locate(&self, given: &Path) -> Option<PathBuf> {
        let folder = |root: &String| if root.is_empty() { given.into() } else { given.join(root) };
        let holds = |folder: &PathBuf| self.files.keys().any(|path| folder.join(path).is_file());
        self.roots.iter().map(folder).find(holds)
    }

    /// What `root` lacks of the files that `suites` open (all files if empty). Contents are not
    /// compared: altered files run, and the simulator marks their results.
    pub fn faults(&self, root: &Path, suites: &[String]) -> Faults {
        let mut faults = Faults::default();
        let needed = self.files.iter().filter(|(_, file)| file.is_needed(suites));
        for (path, _) in needed {
            match present(&root.join(path)) {
                None => faults.missing.push(path.clone()),
                Some(file) if is_pointer(&file) => faults.pointers.push(path.clone()),
                Some(_) => {}
            }
        }
        faults
    }

    /// Names of the suites that files are listed for.
    pub fn suites(&self) -> Vec<String> {
        let mut names: Vec<_> = self.files.values().flat_map(|file| file.suites.clone()).collect();
        names.sort();
        names.dedup();
        names
    }
}

impl CatalogFile {
    fn is_needed(&self, suites: &[String]) -> bool {
        self.suites.is_empty()
            || suites.is_empty()
            || suites.iter().any(|s| self.suites.contains(s))
    }

    /// Whether the file at `path` has the published content.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn is_original(&self, path: &Path) -> Result<bool> {
        Ok(path.is_file() && git_name(path)? == self.git)
    }
}

/// Git's object name of a file's content.
fn git_name(path: &Path) -> Result<String> {
    let content =
        std::fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let mut hash = Sha1::new();
    hash.update(format!("blob {}\0", content.len()));
    hash.update(&content);
    Ok(hex(&hash.finalize()))
}

/// Whether a file is a Git LFS pointer.
pub fn is_pointer(path: &Path) -> bool {
    let mut start = vec![];
    let read = File::open(path).and_then(|file| file.take(64).read_to_end(&mut start));
    read.is_ok() && start.starts_with(POINTER)
}

/// The file, or the visual mesh of another format beside it.
fn present(path: &Path) -> Option<PathBuf> {
    if path.is_file() {
        return Some(path.into());
    }
    let is_visual = path.file_name().is_some_and(|name| VISUALS.iter().any(|known| name == *known));
    let others = VISUALS.iter().map(|name| path.with_file_name(name));
    others.into_iter().find(|other| is_visual && other.is_file())
}

/// The number of files and the first few names.
pub fn named(files: &[String]) -> String {
    let first: Vec<_> = files.iter().take(3).map(|file| format!("`{file}`")).collect();
    match files.len() {
        1 => first.concat(),
        count if count <= 3 => first.join(", "),
        count => format!("{count} files ({}, …)", first.join(", ")),
    }
}
