//! The run directories below the folders that were named, read again when their files change.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use udvla_results::out::html::served_run_page;
use udvla_results::out::plots;
use udvla_results::paper::Paper;
use udvla_results::run::read::{MANIFEST_FILE, RECORDS_FILE, Run};
use udvla_results::tables::summary::Summary;

use crate::commands::reading::runs_below;
use crate::exit::Refused;

/// A run with its numbers, as of one state of its files.
pub struct Loaded {
    /// The run.
    pub run: Run,
    /// Its numbers.
    pub summary: Summary,
    page: OnceLock<Result<String, String>>,
}

impl Loaded {
    /// Its page, made at the first request.
    pub fn page(&self) -> Result<&str, &str> {
        let page = self.page.get_or_init(|| {
            let paper = Paper::bundled();
            let plots = plots::of_run(&self.run, &paper).map_err(|error| error.to_string())?;
            Ok(served_run_page(&self.run, &self.summary, &plots, &paper))
        });
        page.as_deref().map_err(String::as_str)
    }
}

/// Length and time of change of the manifest and the records.
pub type Stamp = [Option<(u64, SystemTime)>; 2];
type Entry = (Stamp, Arc<Result<Loaded, String>>);

/// The runs that can be shown.
pub struct Library {
    roots: Vec<PathBuf>,
    cache: Mutex<HashMap<PathBuf, Entry>>,
}

impl Library {
    /// Of run directories and folders that contain some.
    ///
    /// # Errors
    /// When one of them is not a folder.
    pub fn open(directories: &[PathBuf]) -> Result<Self, Refused> {
        let root = |directory: &PathBuf| {
            let canonical = directory.canonicalize().ok().filter(|path| path.is_dir());
            canonical.ok_or_else(|| {
                let text = format!("`{}` is not a folder", directory.display());
                Refused::new(text).hint("name a run directory, or a folder of run directories")
            })
        };
        let roots = directories.iter().map(root).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { roots, cache: Mutex::default() })
    }

    /// The run directories by their names in addresses. A second one of a name gets a number.
    pub fn runs(&self) -> BTreeMap<String, PathBuf> {
        let mut runs: BTreeMap<String, PathBuf> = BTreeMap::new();
        for root in &self.roots {
            for path in runs_below(root) {
                let relative = path.strip_prefix(root).unwrap_or(&path);
                let own = if relative.as_os_str().is_empty() {
                    Path::new(path.file_name().unwrap_or(path.as_os_str()))
                } else {
                    relative
                };
                let name = own.to_string_lossy().into_owned();
                if runs.values().any(|known| *known == path) {
                    continue;
                }
                let numbered = (2..).map(|number| format!("{name} ({number})"));
                let mut names = std::iter::once(name.clone()).chain(numbered);
                let free = names.find(|name| !runs.contains_key(name)).expect("numbers do not end");
                runs.insert(free, path);
            }
        }
        runs
    }

    /// The run in a directory, or why it cannot be read; from memory if its files are as before.
    pub fn load(&self, directory: &Path) -> Arc<Result<Loaded, String>> {
        let stamp = stamp(directory);
        let known = self.cache().get(directory).filter(|entry| entry.0 == stamp).cloned();
        if let Some((_, loaded)) = known {
            return loaded;
        }
        let loaded = Arc::new(load(directory));
        self.cache().insert(directory.to_owned(), (stamp, loaded.clone()));
        loaded
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, HashMap<PathBuf, Entry>> {
        // Entries are inserted whole: one left by a panic elsewhere is as good as any.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn load(directory: &Path) -> Result<Loaded, String> {
    let run = Run::read(directory).map_err(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        cause.map_or(error.to_string(), |cause| format!("{error}: {cause}"))
    })?;
    let summary = Summary::new(&run, &Paper::bundled());
    Ok(Loaded { run, summary, page: OnceLock::new() })
}

/// The state of a run's files.
pub fn stamp(directory: &Path) -> Stamp {
    [MANIFEST_FILE, RECORDS_FILE].map(|file| {
        let metadata = fs::metadata(directory.join(file)).ok()?;
        Some((metadata.len(), metadata.modified().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_found_below_a_folder_and_named_by_their_path() {
        let folder = tempfile::tempdir().unwrap();
        let deep = "a/b/c/d/too-deep";
        for name in ["one", "group/two", "group/one", deep] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join(MANIFEST_FILE), "{}").unwrap();
        }
        fs::create_dir(folder.path().join("empty")).unwrap();
        let other = folder.path().join("group");
        let library = Library::open(&[folder.path().to_owned(), other.clone()]).unwrap();
        let names: Vec<String> = library.runs().into_keys().collect();
        assert_eq!(names, ["group/one", "group/two", "one"]);
        let library = Library::open(&[other, folder.path().join("one")]).unwrap();
        let names: Vec<String> = library.runs().into_keys().collect();
        assert_eq!(names, ["one", "one (2)", "two"]);
        assert!(Library::open(&[folder.path().join("none")]).is_err());
    }

    #[test]
    fn a_run_is_read_again_only_after_its_files_changed() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(MANIFEST_FILE), "{}").unwrap();
        let library = Library::open(&[folder.path().to_owned()]).unwrap();
        let first = library.load(folder.path());
        assert!(first.as_ref().as_ref().err().unwrap().contains("episodes.jsonl"));
        assert!(Arc::ptr_eq(&first, &library.load(folder.path())));
        fs::write(folder.path().join(RECORDS_FILE), "").unwrap();
        let second = library.load(folder.path());
        assert!(!Arc::ptr_eq(&first, &second));
        assert!(second.as_ref().as_ref().err().unwrap().contains("schema"));
    }
}
