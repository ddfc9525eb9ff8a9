//! The folder of a collection: `demonstrations.json` and a file per episode.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use udvla_results::run::files::write_atomic;
use udvla_sims::episode::EpisodeKey;
use udvla_sims::observation::SimSpec;
use udvla_sims::protocol::hex;

use super::file::{self, FORMAT, Summary};
use super::noise::Noise;
use super::plan::{Collection, file_name};
use super::recording::Recording;
use crate::exit::Refused;
use crate::plan::TakeOver;
use crate::run::{Owner, manifest};

/// Name of the description in the folder of a collection.
pub const MANIFEST: &str = "demonstrations.json";

/// `demonstrations.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this file and of the episodes' files.
    pub format: u16,
    /// Name of the protocol.
    pub protocol: String,
    /// Its fingerprint.
    pub protocol_fingerprint: String,
    /// The tasks.
    pub tasks: Vec<DemonstratedTask>,
    /// Episodes per task.
    pub episodes: u16,
    /// Of initial states and noise.
    pub seed: u64,
    /// Control steps from one recorded observation to the next.
    pub every: u16,
    /// Names of the cameras, in the order of the tensors `view0`, `view1`, …
    pub cameras: Vec<String>,
    /// Height and width of the images of each camera.
    pub sizes: Vec<u16>,
    /// Names of the numbers of a state.
    pub state: Vec<String>,
    /// Names of the numbers of an action.
    pub action: Vec<String>,
    /// What is added to the expert's actions.
    pub noise: Noise,
    /// The policy that the expert corrects; empty without one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub policy: BTreeMap<String, String>,
    /// What the adapter reports: versions, renderer, assets.
    pub setting: BTreeMap<String, String>,
    /// The program.
    pub software: BTreeMap<String, String>,
    /// Whether all episodes are there.
    pub complete: bool,
    /// The files, in the order of the tasks and trials; empty while they are being recorded.
    pub files: Vec<DemonstrationFile>,
}

/// A task of a collection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DemonstratedTask {
    /// Its suite.
    pub suite: String,
    /// Its index in the suite.
    pub task: u16,
    /// Its instruction.
    pub instruction: String,
}

/// A file of a collection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DemonstrationFile {
    /// Its path in the folder.
    pub name: String,
    /// SHA-256 (hex).
    pub sha256: String,
    /// Whether the episode succeeded.
    pub success: bool,
    /// Control steps of the episode.
    pub steps: usize,
    /// Recorded observations of the episode.
    pub observations: usize,
}

impl Manifest {
    /// Of a collection that begins, with what a simulator reports and the policy's subject.
    pub fn start(
        collection: &Collection,
        spec: &SimSpec,
        setting: BTreeMap<String, String>,
        policy: BTreeMap<String, String>,
    ) -> Self {
        let tasks = collection.tasks.iter().map(|task| DemonstratedTask {
            suite: task.suite.clone(),
            task: task.task,
            instruction: task.instruction.clone(),
        });
        Self {
            format: FORMAT,
            protocol: collection.protocol.name.clone(),
            protocol_fingerprint: collection.protocol.fingerprint(),
            tasks: tasks.collect(),
            episodes: collection.episodes,
            seed: collection.seed,
            every: collection.every,
            cameras: spec.cameras.iter().map(|camera| camera.name.clone()).collect(),
            sizes: collection.sizes.clone(),
            state: spec.state.clone(),
            action: spec.action.clone(),
            noise: collection.noise.clone(),
            policy,
            setting,
            software: manifest::software(),
            complete: false,
            files: vec![],
        }
    }

    /// What differs from another collection's so that they cannot be one.
    fn differences(&self, other: &Self) -> Vec<String> {
        let mut names = vec![];
        let mut differs = |name: &str, is_other: bool| {
            if is_other {
                names.push(name.to_owned());
            }
        };
        differs("format", self.format != other.format);
        differs("protocol", self.protocol_fingerprint != other.protocol_fingerprint);
        differs("tasks", self.tasks != other.tasks);
        differs("--seed", self.seed != other.seed);
        differs("--every", self.every != other.every);
        differs("--sizes", self.sizes != other.sizes);
        differs("noise", self.noise != other.noise);
        differs("--policy", self.policy != other.policy);
        let known = |manifest: &Self| -> BTreeMap<String, String> {
            let facts = manifest.setting.clone().into_iter();
            facts.filter(|(name, _)| !name.starts_with("machine.")).collect()
        };
        let (mine, its) = (known(self), known(other));
        let all: BTreeSet<&String> = mine.keys().chain(its.keys()).collect();
        for name in all {
            differs(name, mine.get(name) != its.get(name));
        }
        names
    }
}

/// The folder of a collection, to which no other process writes meanwhile.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    owner: Owner,
}

impl Directory {
    /// The folder, made if it is not there, with `manifest` in it. An older collection that is
    /// equal goes on: the larger number of episodes counts.
    ///
    /// # Errors
    /// [`Refused`] when another collection is in the folder, or another process writes to it.
    pub fn open(path: &Path, manifest: &mut Manifest) -> Result<Self> {
        let folder = path.join("episodes");
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create `{}`", folder.display()))?;
        let owner = Owner::take(path, TakeOver::No)?;
        let directory = Self { path: path.to_owned(), owner };
        if let Some(before) = stored(path)? {
            let differences = before.differences(manifest);
            if !differences.is_empty() {
                let text = format!(
                    "`{}` holds demonstrations with another {}",
                    path.display(),
                    differences.join(", ")
                );
                let hint = "choose another folder with `--out`, or repeat the arguments of before";
                return Err(Refused::new(text).hint(hint).into());
            }
            manifest.episodes = manifest.episodes.max(before.episodes);
        }
        directory.write_manifest(manifest)?;
        Ok(directory)
    }

    /// Writes `demonstrations.json`.
    fn write_manifest(&self, manifest: &Manifest) -> Result<()> {
        let text = serde_json::to_string_pretty(manifest)? + "\n";
        self.write(MANIFEST, text.as_bytes())
    }

    /// Writes an episode's file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_recording(&self, collection: &Collection, recording: &Recording) -> Result<()> {
        self.write(&file_name(&recording.key), &file::bytes(collection, recording))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.owner.check()?;
        let path = self.path.join(name);
        write_atomic(&path, bytes).with_context(|| format!("cannot write `{}`", path.display()))
    }

    /// Completes `manifest` with the files that are there, and writes it.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn finish(&self, manifest: &mut Manifest) -> Result<()> {
        manifest.files.clear();
        manifest.complete = true;
        for task in &manifest.tasks {
            for trial in 0..manifest.episodes {
                let key = EpisodeKey { suite: task.suite.clone(), task: task.task, trial };
                match described(&self.path, &key)? {
                    Some(file) => manifest.files.push(file),
                    None => manifest.complete = false,
                }
            }
        }
        self.write_manifest(manifest)
    }
}

/// What an episode's file holds, if there is a whole one below the folder.
///
/// # Errors
/// When it is there and cannot be read.
pub fn recorded(directory: &Path, key: &EpisodeKey) -> Result<Option<Summary>> {
    Ok(content(directory, key)?.and_then(|bytes| file::summary(&bytes).ok()))
}

fn described(directory: &Path, key: &EpisodeKey) -> Result<Option<DemonstrationFile>> {
    let Some(bytes) = content(directory, key)? else { return Ok(None) };
    let Ok(Summary { success, steps, observations }) = file::summary(&bytes) else {
        return Ok(None);
    };
    let sha256 = hex(&Sha256::digest(&bytes));
    Ok(Some(DemonstrationFile { name: file_name(key), sha256, success, steps, observations }))
}

fn content(directory: &Path, key: &EpisodeKey) -> Result<Option<Vec<u8>>> {
    let path = directory.join(file_name(key));
    match fs::read(&path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read `{}`", path.display())),
    }
}

/// The description of a collection in a folder, if there is one.
fn stored(directory: &Path) -> Result<Option<Manifest>> {
    let path = directory.join(MANIFEST);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read `{}`", path.display()));
        }
    };
    serde_json::from_str(&text).map(Some).map_err(|error| {
        Refused::new(format!("`{}` is no description of demonstrations", path.display()))
            .because(error)
            .hint("choose another folder with `--out`")
            .into()
    })
}
