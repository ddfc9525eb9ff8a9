//! Weights: memory-mapped safetensors files in one or several shards, or random numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use safetensors::tensor::{Dtype, Metadata, SafeTensorError, SafeTensors};
use serde::Deserialize;
use tch::{Kind, TchError, Tensor};

use super::device::{Placement, dtype_name};
use super::error::CheckpointError;
use super::files::{parse_json, read_text, unreadable};
use crate::files;

/// File name of a single weight file.
pub const SINGLE: &str = "model.safetensors";
/// File name of the index of shards.
pub const INDEX: &str = "model.safetensors.index.json";

/// Memory-mapped tensors of a folder.
#[derive(Debug)]
pub struct Weights {
    dir: PathBuf,
    shards: Vec<Shard>,
    tensors: BTreeMap<String, Entry>,
}

/// Source of a network's weights.
#[derive(Debug)]
pub enum WeightSource {
    /// Files of a checkpoint.
    Files(Weights),
    /// Random numbers drawn on the device, for speed measurements.
    Random,
}

impl WeightSource {
    /// The tensor of a name and shape, on its device.
    ///
    /// # Errors
    /// As [`Weights::tensor`]; whatever libtorch refuses.
    pub fn tensor(
        &self,
        name: &str,
        shape: &[i64],
        placement: Placement,
    ) -> Result<Tensor, CheckpointError> {
        match self {
            Self::Files(weights) => weights.tensor(name, shape, placement),
            Self::Random => random_tensor(name, shape, placement).map_err(|source| {
                CheckpointError::Torch { what: format!("random `{name}`"), source }
            }),
        }
    }
}

/// A tensor as stored in a weight file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say what the fields are")]
pub struct StoredTensor<'a> {
    pub name: &'a str,
    pub shape: Vec<i64>,
    /// Number format, for example `bf16`.
    pub dtype: String,
    /// Whether the number format is supported.
    pub supported: bool,
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

/// `model.safetensors.index.json` without `metadata`; empty for a single weight file.
#[derive(Default, Deserialize)]
struct Index {
    /// File of each tensor.
    weight_map: BTreeMap<String, String>,
}

impl Index {
    fn read(dir: &Path) -> Result<Self, CheckpointError> {
        let file = dir.join(INDEX);
        let single = dir.join(SINGLE);
        if !dir.is_dir() {
            let dir = dir.to_owned();
            return Err(CheckpointError::MissingDirectory { what: "weight folder", dir });
        } else if file.exists() {
            return parse_json("index of weight files", &read_text(&file)?, &file);
        } else if single.exists() {
            return Ok(Self::default());
        }
        let what = "weight file (neither it nor an index of shards exists)";
        Err(CheckpointError::MissingFile { what, file: single })
    }

    /// Names of the weight files, sorted and without duplicates.
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
    /// A missing directory, index, shard or weight file; an invalid header; a file size that
    /// contradicts the header; a tensor that the index lists and its shard lacks.
    pub fn open(dir: &Path) -> Result<Self, CheckpointError> {
        let mut weights = Self { dir: dir.to_owned(), shards: vec![], tensors: BTreeMap::new() };
        let index = Index::read(dir)?;
        for file in index.files() {
            weights.add(dir.join(file))?;
        }
        weights.check_index(&index)?;
        Ok(weights)
    }

    /// Loads the tensor `name`, converted and moved to `placement`.
    ///
    /// # Errors
    /// A missing tensor, another shape, an unsupported number format, or numbers that are not
    /// finite after conversion.
    pub fn tensor(
        &self,
        name: &str,
        shape: &[i64],
        placement: Placement,
    ) -> Result<Tensor, CheckpointError> {
        let (entry, shard) = self.entry(name, shape)?;
        let kind = kind(entry.dtype).ok_or_else(|| CheckpointError::Dtype {
            file: shard.file.clone(),
            tensor: name.to_owned(),
            dtype: format!("{:?}", entry.dtype),
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

    /// The tensor `name`, which must have that shape, and its file.
    fn entry(&self, name: &str, shape: &[i64]) -> Result<(&Entry, &Shard), CheckpointError> {
        let entry = self.tensors.get(name).ok_or_else(|| CheckpointError::MissingTensor {
            file: self.path(),
            tensor: name.to_owned(),
        })?;
        let shard = &self.shards[entry.shard];
        if entry.shape.iter().map(|&n| n as i64).eq(shape.iter().copied()) {
            return Ok((entry, shard));
        }
        Err(CheckpointError::Shape {
            file: shard.file.clone(),
            tensor: name.to_owned(),
            expected: shape.to_vec(),
            actual: entry.shape.clone(),
        })
    }

    /// Names of all tensors, sorted, each with its file.
    pub fn names(&self) -> impl Iterator<Item = (&str, &Path)> {
        let file = |entry: &Entry| self.shards[entry.shard].file.as_path();
        self.tensors.iter().map(move |(name, entry)| (name.as_str(), file(entry)))
    }

    /// All tensors, sorted by name.
    pub fn stored(&self) -> impl Iterator<Item = StoredTensor<'_>> {
        self.tensors.iter().map(|(name, entry)| StoredTensor {
            name,
            shape: entry.shape.iter().map(|&n| n as i64).collect(),
            dtype: format!("{:?}", entry.dtype).to_lowercase(),
            supported: kind(entry.dtype).is_some(),
        })
    }

    /// Checks that each tensor of the index is in its shard.
    fn check_index(&self, index: &Index) -> Result<(), CheckpointError> {
        for (tensor, file) in &index.weight_map {
            let file = self.dir.join(file);
            let holder = self.tensors.get(tensor).map(|entry| &self.shards[entry.shard].file);
            if holder != Some(&file) {
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

    /// The single weight file, or the folder if there are several.
    fn path(&self) -> PathBuf {
        match self.shards.as_slice() {
            [only] => only.file.clone(),
            _ => self.dir.clone(),
        }
    }
}

/// Paths of the weight files of `dir`.
///
/// # Errors
/// A missing directory or weight file, an invalid index.
pub fn weight_files(dir: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    Ok(Index::read(dir)?.files().into_iter().map(|file| dir.join(file)).collect())
}

/// Normal numbers scaled to keep the variance of products at 1; norms have weight 1 and bias 0.
fn random_tensor(name: &str, shape: &[i64], placement: Placement) -> Result<Tensor, TchError> {
    let options = (placement.kind, placement.device);
    match shape {
        [_] if name.ends_with("weight") || name.ends_with("running_var") => {
            Tensor::f_ones(shape, options)
        }
        [_] | [] => Tensor::f_zeros(shape, options),
        [_, inputs @ ..] => {
            let inputs = inputs.iter().product::<i64>() as f64;
            Tensor::f_randn(shape, options)?.f_mul_scalar_(inputs.powf(-0.5))
        }
    }
}

fn map(file: &Path) -> Result<Mmap, CheckpointError> {
    let opened = files::open(file).map_err(|source| unreadable(file, source))?;
    // SAFETY: the map is read-only, and a checkpoint is not modified while a run uses it; a file
    // truncated during the run ends the process, as a disk failure would.
    unsafe { Mmap::map(&opened) }.map_err(|source| unreadable(file, source))
}

fn bad_header(file: &Path, map: &Mmap, source: SafeTensorError) -> CheckpointError {
    let size = map.len();
    let reason = match (&source, announced_size(map)) {
        (SafeTensorError::HeaderTooSmall | SafeTensorError::InvalidHeaderLength, _) => {
            format!("it has {size} bytes and ends within its header")
        }
        (SafeTensorError::MetadataIncompleteBuffer, Some(announced)) => {
            format!("it has {size} bytes, its header announces {announced}")
        }
        _ => return CheckpointError::Header { file: file.to_owned(), source },
    };
    CheckpointError::Truncated { file: file.to_owned(), reason }
}

/// File size according to the header.
fn announced_size(map: &[u8]) -> Option<usize> {
    let (length, body) = map.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let header: Metadata = serde_json::from_slice(body.get(..length)?).ok()?;
    (length + size_of::<u64>()).checked_add(header.data_len())
}

/// Whether every number is finite. The extremes suffice, without a mask of the same size.
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
