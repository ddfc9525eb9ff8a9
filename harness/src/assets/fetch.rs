//! Brings a simulator's files into the data folder: from their repository, a mirror or a copy.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::catalog::Catalog;
use super::check::{is_pointer, named};
use super::git::SparseCheckout;
use crate::exit::Refused;

/// Files per request to a repository: what an interruption costs at most.
const BATCH: usize = 16;

/// Where files come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A Git repository: upstream's or a mirror.
    Repository(String),
    /// A folder with the files, or a checkout that holds them.
    Folder(PathBuf),
}

impl Origin {
    /// What `--from` names: a folder that holds files of the catalog, else a repository.
    pub fn named(text: &str, catalog: &Catalog) -> Self {
        match catalog.locate(Path::new(text)) {
            Some(root) => Self::Folder(root),
            // Git is started in another folder.
            None => Self::Repository(match Path::new(text).canonicalize() {
                Ok(path) => path.to_string_lossy().into_owned(),
                Err(_) => text.into(),
            }),
        }
    }
}

/// Brings all files of the benchmark `name` into its data folder, which is complete and checked
/// or absent; files of an interrupted attempt are kept for the next one.
///
/// # Errors
/// [`Refused`] when files are missing at the origin or have other contents.
pub fn fetch(catalog: &Catalog, name: &str, origin: &Origin) -> Result<PathBuf> {
    let folder = catalog.folder(name)?;
    fetch_into(&folder, catalog, name, origin)?;
    Ok(folder)
}

fn fetch_into(folder: &Path, catalog: &Catalog, name: &str, origin: &Origin) -> Result<()> {
    let part = folder.with_extension("part");
    fs::create_dir_all(&part).with_context(|| format!("cannot make `{}`", part.display()))?;
    // Two of these at once would disturb each other's checkout.
    let lock = File::create(folder.with_extension("lock")).context("cannot make a lock file")?;
    lock.lock().context("cannot lock the assets folder")?;
    let drafts = part.join("files");
    let (draft, installed) = (catalog.root_in(&drafts), catalog.root_in(folder));
    let absent = absent(catalog, &[&draft, &installed])?;
    if absent.is_empty() && folder.is_dir() && !draft.is_dir() {
        eprintln!("{name}: {} files are ready in {}", catalog.files.len(), folder.display());
        let _ = fs::remove_dir_all(&part);
        return Ok(());
    }
    let total = catalog.files.len();
    let collection = Collection { catalog, name, draft: &draft, total };
    for path in catalog.files.keys().filter(|path| !absent.contains(path)) {
        collection.keep(&installed, path)?;
    }
    match origin {
        Origin::Folder(root) => collection.take(root, &absent)?,
        Origin::Repository(url) => {
            from_repository(&collection, &part.join("repository"), url, &absent)?;
        }
    }
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("cannot replace `{}`", folder.display()))?;
    }
    fs::rename(&drafts, folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    let _ = fs::remove_dir_all(&part);
    eprintln!("{name}: {total} files are ready in {}", folder.display());
    Ok(())
}

/// The files that none of `folders` holds with the published content.
fn absent(catalog: &Catalog, folders: &[&Path]) -> Result<Vec<String>> {
    let mut absent = vec![];
    for (path, file) in &catalog.files {
        let mut found = false;
        for folder in folders {
            found = found || file.is_original(&folder.join(path))?;
        }
        if !found {
            absent.push(path.clone());
        }
    }
    Ok(absent)
}

/// A folder that files are collected in.
struct Collection<'a> {
    catalog: &'a Catalog,
    name: &'a str,
    draft: &'a Path,
    total: usize,
}

impl Collection<'_> {
    /// Copies a file unless it is there with the published content.
    fn keep(&self, root: &Path, path: &str) -> Result<()> {
        let target = self.draft.join(path);
        if self.catalog.files[path].is_original(&target)? {
            return Ok(());
        }
        let parent = target.parent().unwrap_or(self.draft);
        fs::create_dir_all(parent)
            .and_then(|()| fs::copy(root.join(path), &target))
            .with_context(|| format!("cannot write `{}`", target.display()))?;
        Ok(())
    }

    /// Copies `paths` from `root` if their contents are the published ones.
    fn take(&self, root: &Path, paths: &[String]) -> Result<()> {
        let (mut missing, mut pointers, mut altered) = (vec![], vec![], vec![]);
        for path in paths {
            let source = root.join(path);
            if !source.is_file() {
                missing.push(path.clone());
            } else if is_pointer(&source) {
                pointers.push(path.clone());
            } else if !self.catalog.files[path].is_original(&source)? {
                altered.push(path.clone());
            } else {
                self.keep(root, path)?;
            }
        }
        let faults = [
            (&missing, "missing"),
            (&pointers, "Git LFS pointers, not the files"),
            (&altered, "not the published files"),
        ];
        let faults: Vec<String> = faults
            .into_iter()
            .filter(|(files, _)| !files.is_empty())
            .map(|(files, what)| format!("{what}: {}", named(files)))
            .collect();
        if faults.is_empty() {
            return Ok(());
        }
        let kept = self.total - absent(self.catalog, &[self.draft])?.len();
        let text = format!("`{}` does not have all of {}'s files", root.display(), self.name);
        let hint = format!(
            "{kept} of {} files are kept: run this again with another `--from`, or without it to \
             fetch the rest from {}",
            self.total, self.catalog.repository
        );
        Err(Refused::new(text).because(faults.join("; ")).hint(hint).into())
    }
}

/// Fetches `paths` in batches, and checks each batch.
fn from_repository(
    collection: &Collection<'_>,
    folder: &Path,
    url: &str,
    paths: &[String],
) -> Result<()> {
    let Collection { catalog, name, total, .. } = collection;
    if paths.is_empty() {
        return Ok(());
    }
    eprintln!("{name}: fetching {} files from {url}", paths.len());
    let mut checkout = SparseCheckout::open(folder, url, &catalog.commit)?;
    let known = checkout.files()?;
    let prefix = |root: &String| if root.is_empty() { String::new() } else { format!("{root}/") };
    let mut prefixes = catalog.roots.iter().map(prefix);
    let holds = |prefix: &String| {
        known.iter().any(|file| {
            file.strip_prefix(prefix.as_str()).is_some_and(|path| catalog.files.contains_key(path))
        })
    };
    let Some(prefix) = prefixes.find(holds) else {
        let text = format!("the repository `{url}` holds none of {name}'s files");
        let hint = format!("leave `--from` out to use {}", catalog.repository);
        return Err(Refused::new(text).hint(hint).into());
    };
    let root = folder.join(&prefix);
    for (index, batch) in paths.chunks(BATCH).enumerate() {
        let wanted = batch.iter().map(|path| format!("{prefix}{path}"));
        let wanted: Vec<String> = wanted.filter(|file| known.contains(file)).collect();
        checkout.add(&wanted)?;
        collection.take(&root, batch)?;
        let done = total - paths.len() + index * BATCH + batch.len();
        eprintln!("{name}: {done} of {total} files");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::process::Command;

    use super::super::catalog::CatalogFile;
    use super::*;

    /// Contents of three files and Git's names of them.
    const FILES: [(&str, &str, &str); 3] = [
        ("a.xml", "hello\n", "ce013625030ba8dba906f756967f9e9ca394464a"),
        ("meshes/b.obj", "world\n", "cc628ccd10742baea8241c5924df992b5c019f71"),
        ("meshes/c.obj", "", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"),
    ];

    fn catalog() -> Catalog {
        let file = |git: &str| CatalogFile { git: git.into(), suites: vec![] };
        let files: BTreeMap<_, _> =
            FILES.iter().map(|(path, _, git)| ((*path).into(), file(git))).collect();
        Catalog {
            repository: "https://example.org/scene".into(),
            commit: "0123456789012345678901234567890123456789".into(),
            roots: vec!["package/assets".into(), String::new()],
            into: "data".into(),
            files,
        }
    }

    /// A checkout that holds the files below `package/assets`, beside others.
    fn checkout() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, content, _) in FILES {
            let file = folder.path().join("package/assets").join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, content).unwrap();
        }
        fs::write(folder.path().join("package/other.py"), "pass\n").unwrap();
        folder
    }

    fn git(folder: &Path, words: &[&str]) {
        let names = ["user.name=t", "user.email=t@localhost", "commit.gpgsign=false"];
        let settings = names.iter().flat_map(|name| ["-c", name]);
        let output = Command::new("git").current_dir(folder).args(settings).args(words).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn repository() -> tempfile::TempDir {
        let folder = checkout();
        git(folder.path(), &["init", "--quiet"]);
        git(folder.path(), &["config", "uploadpack.allowFilter", "true"]);
        git(folder.path(), &["add", "--all"]);
        git(folder.path(), &["commit", "--quiet", "--message", "files"]);
        folder
    }

    #[track_caller]
    fn assert_complete(folder: &Path) {
        for (path, content, _) in FILES {
            let file = folder.join("data").join(path);
            assert_eq!(fs::read_to_string(&file).unwrap(), content, "{}", file.display());
        }
        assert!(!folder.join("data/other.py").exists() && !folder.join("package").exists());
        assert!(!folder.with_extension("part").exists());
    }

    #[test]
    fn a_checkout_is_copied_whichever_of_its_folders_is_named() {
        let (source, home) = (checkout(), tempfile::tempdir().unwrap());
        for (number, place) in ["", "package/assets"].into_iter().enumerate() {
            let text = source.path().join(place).display().to_string();
            let origin = Origin::named(&text, &catalog());
            assert_eq!(origin, Origin::Folder(source.path().join("package/assets")));
            let folder = home.path().join(number.to_string());
            fetch_into(&folder, &catalog(), "scene", &origin).unwrap();
            assert_complete(&folder);
        }
    }

    #[test]
    fn a_folder_without_the_files_is_a_repository_by_its_absolute_path() {
        let Origin::Repository(path) = Origin::named(".", &catalog()) else {
            panic!("no repository")
        };
        assert_eq!(Path::new(&path), std::env::current_dir().unwrap().canonicalize().unwrap());
        let url = "https://example.org/mirror".to_owned();
        assert_eq!(Origin::named(&url, &catalog()), Origin::Repository(url));
    }

    #[test]
    fn a_repository_gives_only_the_files_at_a_mirrors_newest_commit() {
        let (source, home) = (repository(), tempfile::tempdir().unwrap());
        let origin = Origin::Repository(format!("file://{}", source.path().display()));
        let folder = home.path().join("scene-0");
        fetch_into(&folder, &catalog(), "scene", &origin).unwrap();
        assert_complete(&folder);
        // Ready: the origin is not asked again.
        drop(source);
        fetch_into(&folder, &catalog(), "scene", &origin).unwrap();
        assert_complete(&folder);
    }

    #[test]
    fn what_one_origin_lacks_or_has_altered_comes_from_the_next() {
        let (source, home) = (checkout(), tempfile::tempdir().unwrap());
        let root = source.path().join("package/assets");
        fs::write(root.join("meshes/b.obj"), "word\n").unwrap();
        fs::write(root.join("meshes/c.obj"), "version https://git-lfs.github.com/spec/v1\n")
            .unwrap();
        let folder = home.path().join("scene-0");
        let error = fetch_into(&folder, &catalog(), "scene", &Origin::Folder(root)).unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains("not the published files: `meshes/b.obj`"), "{text}");
        assert!(text.contains("Git LFS pointers, not the files: `meshes/c.obj`"), "{text}");
        let hint = error.downcast_ref::<Refused>().unwrap().next_step().unwrap();
        assert!(hint.starts_with("1 of 3 files are kept"), "{hint}");
        assert!(!folder.exists(), "an incomplete folder is never in place");

        let other = repository();
        fs::remove_file(other.path().join("package/assets/a.xml")).unwrap();
        git(other.path(), &["commit", "--quiet", "--all", "--message", "without a.xml"]);
        let origin = Origin::Repository(format!("file://{}", other.path().display()));
        fetch_into(&folder, &catalog(), "scene", &origin).unwrap();
        assert_complete(&folder);
    }

    #[test]
    fn a_damaged_copy_is_repaired_and_a_dead_origin_leaves_it_as_it_is() {
        let (source, home) = (repository(), tempfile::tempdir().unwrap());
        let folder = home.path().join("scene-0");
        let origin = Origin::Repository(format!("file://{}", source.path().display()));
        fetch_into(&folder, &catalog(), "scene", &origin).unwrap();
        fs::write(folder.join("data/a.xml"), "changed").unwrap();
        let dead = Origin::Repository("file:///nowhere/at/all".into());
        let error = fetch_into(&folder, &catalog(), "scene", &dead).unwrap_err();
        assert!(format!("{error:#}").contains("/nowhere/at/all"), "{error:#}");
        assert_eq!(fs::read_to_string(folder.join("data/a.xml")).unwrap(), "changed");
        // What a killed git leaves.
        fs::write(folder.with_extension("part").join("repository/.git/index.lock"), "").unwrap();
        fetch_into(&folder, &catalog(), "scene", &origin).unwrap();
        assert_complete(&folder);
    }

    #[test]
    fn faults_of_a_folder_are_those_of_the_suites_that_are_played() {
        let source = checkout();
        let root = source.path().join("package/assets");
        let mut catalog = catalog();
        catalog.files.get_mut("a.xml").unwrap().suites = vec!["goal".into()];
        fs::remove_file(root.join("a.xml")).unwrap();
        assert_eq!(catalog.locate(source.path()), Some(root.clone()));
        assert_eq!(catalog.locate(tempfile::tempdir().unwrap().path()), None);
        assert!(catalog.faults(&root, &["spatial".into()]).is_empty());
        let faults = catalog.faults(&root, &["spatial".into(), "goal".into()]);
        assert_eq!(faults.missing, ["a.xml"]);
        assert_eq!(faults.text().0, "lacks `a.xml`");
    }
}
