//! Recorded demonstrations: one file per episode.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors};

use super::error::TrainError;

/// Episodes of a folder that `udvla-eval collect` wrote, in the order of their names.
#[derive(Debug)]
pub struct Demonstrations {
    /// Successful episodes.
    pub episodes: Vec<Episode>,
    /// Episodes that failed and are not trained on.
    pub failed: usize,
}

/// A demonstration.
#[derive(Debug)]
pub struct Episode {
    /// Name of its file, without its ending.
    pub name: String,
    /// Number of the task in its suite.
    pub task: u16,
    /// Number of the episode among those of its task.
    pub trial: u16,
    /// Instruction.
    pub instruction: String,
    /// Images by camera.
    pub views: Vec<View>,
    /// Control step of each observation, ascending.
    pub steps: Vec<usize>,
    /// What the expert wanted in each control step: `[t, 7]`.
    pub labels: Vec<f32>,
    /// Whether a control step was disturbed, or its label is not the expert's.
    pub disturbed: Vec<bool>,
    /// Position of the object in meters at each observation, `[n, 3]`; empty if unknown.
    pub target: Vec<f32>,
}

/// Images of a camera.
#[derive(Debug)]
pub struct View {
    /// Height and width.
    pub size: (usize, usize),
    /// `[n, height, width, 3]`.
    pub frames: Vec<u8>,
}

impl View {
    /// Bytes of an image.
    pub fn frame(&self, index: usize) -> &[u8] {
        let bytes = self.size.0 * self.size.1 * 3;
        &self.frames[index * bytes..(index + 1) * bytes]
    }
}

impl Demonstrations {
    /// Reads all episodes of the folders.
    ///
    /// # Errors
    /// A folder or file that cannot be read, a file that is not an episode, no successful episode.
    pub fn open(folders: &[PathBuf]) -> Result<Self, TrainError> {
        let mut all = Self { episodes: vec![], failed: 0 };
        for folder in folders {
            let dir = folder.join("episodes");
            let unreadable = |source| TrainError::Read { file: dir.clone(), source };
            let mut files = vec![];
            for entry in std::fs::read_dir(&dir).map_err(unreadable)? {
                files.push(entry.map_err(unreadable)?.path());
            }
            files.retain(|file| file.extension().is_some_and(|ending| ending == "safetensors"));
            files.sort();
            for file in files {
                match Episode::open(&file)? {
                    Some(episode) => all.episodes.push(episode),
                    None => all.failed += 1,
                }
            }
        }
        match all.episodes.is_empty() {
            true => Err(TrainError::content(
                folders.first().map_or(Path::new("."), PathBuf::as_path),
                "has no successful demonstration",
            )),
            false => Ok(all),
        }
    }
}

impl Episode {
    /// Reads a file; `None` for an episode that failed.
    fn open(file: &Path) -> Result<Option<Self>, TrainError> {
        let bytes = crate::files::read(file)
            .map_err(|source| TrainError::Read { file: file.to_owned(), source })?;
        Self::parse(file, &bytes).map_err(|what| TrainError::content(file, what))
    }

    fn parse(file: &Path, bytes: &[u8]) -> Result<Option<Self>, String> {
        let no_file =
            |error: safetensors::SafeTensorError| format!("is no safetensors file: {error}");
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(no_file)?;
        let notes = header.metadata().clone().unwrap_or_default();
        let note =
            |name: &str| notes.get(name).cloned().ok_or_else(|| format!("has no note `{name}`"));
        let number = |name: &str| {
            note(name)?.parse::<u16>().map_err(|_| format!("has a note `{name}` that is no number"))
        };
        if note("success")? != "true" {
            return Ok(None);
        }
        let tensors = SafeTensors::deserialize(bytes).map_err(no_file)?;
        let named: HashMap<String, _> = tensors.tensors().into_iter().collect();
        let get = |name: &str, kind: Dtype| match named.get(name) {
            Some(tensor) if tensor.dtype() == kind => Ok(tensor),
            Some(_) => Err(format!("has another number format in `{name}`")),
            None => Err(format!("has no tensor `{name}`")),
        };
        let reals = |name: &str| {
            let words = get(name, Dtype::F32)?.data().chunks_exact(4);
            let real = |word: &[u8]| f32::from_le_bytes(word.try_into().expect("four bytes"));
            Ok::<Vec<f32>, String>(words.map(real).collect())
        };
        let words = get("steps", Dtype::I64)?.data().chunks_exact(8);
        let integer = |word: &[u8]| i64::from_le_bytes(word.try_into().expect("eight bytes"));
        let steps: Vec<usize> =
            words.map(|word| usize::try_from(integer(word)).unwrap_or(usize::MAX)).collect();
        let mut views = vec![];
        while let Some(tensor) = named.get(&format!("view{}", views.len())) {
            let &[count, height, width, 3] = tensor.shape() else {
                return Err("has images of another shape".into());
            };
            if tensor.dtype() != Dtype::U8 || count != steps.len() {
                return Err("has images that do not match its steps".into());
            }
            views.push(View { size: (height, width), frames: tensor.data().to_vec() });
        }
        let labels = reals("labels")?;
        let flags = |name: &str| match named.contains_key(name) {
            true => Ok::<_, String>(Some(get(name, Dtype::U8)?.data().to_vec())),
            false => Ok(None),
        };
        let (noisy, expert) = (flags("noisy")?, flags("expert")?);
        let of = |flags: &Option<Vec<u8>>, at: usize, otherwise: u8| {
            flags.as_ref().and_then(|flags| flags.get(at)).copied().unwrap_or(otherwise) != 0
        };
        let count = labels.len() / ACTION;
        let disturbed = (0..count).map(|at| of(&noisy, at, 0) || !of(&expert, at, 1)).collect();
        let target = match named.contains_key("target") {
            true => reals("target")?,
            false => vec![],
        };
        if labels.len() % ACTION != 0 || steps.last().is_some_and(|&last| last > count) {
            return Err("has observations after its last action".into());
        }
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let (task, trial, instruction) = (number("task")?, number("trial")?, note("instruction")?);
        Ok(Some(Self { name, task, trial, instruction, views, steps, labels, disturbed, target }))
    }

    /// Whether it is kept for validation.
    pub fn is_for_validation(&self, every: u16) -> bool {
        self.trial % every == every - 1
    }

    /// The `horizon` actions from control step `start` on, row-major; after the episode's end its
    /// last action. `None` if one of them was disturbed.
    pub fn chunk(&self, start: usize, horizon: usize) -> Option<Vec<f64>> {
        let count = self.disturbed.len();
        let used = start..(start + horizon).min(count);
        if used.is_empty() || self.disturbed[used].iter().any(|&disturbed| disturbed) {
            return None;
        }
        let row = |at: usize| {
            let at = at.min(count - 1);
            self.labels[at * ACTION..(at + 1) * ACTION].iter().map(|&value| f64::from(value))
        };
        Some((start..start + horizon).flat_map(row).collect())
    }
}

/// Numbers per action.
pub(super) const ACTION: usize = 7;
