//! Digest of a checkpoint: its identity in records.

use std::io::Read;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use sha2::{Digest, Sha256};
use udvla_sims::protocol::hex;

use super::error::CheckpointError;
use super::files::unreadable;
use crate::files;

/// `sha256:` and the SHA-256 over `settings` and, for each file, its role and the SHA-256 of its
/// bytes. Paths do not matter.
///
/// Files are read in parallel; a 17 GB model takes as long as the disk.
///
/// # Errors
/// A file that cannot be read.
pub fn digest(settings: &str, files: &[(String, PathBuf)]) -> Result<String, CheckpointError> {
    let line = |(role, file): &(String, PathBuf)| Ok(format!("{} {role}\n", file_digest(file)?));
    let mut lines: Vec<String> = files.par_iter().map(line).collect::<Result<_, _>>()?;
    lines.sort();
    let text = format!("{settings}\n{}", lines.concat());
    Ok(format!("sha256:{}", hex(&Sha256::digest(text.as_bytes()))))
}

/// SHA-256 (hex) of a file's bytes.
///
/// # Errors
/// When it cannot be read.
pub fn file_digest(file: &Path) -> Result<String, CheckpointError> {
    let failed = |source| unreadable(file, source);
    let mut opened = files::open(file).map_err(failed)?;
    // A sparse file of hundreds of gigabytes is not worth the reading.
    files::check_length(file, &opened).map_err(failed)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match opened.read(&mut buffer).map_err(failed)? {
            0 => return Ok(hex(&hash.finalize())),
            count => hash.update(&buffer[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_covers_settings_roles_and_bytes_but_not_places() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let file = dir.path().join(name);
            std::fs::write(&file, text).unwrap();
            file
        };
        let [one, other, copy] = [write("1", "one"), write("2", "other"), write("3", "one")];
        let of = |settings: &str, files: &[(&str, &PathBuf)]| {
            let files: Vec<_> =
                files.iter().map(|(r, f)| (r.to_string(), f.to_path_buf())).collect();
            digest(settings, &files).unwrap()
        };
        let first = of("{}", &[("a", &one), ("b", &other)]);
        assert!(first.starts_with("sha256:") && first.len() == 71, "{first}");
        assert_eq!(first, of("{}", &[("b", &other), ("a", &copy)]));
        for changed in [
            of("{1}", &[("a", &one), ("b", &other)]),
            of("{}", &[("a", &other), ("b", &one)]),
            of("{}", &[("a", &one)]),
        ] {
            assert_ne!(first, changed);
        }
    }
}
