//! Weights from safetensors files, one or several shards, mapped and checked before use.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use safetensors::tensor::{Dtype, Metadata, SafeTensorError, SafeTensors};
use serde::Deserialize;
use tch::{Device, Kind, TchError, Tensor};

use super::device::dtype_name;
use super::error::CheckpointError;
use super::files::{read_text, unreadable};

/// The file that a folder with a single weight file holds.
pub const SINGLE: &str = "model.safetensors";
/// The file that says which shard holds which tensor.
pub const INDEX: &str = "model.safetensors.index.json";

/// The tensors of a folder, mapped but not yet read.
#[derive(Debug)]
pub struct Weights {
    dir: PathBuf,
    shards: Vec<Shard>,
    tensors: BTreeMap<String, Entry>,
}

/// A tensor of a weight file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its shape.
    pub shape: Vec<i64>,
    /// Its number format, for example `bf16`.
    pub dtype: String,
    /// Whether this program reads that format.
    pub readable: bool,
}

/// Where loaded tensors live and in which number format.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placement {
    /// The device.
    pub device: Device,
    /// The number format.
    pub kind: Kind,
}

#[derive(Debug)]
struct Shard {
    file: PathBuf,
    map: Mmap,
}

#[derive(Debug)]
struct Entry {
    shard: usize,
    dtype: Dtype,
    shape: Vec<usize>,
    /// Byte range within the shard's file.
    range: (usize, usize),
}

/// `model.safetensors.index.json`; its `metadata` says nothing that is needed here. Empty for a
/// folder with a single weight file.
#[derive(Default, Deserialize)]
struct Index {
    /// The file that holds each tensor.
    weight_map: BTreeMap<String, String>,
}

impl Index {
    fn read(dir: &Path) -> Result<Self, CheckpointError> {
        let file = dir.join(INDEX);
        let single = dir.join(SINGLE);
        if !dir.is_dir() {
            let dir = dir.to_owned();
            return Err(CheckpointError::MissingDirectory { what: "weight folder", dir });
        } else if file.is_file() {
            return serde_json::from_str(&read_text(&file)?).map_err(|source| {
                CheckpointError::Json { what: "index of weight files", file, source }
            });
        } else if single.is_file() {
            return Ok(Self::default());
        }
        let what = "weight file (neither it nor an index of shards exists)";
        Err(CheckpointError::MissingFile { what, file: single })
    }

    /// The weight files, each once, in order.
    fn files(&self) -> BTreeSet<&str> {
        if self.weight_map.is_empty() {
            return BTreeSet::from([SINGLE]);
        }
        self.weight_map.values().map(String::as_str).collect()
    }
}

impl Weights {
    /// Maps the weight files of `dir` and reads their headers.
    ///
    /// # Errors
    /// A missing directory, index, shard or weight file; a header that is not one; a file that
    /// is shorter or longer than its header announces; a tensor that the index promises and its
    /// shard lacks.
    pub fn open(dir: &Path) -> Result<Self, CheckpointError> {
        let mut weights = Self { dir: dir.to_owned(), shards: vec![], tensors: BTreeMap::new() };
        let index = Index::read(dir)?;
        for file in index.files() {
            weights.add(dir.join(file))?;
        }
        weights.check(&index)?;
        Ok(weights)
    }

    /// The tensor `name` in the placement asked for.
    ///
    /// # Errors
    /// A tensor that is missing, has another shape, is stored in an unknown number format, or
    /// holds a number that is not finite, also after conversion to `placement`'s format.
    pub fn tensor(
        &self,
        name: &str,
        shape: &[i64],
        placement: Placement,
    ) -> Result<Tensor, CheckpointError> {
        let entry = self.tensors.get(name).ok_or_else(|| CheckpointError::MissingTensor {
            file: self.place(),
            tensor: name.to_owned(),
        })?;
        let shard = &self.shards[entry.shard];
        let same = entry.shape.iter().map(|&n| n as i64).eq(shape.iter().copied());
        if !same {
            return Err(CheckpointError::Shape {
                file: shard.file.clone(),
                tensor: name.to_owned(),
                wanted: shape.to_vec(),
                found: entry.shape.clone(),
            });
        }
        let kind = kind(entry.dtype).ok_or_else(|| CheckpointError::Dtype {
            file: shard.file.clone(),
            tensor: name.to_owned(),
            found: format!("{:?}", entry.dtype),
        })?;
        let bytes = &shard.map[entry.range.0..entry.range.1];
        let placed = Tensor::f_from_data_size(bytes, shape, kind).and_then(|tensor| {
            let tensor = tensor.f_to_kind(placement.kind)?.f_to_device(placement.device)?;
            Ok((all_finite(&tensor)?, tensor))
        });
        let (finite, tensor) = placed.map_err(|source| CheckpointError::Torch {
            what: format!("`{name}` from `{}`", shard.file.display()),
            source,
        })?;
        match finite {
            true => Ok(tensor),
            false => Err(CheckpointError::NotFinite {
                file: shard.file.clone(),
                tensor: name.to_owned(),
                dtype: dtype_name(placement.kind),
            }),
        }
    }

    /// The names of all tensors with the files that hold them, by name.
    pub fn names(&self) -> impl Iterator<Item = (&str, &Path)> {
        let file = |entry: &Entry| self.shards[entry.shard].file.as_path();
        self.tensors.iter().map(move |(name, entry)| (name.as_str(), file(entry)))
    }

    /// All tensors as they are stored, by name.
    pub fn stored(&self) -> impl Iterator<Item = Stored<'_>> {
        self.tensors.iter().map(|(name, entry)| Stored {
            name,
            shape: entry.shape.iter().map(|&n| n as i64).collect(),
            dtype: format!("{:?}", entry.dtype).to_lowercase(),
            readable: kind(entry.dtype).is_some(),
        })
    }

    /// Compares what the index promises with what the shards hold.
    fn check(&self, index: &Index) -> Result<(), CheckpointError> {
        for (tensor, file) in &index.weight_map {
            let file = self.dir.join(file);
            let found = self.tensors.get(tensor).map(|entry| &self.shards[entry.shard].file);
            if found != Some(&file) {
                return Err(CheckpointError::MissingTensor { file, tensor: tensor.clone() });
            }
        }
        Ok(())
    }

    fn add(&mut self, file: PathBuf) -> Result<(), CheckpointError> {
        let map = map(&file)?;
        let (header, metadata) =
            SafeTensors::read_metadata(&map).map_err(|source| bad_header(&file, &map, source))?;
        let data = header + size_of::<u64>();
        for (name, info) in metadata.tensors() {
            let (start, end) = info.data_offsets;
            let entry = Entry {
                shard: self.shards.len(),
                dtype: info.dtype,
                shape: info.shape.clone(),
                range: (data + start, data + end),
            };
            self.tensors.insert(name, entry);
        }
        self.shards.push(Shard { file, map });
        Ok(())
    }

    /// The only weight file, or the folder when there are several.
    fn place(&self) -> PathBuf {
        match self.shards.as_slice() {
            [only] => only.file.clone(),
            _ => self.dir.clone(),
        }
    }
}

/// The weight files of `dir`.
///
/// # Errors
/// A missing directory or weight file, an index that is not one.
pub fn files(dir: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    Ok(Index::read(dir)?.files().into_iter().map(|file| dir.join(file)).collect())
}

fn map(file: &Path) -> Result<Mmap, CheckpointError> {
    let opened = File::open(file).map_err(|source| unreadable(file, source))?;
    // SAFETY: the map is only read. A checkpoint is not written to while a run uses it; a file
    // that is cut during the run ends the process, as an unreadable disk would.
    unsafe { Mmap::map(&opened) }.map_err(|source| unreadable(file, source))
}

fn bad_header(file: &Path, map: &Mmap, source: SafeTensorError) -> CheckpointError {
    let found = map.len();
    let reason = match (&source, announced(map)) {
        (SafeTensorError::HeaderTooSmall | SafeTensorError::InvalidHeaderLength, _) => {
            format!("it has {found} bytes and ends within its header")
        }
        (SafeTensorError::MetadataIncompleteBuffer, Some(wanted)) => {
            format!("it has {found} bytes, its header announces {wanted}")
        }
        _ => return CheckpointError::Header { file: file.to_owned(), source },
    };
    CheckpointError::Truncated { file: file.to_owned(), reason }
}

/// How long the file should be by its own header.
fn announced(map: &[u8]) -> Option<usize> {
    let (length, rest) = map.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let header: Metadata = serde_json::from_slice(rest.get(..length)?).ok()?;
    (length + size_of::<u64>()).checked_add(header.data_len())
}

/// Whether every number is finite; the extremes tell without a second tensor of that size.
fn all_finite(tensor: &Tensor) -> Result<bool, TchError> {
    if tensor.numel() == 0 {
        return Ok(true);
    }
    let (smallest, largest) = tensor.f_aminmax(None, false)?;
    Ok([smallest, largest].iter().all(|extreme| extreme.double_value(&[]).is_finite()))
}

fn kind(dtype: Dtype) -> Option<Kind> {
    match dtype {
        Dtype::F64 => Some(Kind::Double),
        Dtype::F32 => Some(Kind::Float),
        Dtype::F16 => Some(Kind::Half),
        Dtype::BF16 => Some(Kind::BFloat16),
        _ => None,
    }
}

#[cfg(test)]
#[path = "weights_tests.rs"]
mod tests;
