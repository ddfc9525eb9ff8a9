//! Runs by name: `tables NAME` for `tables runs/NAME`.

use std::path::{Path, PathBuf};

use clap::builder::{PathBufValueParser, TypedValueParser};

/// The folder of runs without `--out`.
pub(super) const RUNS: &str = "runs";

/// Reads a path; a name without a folder that does not exist here is looked up in [`RUNS`].
pub(super) fn run_path() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().map(|path| found(path, Path::new(RUNS)))
}

/// `path`, or the run of that name in the folder `runs`.
///
/// A path that is in neither place stays as it was typed, for the error that names it.
pub(super) fn found(path: PathBuf, runs: &Path) -> PathBuf {
    let is_name = path.components().count() == 1 && path.is_relative();
    let named = runs.join(&path);
    if is_name && !path.exists() && named.exists() { named } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_up_and_a_path_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let runs = folder.path();
        std::fs::create_dir(runs.join("libero-long")).unwrap();
        assert_eq!(found("libero-long".into(), runs), runs.join("libero-long"));
        for kept in ["no-such-run", "other/libero-long", "./libero-long", "/libero-long", "."] {
            assert_eq!(found(kept.into(), runs), Path::new(kept));
        }
    }
}
