//! Files of a run directory: replaced durably, read without following links.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

/// Name of the manifest in a run directory.
pub const MANIFEST_FILE: &str = "run.json";
/// Name of the records file in a run directory.
pub const RECORDS_FILE: &str = "episodes.jsonl";

/// Replaces the file at `path` by one with these bytes, durably and as a whole.
///
/// Readers see either the old file or the new one, even after a crash: the bytes go into a
/// temporary file next to it, which is synced and renamed, and then the folder is synced.
///
/// # Errors
/// When the folder does not exist or cannot be written; the temporary file is then removed.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let folder = parent.unwrap_or(Path::new("."));
    // Temporary files are private by default; this one becomes a file like any other.
    let permissions = fs::Permissions::from_mode(0o666);
    let mut file = tempfile::Builder::new().permissions(permissions).tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(folder)?.sync_all()
}

/// The content of the file `name` below the folder `dir`.
///
/// A run directory may come from somebody else: no link below `dir` is followed, no path leads out
/// of it, and what is not a regular file is not read.
///
/// # Errors
/// When there is no such file, or it is none that may be read.
pub fn read_inside(dir: &Path, name: &Path) -> io::Result<Vec<u8>> {
    let refused = |what: &str| io::Error::other(format!("`{}` {what}", name.display()));
    let mut parts = name.components().peekable();
    let mut path = dir.to_path_buf();
    while let Some(part) = parts.next() {
        let Component::Normal(part) = part else { return Err(refused("leads out of the run")) };
        path.push(part);
        if parts.peek().is_some() && fs::symlink_metadata(&path)?.is_symlink() {
            return Err(refused("leads through a link"));
        }
    }
    // Without blocking: the other end of a FIFO may never come.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(&path);
    let mut file = match opened {
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
            return Err(refused("is a link"));
        }
        opened => opened?,
    };
    if !file.metadata()?.is_file() {
        return Err(refused("is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The first link below `dir` that leads out of it, or nowhere.
///
/// # Errors
/// When a folder cannot be listed.
pub fn link_out_of(dir: &Path) -> io::Result<Option<PathBuf>> {
    let root = dir.canonicalize()?;
    let mut open = vec![root.clone()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            if kind.is_dir() {
                open.push(path);
            } else if kind.is_symlink()
                && !path.canonicalize().is_ok_and(|target| target.starts_with(&root))
            {
                return Ok(Some(path));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_is_left_next_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.json");
        write_atomic(&path, b"old").unwrap();
        write_atomic(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o600, 0o600, "{mode:o}");
    }

    #[test]
    fn no_link_and_no_pipe_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let (dir, outside) = (folder.path().join("run"), folder.path().join("secret"));
        fs::create_dir_all(dir.join("actions")).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("file"), "secret").unwrap();
        fs::write(dir.join("actions/own"), "own").unwrap();
        assert_eq!(link_out_of(&dir).unwrap(), None);
        std::os::unix::fs::symlink(outside.join("file"), dir.join("linked")).unwrap();
        std::os::unix::fs::symlink(&outside, dir.join("folder")).unwrap();
        let pipe = std::ffi::CString::new(dir.join("pipe").to_str().unwrap()).unwrap();
        // SAFETY: the path is a valid C string.
        assert_eq!(unsafe { libc::mkfifo(pipe.as_ptr(), 0o600) }, 0);
        let read = |name: &str| read_inside(&dir, Path::new(name));
        assert_eq!(read("actions/own").unwrap(), b"own");
        for (name, words) in [
            ("linked", "is a link"),
            ("folder/file", "leads through a link"),
            ("../secret/file", "leads out of the run"),
            ("/etc/passwd", "leads out of the run"),
            ("pipe", "is not a regular file"),
            ("actions", "is not a regular file"),
        ] {
            let error = read(name).unwrap_err().to_string();
            assert!(error.contains(words), "{name}: {error}");
        }
        assert!(link_out_of(&dir).unwrap().is_some());
    }

    #[test]
    fn a_failed_write_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        // A folder cannot be replaced by a file.
        let path = folder.path().join("taken");
        fs::create_dir(&path).unwrap();
        assert!(write_atomic(&path, b"new").is_err());
        assert!(write_atomic(&folder.path().join("no/such/folder"), b"new").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
