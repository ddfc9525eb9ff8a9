//! Opens files that others made: regular files of a plausible size, and nothing else.
//!
//! A named pipe in a checkpoint would block the program, a device would never end, and a sparse
//! file of terabytes would be read to its end. All are refused before the first byte is read.

use std::collections::BTreeMap;
use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;

use serde_json::Value;

/// Most bytes of a configuration, a tokenizer or statistics.
const TEXT_LIMIT: u64 = 64 << 20;
/// Most bytes of one weight file.
const WEIGHTS_LIMIT: u64 = 256 << 30;
/// Most bytes of a weight file's header; the format's own limit.
const LONGEST_HEADER: u64 = 100_000_000;
/// Ending of weight files.
const WEIGHTS: &str = "safetensors";

/// Opens a regular file. Links are followed.
///
/// # Errors
/// When it cannot be opened, is no regular file (`InvalidInput`), or is larger than its kind may
/// be (`FileTooLarge`): 256 GiB for `.safetensors`, 64 MiB for anything else.
pub fn open(path: &Path) -> io::Result<File> {
    // Without blocking: opening a named pipe would wait for a writer. Files ignore the flag.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    check(&file.metadata()?, limit(path))?;
    Ok(file)
}

/// Reads a text file of at most 64 MiB.
///
/// # Errors
/// Those of [`open`]; `InvalidData` when it is not UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    // It may grow while it is read.
    open(path)?.take(TEXT_LIMIT + 1).read_to_string(&mut text)?;
    match text.len() as u64 > TEXT_LIMIT {
        true => Err(too_large(text.len() as u64, TEXT_LIMIT)),
        false => Ok(text),
    }
}

/// Reads a whole file.
///
/// # Errors
/// Those of [`open`].
#[cfg(feature = "torch")]
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = vec![];
    open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes a file as a whole or not at all: beside it first, synced, then renamed. Makes its folder.
///
/// # Errors
/// Whatever the file system says.
#[cfg(feature = "torch")]
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write;

    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let beside = path.with_extension("part");
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    File::open(folder)?.sync_all()
}

/// Checks that the file is as long as its header announces, if it is a weight file.
///
/// # Errors
/// `InvalidData` when it is shorter, longer, or has no valid header.
pub fn check_length(path: &Path, file: &File) -> io::Result<()> {
    if limit(path) != WEIGHTS_LIMIT {
        return Ok(());
    }
    let length = file.metadata()?.len();
    let mut start = [0; 8];
    file.read_exact_at(&mut start, 0)?;
    let header = u64::from_le_bytes(start);
    if header > LONGEST_HEADER.min(length.saturating_sub(8)) {
        return Err(invalid(format!("its header has {header} bytes, the file {length}")));
    }
    let mut text = vec![0; usize::try_from(header).map_err(io::Error::other)?];
    file.read_exact_at(&mut text, 8)?;
    let tensors: BTreeMap<String, Value> = serde_json::from_slice(&text)?;
    let ends = tensors.values().filter_map(|tensor| tensor["data_offsets"][1].as_u64());
    let announced = ends.max().unwrap_or(0).saturating_add(8 + header);
    match announced == length {
        true => Ok(()),
        false => Err(invalid(format!("it has {length} bytes, its header announces {announced}"))),
    }
}

fn limit(path: &Path) -> u64 {
    match path.extension() {
        Some(extension) if extension == WEIGHTS => WEIGHTS_LIMIT,
        _ => TEXT_LIMIT,
    }
}

fn check(metadata: &Metadata, limit: u64) -> io::Result<()> {
    if !metadata.is_file() {
        let text = format!("it is {}, not a file", kind(metadata.file_type()));
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    match metadata.len() > limit {
        true => Err(too_large(metadata.len(), limit)),
        false => Ok(()),
    }
}

fn kind(file_type: FileType) -> &'static str {
    match file_type {
        kind if kind.is_dir() => "a folder",
        kind if kind.is_fifo() => "a named pipe",
        kind if kind.is_socket() => "a socket",
        _ => "a device",
    }
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

fn too_large(length: u64, limit: u64) -> io::Error {
    let text = format!("it has {length} bytes, more than the {limit} that such a file may have");
    io::Error::new(io::ErrorKind::FileTooLarge, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_and_a_link_to_it_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("config.json"), folder.path().join("link.json"));
        std::fs::write(&file, "{}").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(read_text(&file).unwrap(), "{}");
        assert_eq!(read_text(&link).unwrap(), "{}");
    }

    #[test]
    fn a_pipe_a_device_a_socket_and_a_folder_are_named_and_none_blocks() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("config.json");
        let name = std::ffi::CString::new(pipe.to_str().unwrap()).unwrap();
        // SAFETY: the name outlives the call.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        let refused = |path: &Path, words: &str| {
            let error = open(path).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        };
        refused(&pipe, "it is a named pipe, not a file");
        refused(folder.path(), "it is a folder, not a file");
        refused(Path::new("/dev/zero"), "it is a device, not a file");
    }

    #[test]
    fn a_weight_file_is_as_long_as_its_header_announces() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let header =
            r#"{"__metadata__":{"a":"b"},"x":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#;
        let checked = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            check_length(&path, &open(&path).unwrap()).map_err(|error| error.to_string())
        };
        let start = [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat();
        let whole = [start.as_slice(), &[1; 4]].concat();
        checked(&whole).unwrap();
        for length in 0..whole.len() {
            assert!(checked(&whole[..length]).is_err(), "{length}");
        }
        let longer = checked(&[&whole[..], &[0; 1000]].concat()).unwrap_err();
        assert!(longer.contains(&format!("announces {}", whole.len())), "{longer}");
        let huge = checked(&u64::MAX.to_le_bytes()).unwrap_err();
        assert!(huge.contains("its header has 18446744073709551615 bytes"), "{huge}");
    }

    #[test]
    fn a_sparse_giant_is_refused_by_its_length() {
        let folder = tempfile::tempdir().unwrap();
        for (name, most) in [("config.json", TEXT_LIMIT), ("model.safetensors", WEIGHTS_LIMIT)] {
            let path = folder.path().join(name);
            File::create(&path).unwrap().set_len(most + 1).unwrap();
            let error = open(&path).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::FileTooLarge, "{error}");
            File::create(&path).unwrap().set_len(most).unwrap();
            open(&path).unwrap();
        }
    }
}
