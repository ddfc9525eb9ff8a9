//! Checkpoints and their parts by name instead of a folder: `udvla-nano` and
//! `udvla-nano-stand-ins`, which come with the program, or `hf:OWNER/NAME@REVISION` on the Hugging
//! Face hub.
//!
//! Files go into the hub's own cache (`HF_HOME`), which its other programs use as well. What is
//! fetched is of one commit, and files that the hub has a hash for are compared with it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use hf_hub::api::sync::{Api, ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};
use serde::Deserialize;
use udvla_policies::udvla::checkpoint::{MANIFEST, file_digest};

use crate::environment;
use crate::exit::Refused;

const PREFIX: &str = "hf:";
/// Attempts at a file whose connection breaks.
const RETRIES: usize = 5;

/// What is wanted of a repository. Pickled weights never are.
#[derive(Debug)]
pub struct Wanted {
    /// Endings of the files.
    endings: &'static [&'static str],
    /// The one that must be there; its folder is the result.
    first: &'static str,
}

/// A whole checkpoint.
pub const CHECKPOINT: Wanted =
    Wanted { endings: &["json", "safetensors", "txt", "tiktoken"], first: MANIFEST };
/// The folder of a model: its configuration and weights.
pub const MODEL: Wanted = Wanted { endings: &["json", "safetensors"], first: "config.json" };
/// The folder of the text tokenizer, which can hold a model as well.
pub const TEXT: Wanted = Wanted { endings: &["txt", "tiktoken"], first: "emu3.tiktoken" };

/// A repository of the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Address {
    name: String,
    revision: String,
}

/// What the hub says of a commit.
#[derive(Debug, Deserialize)]
struct Commit {
    sha: String,
    siblings: Vec<RemoteFile>,
}

#[derive(Debug, Deserialize)]
struct RemoteFile {
    #[serde(rename = "rfilename")]
    name: String,
    /// Absent for small files, which the hub keeps in Git.
    lfs: Option<LargeFile>,
}

#[derive(Debug, Deserialize)]
struct LargeFile {
    sha256: String,
}

/// Whether a folder is named by its place on the hub.
pub fn is_meant(given: &Path) -> bool {
    given.to_str().is_some_and(|text| text.starts_with(PREFIX))
}

/// The folder that is named: as it is, the program's own, or after fetching what is not in the cache
/// yet.
///
/// # Errors
/// [`Refused`] when it is not there or cannot be fetched, a file is another one than the hub says, or,
/// offline, the cache lacks it.
pub fn folder(given: &Path, wanted: &Wanted) -> Result<PathBuf, Refused> {
    if let Some(name) =
        environment::OWN_CHECKPOINTS.into_iter().find(|name| given == Path::new(name))
    {
        return environment::own_checkpoint(name);
    }
    let Some(text) = given.to_str().and_then(|text| text.strip_prefix(PREFIX)) else {
        return Ok(given.to_owned());
    };
    let address: Address = text.parse()?;
    let is_offline = std::env::var("HF_HUB_OFFLINE").is_ok_and(|value| value == "1");
    let folder = if is_offline { cached(&address, wanted) } else { fetched(&address, wanted) }?;
    eprintln!("note: {PREFIX}{address} is `{}`", folder.display());
    Ok(folder)
}

impl std::str::FromStr for Address {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        let (name, revision) = text.split_once('@').unwrap_or((text, "main"));
        let is_word = |word: &str| {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            !word.is_empty() && word.chars().all(is_plain) && !word.trim_matches('.').is_empty()
        };
        let (owner, own) = name.split_once('/').unwrap_or_default();
        if is_word(owner) && is_word(own) && revision.split('/').all(is_word) {
            return Ok(Self { name: name.into(), revision: revision.into() });
        }
        Err(Refused::new(format!("`{PREFIX}{text}` is no repository of the hub"))
            .hint(format!("for example {PREFIX}owner/name or {PREFIX}owner/name@revision")))
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.name, self.revision)
    }
}

impl Address {
    fn repo(&self, revision: &str) -> Repo {
        Repo::with_revision(self.name.clone(), RepoType::Model, revision.to_owned())
    }
}

/// The folder in the cache, without a connection.
fn cached(address: &Address, wanted: &Wanted) -> Result<PathBuf, Refused> {
    let manifest = Cache::from_env().repo(address.repo(&address.revision)).get(wanted.first);
    manifest.and_then(|file| file.parent().map(Path::to_owned)).ok_or_else(|| {
        Refused::new(format!("{PREFIX}{address} is not in the cache, and HF_HUB_OFFLINE is 1"))
            .hint(format!(
                "fetch it on a machine with a connection (`hf download {} --revision {}`) and copy \
                 the cache to `{}`, or copy the files anywhere and pass `--checkpoint DIR`",
                address.name,
                address.revision,
                Cache::from_env().path().display()
            ))
    })
}

/// The folder after all its files are in the cache.
fn fetched(address: &Address, wanted: &Wanted) -> Result<PathBuf, Refused> {
    let failed = |error: ApiError| {
        Refused::new(format!("{PREFIX}{address} cannot be fetched")).because(error).hint(
            "the same command goes on where it stopped; a private repository needs HF_TOKEN, a \
             mirror HF_ENDPOINT; without a connection copy the files and pass `--checkpoint DIR`",
        )
    };
    let api = api().map_err(failed)?;
    let commit = commit(&api, address)?;
    let repository = api.repo(address.repo(&commit.sha));
    let files = files(address, &commit, wanted)?;
    if !files.contains_key(wanted.first) {
        return Err(Refused::new(format!("{PREFIX}{address} has no `{}`", wanted.first)).hint(
            "a checkpoint whose parts are published separately is put together with `udvla-eval \
             assemble-checkpoint`, which takes such addresses as well (docs/checkpoint.md)",
        ));
    }
    let cache = Cache::from_env().repo(address.repo(&commit.sha));
    for (name, file) in files {
        if cache.get(name).is_none() {
            let path = repository.get(name).map_err(failed)?;
            compare(name, file, &path, address)?;
        }
    }
    let first = cache.get(wanted.first).and_then(|file| file.parent().map(Path::to_owned));
    first.ok_or_else(|| Refused::new(format!("{PREFIX}{address} is not in the cache any more")))
}

fn api() -> Result<Api, ApiError> {
    let mut builder = ApiBuilder::from_env().with_retries(RETRIES);
    if let Ok(token) = std::env::var("HF_TOKEN") {
        builder = builder.with_token(Some(token));
    }
    builder.with_progress(console::user_attended_stderr()).build()
}

/// The commit that a revision is now.
fn commit(api: &Api, address: &Address) -> Result<Commit, Refused> {
    let repository: ApiRepo = api.repo(address.repo(&address.revision));
    let failed = |error: &dyn std::fmt::Display| {
        Refused::new(format!("the hub does not tell what {PREFIX}{address} is: {error}")).hint(
            "check owner, name and revision; a private repository needs HF_TOKEN, a mirror \
             HF_ENDPOINT; HF_HUB_OFFLINE=1 uses what is in the cache",
        )
    };
    let response = repository.info_request().query("blobs", "true").call();
    let response = response.map_err(|error| failed(&error))?;
    response.into_json().map_err(|error| failed(&error))
}

/// The files to fetch, by name.
fn files<'a>(
    address: &Address,
    commit: &'a Commit,
    wanted: &Wanted,
) -> Result<BTreeMap<&'a str, &'a RemoteFile>, Refused> {
    let mut files = BTreeMap::new();
    for file in &commit.siblings {
        let path = Path::new(&file.name);
        let is_inside = path.components().all(|part| matches!(part, Component::Normal(_)));
        if !is_inside || path.as_os_str().is_empty() {
            let text = format!("{PREFIX}{address} names a file outside of itself, `{}`", file.name);
            return Err(Refused::new(text).hint("do not use it: nothing of it was fetched"));
        }
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        if wanted.endings.contains(&ending) {
            files.insert(file.name.as_str(), file);
        }
    }
    Ok(files)
}

/// Removes a file that is another one than the hub says.
fn compare(name: &str, file: &RemoteFile, path: &Path, address: &Address) -> Result<(), Refused> {
    let Some(large) = &file.lfs else { return Ok(()) };
    let digest = file_digest(path).unwrap_or_default();
    if digest == large.sha256 {
        return Ok(());
    }
    // The name in the snapshot is a link to the file.
    if let Ok(blob) = path.canonicalize() {
        let _ = fs::remove_file(blob);
    }
    let _ = fs::remove_file(path);
    let LargeFile { sha256 } = large;
    let text = format!("`{name}` of {PREFIX}{address} has SHA-256 {digest}, not {sha256}");
    Err(Refused::new(text).hint("it was removed; the same command fetches it again"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_told_from_paths_and_from_nonsense() {
        let address = |text: &str| text.parse::<Address>().map(|address| address.to_string());
        assert_eq!(address("owner/name").unwrap(), "owner/name@main");
        assert_eq!(address("owner/name@v1.2").unwrap(), "owner/name@v1.2");
        assert_eq!(address("o/n@refs/pr/7").unwrap(), "o/n@refs/pr/7");
        for text in ["", "name", "a/b/c", "../x", "o/..", "o/n@", "o/n@a//b", "o/n@../x", "o/n?x"] {
            assert!(address(text).is_err(), "{text}");
        }
        let folder = Path::new("some/hf/folder");
        assert_eq!(super::folder(folder, &MODEL).unwrap(), folder);
    }

    #[test]
    fn files_outside_and_pickles_are_not_fetched() {
        let address: Address = "o/n".parse().unwrap();
        let commit = |names: &[&str]| Commit {
            sha: "0".into(),
            siblings: names
                .iter()
                .map(|&name| RemoteFile { name: name.into(), lfs: None })
                .collect(),
        };
        let kept =
            commit(&["checkpoint.json", "model/a.safetensors", "b.bin", "c.pt", "README.md"]);
        let kept: Vec<&str> = files(&address, &kept, &CHECKPOINT).unwrap().into_keys().collect();
        assert_eq!(kept, ["checkpoint.json", "model/a.safetensors"]);
        for name in ["../x.json", "/etc/x.json", "a/../../x.json", ""] {
            assert!(files(&address, &commit(&[name]), &CHECKPOINT).is_err(), "{name}");
        }
    }
}
