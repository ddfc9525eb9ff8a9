//! Weights from safetensors files, one or several shards, mapped and checked before use.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use safetensors::tensor::{Dtype, Metadata, SafeTensorError, SafeTensors};
use serde::Deserialize;
use tch::{Device, Kind, Tensor};

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
    /// A tensor that is missing, has another shape, or is stored in an unknown number format.
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
        Tensor::f_from_data_size(bytes, shape, kind)
            .and_then(|tensor| tensor.f_to_kind(placement.kind)?.f_to_device(placement.device))
            .map_err(|source| CheckpointError::Torch {
                what: format!("`{name}` from `{}`", shard.file.display()),
                source,
            })
    }

    /// The names of all tensors with the files that hold them, by name.
    pub fn names(&self) -> impl Iterator<Item = (&str, &Path)> {
        let file = |entry: &Entry| self.shards[entry.shard].file.as_path();
        self.tensors.iter().map(move |(name, entry)| (name.as_str(), file(entry)))
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
mod tests {
    use std::fs;

    use safetensors::tensor::{TensorView, serialize};

    use super::*;

    const CPU: Placement = Placement { device: Device::Cpu, kind: Kind::Float };

    fn file(tensors: &[(&str, Vec<usize>, &[f32])]) -> Vec<u8> {
        let bytes: Vec<Vec<u8>> = tensors
            .iter()
            .map(|(_, _, values)| values.iter().flat_map(|v| v.to_le_bytes()).collect())
            .collect();
        let views = tensors.iter().zip(&bytes).map(|((name, shape, _), data)| {
            (*name, TensorView::new(Dtype::F32, shape.clone(), data).unwrap())
        });
        serialize(views, None).unwrap()
    }

    fn two_shards() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("1.safetensors"), file(&[("a", vec![2], &[1.0, 2.0])])).unwrap();
        let second = file(&[("b", vec![1, 2], &[3.0, 4.0])]);
        fs::write(dir.path().join("2.safetensors"), second).unwrap();
        let index = r#"{"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}"#;
        fs::write(dir.path().join(INDEX), index).unwrap();
        dir
    }

    #[test]
    fn tensors_come_from_the_shard_that_holds_them() {
        let dir = two_shards();
        let weights = Weights::open(dir.path()).unwrap();
        let double = Placement { kind: Kind::Double, ..CPU };
        let b = weights.tensor("b", &[1, 2], double).unwrap();
        assert_eq!(b.kind(), Kind::Double);
        assert_eq!(Vec::<f64>::try_from(b.view(-1)).unwrap(), [3.0, 4.0]);
        assert_eq!(weights.names().map(|(name, _)| name).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn every_half_format_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let views = [("half", Dtype::F16, [0x00, 0x3C]), ("brain", Dtype::BF16, [0x80, 0x3F])];
        let data = views
            .iter()
            .map(|(name, dtype, bytes)| (*name, TensorView::new(*dtype, vec![1], bytes).unwrap()));
        fs::write(dir.path().join(SINGLE), serialize(data, None).unwrap()).unwrap();
        let weights = Weights::open(dir.path()).unwrap();
        for (name, _, _) in views {
            assert_eq!(weights.tensor(name, &[1], CPU).unwrap().double_value(&[0]), 1.0, "{name}");
        }
    }

    #[test]
    fn a_cut_shard_is_named() {
        let dir = two_shards();
        let shard = dir.path().join("2.safetensors");
        let bytes = fs::read(&shard).unwrap();
        for length in [0, 4, 20, bytes.len() - 1] {
            fs::write(&shard, &bytes[..length]).unwrap();
            let error = Weights::open(dir.path()).unwrap_err();
            assert!(matches!(error, CheckpointError::Truncated { .. }), "{length}: {error:?}");
            assert!(error.to_string().contains("2.safetensors"), "{error}");
        }
    }

    #[test]
    fn missing_pieces_are_named() {
        let dir = two_shards();
        let weights = Weights::open(dir.path()).unwrap();
        let error = weights.tensor("c", &[1], CPU).unwrap_err();
        assert!(error.to_string().contains("`c` is missing"), "{error}");
        let error = weights.tensor("a", &[3], CPU).unwrap_err();
        assert!(error.to_string().contains("1.safetensors` has shape [2], wanted [3]"), "{error}");

        fs::remove_file(dir.path().join("1.safetensors")).unwrap();
        let error = Weights::open(dir.path()).unwrap_err();
        assert!(matches!(error, CheckpointError::MissingFile { .. }), "{error:?}");

        fs::remove_file(dir.path().join(INDEX)).unwrap();
        let error = Weights::open(dir.path()).unwrap_err();
        assert!(error.to_string().contains("model.safetensors"), "{error}");
    }

    #[test]
    fn an_index_that_promises_what_the_shard_lacks_is_refused() {
        let dir = two_shards();
        let index = r#"{"weight_map": {"a": "1.safetensors", "c": "2.safetensors"}}"#;
        fs::write(dir.path().join(INDEX), index).unwrap();
        let error = Weights::open(dir.path()).unwrap_err();
        assert!(matches!(&error, CheckpointError::MissingTensor { tensor, .. } if tensor == "c"));
        fs::write(dir.path().join(INDEX), "{").unwrap();
        assert!(matches!(Weights::open(dir.path()), Err(CheckpointError::Json { .. })));
    }

    #[test]
    fn numbers_that_are_not_floats_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let view = TensorView::new(Dtype::I64, vec![1], &[0; 8]).unwrap();
        fs::write(dir.path().join(SINGLE), serialize([("a", view)], None).unwrap()).unwrap();
        let error = Weights::open(dir.path()).unwrap().tensor("a", &[1], CPU).unwrap_err();
        assert!(error.to_string().contains("I64"), "{error}");
    }
}
