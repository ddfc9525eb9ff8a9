//! Files that commands write where the user says.

use std::path::Path;

use anyhow::{Context, Result};
use udvla_results::run::files::write_atomic;

/// Writes a file as a whole, and the folders above it. A device, a pipe or a link is written to.
pub fn write_file(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    let is_special = path.symlink_metadata().is_ok_and(|found| !found.is_file());
    folder
        .and_then(|()| match is_special {
            true => std::fs::write(path, text),
            false => write_atomic(path, text.as_bytes()),
        })
        .with_context(|| format!("cannot write `{}`", path.display()))?;
    eprintln!("wrote {}", path.display());
    Ok(())
}
